"""Login, refresh and logout in Chromium."""

from collections.abc import Generator

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Page, expect

from tests.browser.conftest import SiteFactory
from tests.helpers.live_server import listening, serve_app
from tests.helpers.session_check import SessionCheck, Suspended

pytestmark = pytest.mark.browser


@pytest.fixture
def front_end() -> Generator[str]:
    """Run a front end on another origin and return its URL."""
    app = FastAPI()

    @app.get("/dashboard")
    async def dashboard() -> HTMLResponse:
        return HTMLResponse("<h1>The front end</h1>")

    with listening() as (listener, url), serve_app(app, listener):
        yield url


def test_login_and_logout(site: SiteFactory, page: Page) -> None:
    """From a protected page through the organisation and the identity provider, and back to the page."""
    app = site()

    page.goto(app.url + "/reports?page=2")
    page.get_by_label("Work e-mail or organisation").fill("acme")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("acme")
    assert page.url == app.url + "/reports?page=2"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("not signed in")
    assert page.context.cookies() == []


def test_scripts_cannot_read_the_session(site: SiteFactory, page: Page) -> None:
    """Every cookie is HttpOnly, that of the login included."""
    app = site(default_tenant="acme")
    page.goto(app.url + "/reports")
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")

    cookies = page.context.cookies()

    assert {str(cookie.get("name")).partition("_login_")[0] for cookie in cookies} == {"DS", "DSR", "descope"}
    assert {(cookie.get("httpOnly"), cookie.get("sameSite")) for cookie in cookies} == {(True, "Lax")}
    assert page.evaluate("document.cookie") == ""


def test_an_expired_session_is_refreshed(site: SiteFactory, page: Page) -> None:
    """The user reloads the page and stays signed in."""
    app = site(default_tenant="acme")
    page.goto(app.url + "/reports")
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")
    app.emulator.clock.advance(3600)

    page.reload()

    expect(page.get_by_role("heading")).to_have_text("acme")
    assert app.emulator.requests.count("refresh") == 1


def test_strict_cookies_are_sent_after_the_first_login(site: SiteFactory, page: Page) -> None:
    """The redirect from another site does not send them, so the app shows a page that navigates on."""
    app = site(host="localhost", default_tenant="acme", cookie_samesite="strict")
    page.goto(app.url + "/reports")

    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("acme")
    session = [cookie for cookie in page.context.cookies() if str(cookie.get("name")).startswith("DS")]
    assert {cookie.get("sameSite") for cookie in session} == {"Strict"}
    assert app.emulator.requests.count("authorize") == 1


def test_a_refused_login_can_be_repeated(site: SiteFactory, page: Page) -> None:
    """The page after a refusal links to a new login, which returns to the same page."""
    app = site(default_tenant="acme")
    page.goto(app.url + "/reports")
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_role("heading")).to_have_text("Signing in did not work")

    page.get_by_role("link", name="Sign in again").click()
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("acme")
    assert page.url == app.url + "/reports"


def test_sg06_refused_user_signs_out_from_the_page_of_the_refusal(site: SiteFactory, page: Page) -> None:
    """The form sends the app's own Origin, so that also browsers without Fetch Metadata are accepted."""
    app = site(default_tenant="acme")
    page.goto(app.url + "/reports")
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")
    app.descope.on_session(SessionCheck(Suspended()))
    page.goto(app.url + "/reports")
    expect(page.get_by_role("heading")).to_have_text("Your account is suspended")

    with page.expect_request("**/logout") as logout:
        page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("heading")).to_have_text("not signed in")
    assert logout.value.all_headers()["origin"] == app.url
    assert page.context.cookies() == []


def test_a_login_returns_to_a_front_end_of_another_origin(
    site: SiteFactory, page: Page, front_end: str
) -> None:
    """The sign-in page's CSP allows all redirects: to the callback, then to the trusted origin."""
    app = site(trusted_origins=[front_end], default_tenant="acme")

    page.goto(f"{app.url}/login/sso?return_to={front_end}/dashboard")
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("The front end")
    assert page.url == f"{front_end}/dashboard"
    assert {"DS", "DSR"} <= {cookie.get("name") for cookie in page.context.cookies()}
