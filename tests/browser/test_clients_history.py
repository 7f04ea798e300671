"""Pages that Chromium has from before: the Back button, prefetches and prerenders."""

import json
from collections.abc import Generator

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect, sync_playwright

from fastapi_descope import CurrentSession, OptionalUser
from tests.browser.conftest import ADA, CHROMIUM_OPTIONS, Fieldnotes, Site, SiteFactory

pytestmark = pytest.mark.browser

_RULES = """
<script type="speculationrules">
{"KIND": [{"source": "list", "urls": URLS, "eagerness": "immediate"}]}
</script>
<a href="/maybe">Open</a>
<form action="/logout" method="post"><button>Sign out</button></form>
"""


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """Run Chromium with its back-forward cache, which Playwright switches off."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=list(CHROMIUM_OPTIONS),
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


def _rules(kind: str, *urls: str) -> str:
    return _RULES.replace("KIND", kind).replace("URLS", json.dumps(urls))


def _add_pages(app: FastAPI) -> None:
    @app.get("/")
    async def start() -> HTMLResponse:
        return HTMLResponse("<h1>Welcome</h1><a href='/maybe'>Open</a>")

    @app.get("/page/{number}")
    async def numbered(session: CurrentSession, number: int) -> HTMLResponse:
        form = "<form action='/logout' method='post'><button>Sign out</button></form>"
        return HTMLResponse(f"<h1>{session.user.email} {number}</h1>{form}")

    @app.get("/rules/{kind}")
    async def rules(kind: str) -> HTMLResponse:
        return HTMLResponse(_rules(kind, "/maybe"))

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> HTMLResponse:
        return HTMLResponse(f"<h1>{user.email if user else 'anonymous'}</h1>")


def _sign_out_and_go_back(app: Site, page: Page) -> None:
    app.sign_in(page, "/page/1")
    page.goto(app.url + "/page/2")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("Welcome")
    page.evaluate("history.back()")


def test_back_after_a_logout_shows_the_page_of_before(site: SiteFactory, page: Page) -> None:
    """From the back-forward cache, without a request. The documentation names the setting."""
    app = site(pages=_add_pages, default_tenant="acme")

    _sign_out_and_go_back(app, page)

    expect(page.get_by_role("heading")).to_have_text(f"{ADA} 2")


def test_ca06_back_after_a_logout_leads_to_the_login_if_pages_are_not_stored(
    site: SiteFactory, page: Page
) -> None:
    """CA-06: with ``no_store``."""
    app = site(pages=_add_pages, default_tenant="acme", no_store=True)

    _sign_out_and_go_back(app, page)

    expect(page.get_by_role("button", name=ADA)).to_be_visible()


@pytest.mark.parametrize("kind", ["prefetch", "prerender"])
def test_ca06_speculation_shows_no_user_as_signed_out(site: SiteFactory, page: Page, kind: str) -> None:
    """CA-06: the session has expired, so the speculation is refused, and the click fetches the page."""
    app = site(pages=_add_pages, default_tenant="acme")
    app.sign_in(page, "/page/1")
    app.expire_session()

    with page.context.expect_event("response", lambda response: response.url.endswith("/maybe")) as early:
        page.goto(f"{app.url}/rules/{kind}")
    page.get_by_text("Open").click()

    expect(page.get_by_role("heading")).to_have_text(ADA)
    assert early.value.status == 503


@pytest.mark.parametrize("kind", ["prefetch", "prerender"])
def test_ca06_speculation_of_before_is_not_shown_after_a_logout(
    site: SiteFactory, page: Page, kind: str
) -> None:
    """CA-06: the session was live, so Chromium has the page; the logout discards it."""
    app = site(pages=_add_pages, default_tenant="acme")
    app.sign_in(page, "/page/1")

    with page.context.expect_event("response", lambda response: response.url.endswith("/maybe")) as early:
        page.goto(f"{app.url}/rules/{kind}")
    assert early.value.status == 200
    status: object = page.evaluate("fetch('/logout', {method: 'POST'}).then(response => response.status)")
    page.get_by_text("Open").click()

    assert status == 204
    expect(page.get_by_role("heading")).to_have_text("anonymous")


@pytest.mark.parametrize("kind", ["prefetch", "prerender"])
def test_cb13_ml03_speculation_starts_no_login_and_opens_no_link(
    site: SiteFactory, page: Page, kind: str
) -> None:
    """CB-13, ML-03: a page speculates on every way in. No login begins, and the link still works."""
    app = site(pages=_add_pages, login_methods=["sso", "google", "magiclink"])
    page.goto(app.url + "/login")
    page.get_by_label("E-mail", exact=True).fill(ADA)
    page.get_by_role("button", name="E-mail me a link").click()
    expect(page.get_by_role("heading")).to_have_text("Look in your mailbox")
    link = app.emulator.outbox.last(ADA).link
    urls = ("/login/sso?tenant=acme", "/login/oauth/google", link.removeprefix(app.url))

    @app.app.get("/ways")
    async def ways() -> HTMLResponse:
        return HTMLResponse(_rules(kind, *urls))

    cookies, calls = page.context.cookies(), len(app.emulator.requests)
    early: dict[str, int] = {}

    def record(response: Response) -> None:
        early[response.url.removeprefix(app.url)] = response.status

    page.context.on("response", record)
    with page.context.expect_event("response", lambda _: set(early) >= set(urls)):
        page.goto(app.url + "/ways")

    assert {early[url] for url in urls} == {403}
    assert page.context.cookies() == cookies
    assert len(app.emulator.requests) == calls
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading")).to_have_text("Welcome")
    assert app.emulator.requests.count("magiclink_verify") == 1


def test_back_after_signing_out_of_fieldnotes_leads_to_the_login(
    context: BrowserContext, fieldnotes: Fieldnotes
) -> None:
    """The start page announces the sign-out to the other tabs, and to the pages that Chromium keeps."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports")
    page.goto(fieldnotes.url + "/account")
    page.get_by_role("main").get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url(fieldnotes.url + "/")

    page.evaluate("history.back()")

    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.url == fieldnotes.url + "/login?return_to=%2Faccount"
