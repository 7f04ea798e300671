"""HTMX 2 and Turbo 8, as published, in Chromium: sessions that expire, and requests that are refused."""

import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse
from playwright.sync_api import Page, expect

from fastapi_descope import CurrentSession, require_roles
from tests.browser.conftest import ADA, Site, SiteFactory, add_scripts

pytestmark = pytest.mark.browser

_HTMX = """
<script src="/script/htmx"></script>
<h1>Desk</h1>
<button hx-get="/part" hx-target="#out">Load</button>
<button hx-get="/owners" hx-target="#out">Owners</button>
<form hx-post="/part" hx-target="#out"><button>Save</button></form>
<button hx-post="/logout">Sign out</button>
<a href="/login/sso?tenant=globex&return_to=/htmx" hx-boost="true">Switch user</a>
<p id="out"></p>
<script>
document.addEventListener("htmx:responseError", event => {
  const problem = JSON.parse(event.detail.xhr.response);
  document.querySelector("#out").textContent = problem.title;
});
</script>
"""

_TURBO = """
<script src="/script/turbo"></script>
<meta name="turbo-prefetch" content="false">
<h1>Desk</h1>
<a href="/next?page=2">Next</a>
<turbo-frame id="part"><a href="/part">Load</a></turbo-frame>
<turbo-frame id="owners"><a href="/owners">Owners</a></turbo-frame>
<a href="/login/sso?tenant=globex&return_to=/turbo">Switch user</a>
<form action="/save" method="post"><button>Save</button></form>
<form action="/logout" method="post"><button>Sign out</button></form>
"""


def _add_pages(app: FastAPI) -> None:
    add_scripts(app)

    @app.get("/")
    async def start() -> HTMLResponse:
        return HTMLResponse("<h1>Welcome</h1>")

    @app.get("/htmx")
    async def htmx(session: CurrentSession) -> HTMLResponse:
        return HTMLResponse(_HTMX)

    @app.get("/turbo")
    async def turbo(session: CurrentSession) -> HTMLResponse:
        return HTMLResponse(_TURBO)

    @app.get("/next")
    async def following(session: CurrentSession, page: int) -> HTMLResponse:
        return HTMLResponse(f"<h1>Page {page}</h1>")

    @app.api_route("/part", methods=["GET", "POST"])
    async def part(session: CurrentSession) -> HTMLResponse:
        return HTMLResponse(f"<turbo-frame id='part'><b>{session.user.email}</b></turbo-frame>")

    @app.post("/save")
    async def save(session: CurrentSession) -> RedirectResponse:
        return RedirectResponse("/next?page=3", 303)

    @app.get("/owners", dependencies=[Depends(require_roles("owner"))])
    async def owners() -> HTMLResponse:
        return HTMLResponse("only owners")


def _open(site: SiteFactory, page: Page, path: str) -> Site:
    app = site(pages=_add_pages, default_tenant="acme")
    app.sign_in(page, path)
    expect(page.get_by_role("heading")).to_have_text("Desk")
    page.evaluate("window.sameDocument = true")
    return app


def _is_same_document(page: Page) -> bool:
    return bool(page.evaluate("window.sameDocument === true"))


def test_htmx_request_refreshes_an_expired_session(site: SiteFactory, page: Page) -> None:
    """The fragment appears, and the page is not loaded again."""
    app = _open(site, page, "/htmx")
    app.expire_session()

    page.get_by_role("button", name="Load").click()

    expect(page.locator("#out")).to_have_text(ADA)
    assert _is_same_document(page)
    assert app.emulator.requests.count("refresh") == 1


@pytest.mark.parametrize("button", ["Load", "Save"])
def test_htmx_request_without_a_session_leads_to_the_login_and_back(
    site: SiteFactory, page: Page, button: str
) -> None:
    """By HX-Redirect, to the page that the user sees. Then the request works."""
    app = _open(site, page, "/htmx")
    app.expire_everything()

    page.get_by_role("button", name=button).click()
    page.get_by_role("button", name=ADA).click()

    page.wait_for_url(app.url + "/htmx")
    page.get_by_role("button", name=button).click()
    expect(page.locator("#out")).to_have_text(ADA)


def test_htmx_shows_a_refusal(site: SiteFactory, page: Page) -> None:
    """HTMX swaps no error into the page, so a listener shows the title of the problem."""
    _open(site, page, "/htmx")

    page.get_by_role("button", name="Owners").click()

    expect(page.locator("#out")).to_have_text("You do not have access to this")
    assert _is_same_document(page)


def test_htmx_signs_out(site: SiteFactory, page: Page) -> None:
    """The page that follows is loaded as a navigation."""
    app = _open(site, page, "/htmx")

    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("heading")).to_have_text("Welcome")
    assert page.url == app.url + "/"
    assert page.context.cookies() == []


@pytest.mark.parametrize(
    ("control", "shown"),
    [("Next", "Page 2"), ("Load", ADA), ("Save", "Page 3")],
    ids=["drive", "frame", "form"],
)
def test_turbo_refreshes_an_expired_session(site: SiteFactory, page: Page, control: str, shown: str) -> None:
    """A visit, a frame and a form go on in the same document."""
    app = _open(site, page, "/turbo")
    app.expire_session()

    page.get_by_text(control, exact=True).click()

    expect(page.get_by_text(shown)).to_be_visible()
    assert _is_same_document(page)
    assert app.emulator.requests.count("refresh") == 1


@pytest.mark.parametrize(
    ("control", "back"),
    [("Next", "/next?page=2"), ("Load", "/part"), ("Save", "/turbo")],
    ids=["drive", "frame", "form"],
)
def test_turbo_without_a_session_leads_to_the_login_and_back(
    site: SiteFactory, page: Page, control: str, back: str
) -> None:
    """To the page that the user wanted, or to the page with the form. No frame says "Content missing"."""
    app = _open(site, page, "/turbo")
    app.expire_everything()

    page.get_by_text(control, exact=True).click()
    page.get_by_role("button", name=ADA).click()

    page.wait_for_url(app.url + back)
    expect(page.get_by_text("Content missing")).to_have_count(0)
    assert not _is_same_document(page)


@pytest.mark.parametrize("path", ["/htmx", "/turbo"])
def test_link_to_the_login_is_followed_as_a_navigation(site: SiteFactory, page: Page, path: str) -> None:
    """A boosted link of HTMX, any link with Turbo Drive: a script cannot follow the redirect to Descope."""
    app = _open(site, page, path)

    page.get_by_text("Switch user").click()
    page.get_by_role("button", name="hank@globex.example").click()

    page.wait_for_url(app.url + path)
    expect(page.get_by_role("heading")).to_have_text("Desk")


def test_turbo_frame_shows_a_refusal(site: SiteFactory, page: Page) -> None:
    """The page about the missing role replaces the whole page, not the frame."""
    app = _open(site, page, "/turbo")

    page.get_by_text("Owners", exact=True).click()

    expect(page.get_by_role("heading")).to_have_text("You do not have access to this")
    assert page.url == app.url + "/owners"


def test_turbo_signs_out(site: SiteFactory, page: Page) -> None:
    """Turbo follows the redirect, and forgets its snapshots of the pages before."""
    _open(site, page, "/turbo")
    page.get_by_text("Next", exact=True).click()
    expect(page.get_by_role("heading")).to_have_text("Page 2")
    page.go_back()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("Welcome")
    assert page.context.cookies() == []

    page.go_back()

    expect(page.get_by_role("button", name=ADA)).to_be_visible()
