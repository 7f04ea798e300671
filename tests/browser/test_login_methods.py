"""The ways to sign in, in Chromium: the page, a social provider, and the way back."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SiteFactory

pytestmark = pytest.mark.browser

METHODS = ["sso", "google", "github"]


def test_user_signs_in_with_google_and_returns_to_the_page(site: SiteFactory, page: Page) -> None:
    """A protected page leads to the page with the ways, and the provider back to the protected page."""
    app = site(login_methods=METHODS)
    page.goto(app.url + "/reports")
    expect(page).to_have_title("Sign in")
    page.get_by_role("link", name="Continue with Google").click()
    expect(page.get_by_text("Google")).to_be_visible()

    page.get_by_role("button", name="ada@acme.example").click()

    page.wait_for_url(app.url + "/reports")
    assert {cookie.get("name") for cookie in page.context.cookies()} >= {"DS", "DSR"}


def test_work_email_comes_first_on_the_page(site: SiteFactory, page: Page) -> None:
    """It has the focus, and Enter starts single sign-on."""
    app = site(login_methods=METHODS)
    page.goto(app.url + "/reports")

    page.keyboard.type("ada@acme.example")
    page.keyboard.press("Enter")

    page.get_by_role("button", name="ada@acme.example").click()
    page.wait_for_url(app.url + "/reports")


def test_refused_login_offers_the_other_ways(site: SiteFactory, page: Page) -> None:
    """After a refusal at the provider the user chooses again, and still returns to the page."""
    app = site(login_methods=METHODS)
    page.goto(app.url + "/login?return_to=/reports")
    page.get_by_role("link", name="Continue with GitHub").click()
    page.get_by_role("button", name="Refuse").click()

    page.get_by_role("link", name="Sign in again").click()
    page.get_by_role("link", name="Continue with Google").click()
    page.get_by_role("button", name="ada@acme.example").click()

    page.wait_for_url(app.url + "/reports")
