"""The main job in a real Chromium, as a person does it."""

from collections.abc import Generator

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Page, expect

from tests.browser.conftest import SiteFactory
from tests.helpers.live_server import listening, serve_app

pytestmark = pytest.mark.browser


@pytest.fixture
def front_end() -> Generator[str]:
    """The URL of a front end on an origin of its own."""
    app = FastAPI()

    @app.get("/dashboard")
    async def dashboard() -> HTMLResponse:
        return HTMLResponse("<h1>The front end</h1>")

    with listening() as (listener, url), serve_app(app, listener):
        yield url


def test_a_person_signs_in_works_and_signs_out(site: SiteFactory, page: Page) -> None:
    """From a protected page over the organisation and the identity provider, and back to the page."""
    here = site()

    page.goto(here.url + "/reports?page=2")
    page.get_by_label("Work e-mail or organisation").fill("acme")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("acme")
    assert page.url == here.url + "/reports?page=2"
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("nobody")
    assert page.context.cookies() == []


def test_scripts_cannot_read_the_session(site: SiteFactory, page: Page) -> None:
    """Every cookie is HttpOnly, and none outlives what it is for."""
    here = site(default_tenant="acme")
    page.goto(here.url + "/reports")
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")

    cookies = page.context.cookies()

    assert {cookie.get("name") for cookie in cookies} == {"DS", "DSR"}
    assert {(cookie.get("httpOnly"), cookie.get("sameSite")) for cookie in cookies} == {(True, "Lax")}
    assert page.evaluate("document.cookie") == ""


def test_an_expired_session_renews_itself_unseen(site: SiteFactory, page: Page) -> None:
    """The person reloads after lunch and notices nothing."""
    here = site(default_tenant="acme")
    page.goto(here.url + "/reports")
    page.get_by_role("button", name="ada@acme.example").click()
    expect(page.get_by_role("heading")).to_have_text("acme")
    here.emulator.clock.advance(3600)

    page.reload()

    expect(page.get_by_role("heading")).to_have_text("acme")
    assert here.emulator.requests.count("refresh") == 1


def test_strict_cookies_arrive_after_the_first_sign_in(site: SiteFactory, page: Page) -> None:
    """The way back from another site leaves them behind, so a page of the app's own goes on."""
    here = site(host="localhost", default_tenant="acme", cookie_samesite="strict")
    page.goto(here.url + "/reports")

    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("acme")
    assert {cookie.get("sameSite") for cookie in page.context.cookies()} == {"Strict"}
    assert here.emulator.requests.count("authorize") == 1


def test_a_person_who_refuses_can_start_again(site: SiteFactory, page: Page) -> None:
    """The page after a refusal has a way on, and it works."""
    here = site(default_tenant="acme")
    page.goto(here.url + "/reports")
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_role("heading")).to_have_text("Signing in did not work")

    page.get_by_role("link", name="Sign in again").click()
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")


def test_a_person_comes_back_to_a_front_end_of_another_origin(
    site: SiteFactory, page: Page, front_end: str
) -> None:
    """The sign-in page's policy covers the whole way: callback, then the origin that the app trusts."""
    here = site(trusted_origins=[front_end], default_tenant="acme")

    page.goto(f"{here.url}/login/sso?return_to={front_end}/dashboard")
    page.get_by_role("button", name="ada@acme.example").click()

    expect(page.get_by_role("heading")).to_have_text("The front end")
    assert page.url == f"{front_end}/dashboard"
    assert {cookie.get("name") for cookie in page.context.cookies()} == {"DS", "DSR"}
