"""The ways to sign in, in Chromium: the page, a social provider, and the way back."""

import pytest
from playwright.sync_api import Browser, Page, expect

from fastapi_descope.emulator import Emulator
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


def _ask(page: Page, url: str) -> None:
    page.goto(url + "/reports")
    page.get_by_label("E-mail", exact=True).fill("ada@acme.example")
    page.get_by_role("button", name="E-mail me a link").click()
    expect(page.get_by_role("heading")).to_have_text("Look in your mailbox")


def test_user_signs_in_with_a_link_from_the_outbox(site: SiteFactory, page: Page) -> None:
    """The developer finds the link in the console of the emulator, and it leads back to the page."""
    emulator = Emulator(console="view")
    app = site(emulator, login_methods=["sso", "google", "magiclink"])
    _ask(page, app.url)

    page.goto(emulator.base_url + "/console")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the link").click()
    tab = opened.value
    expect(tab.get_by_role("heading")).to_have_text("Finish signing in")
    tab.get_by_role("button", name="Sign in").click()

    tab.wait_for_url(app.url + "/reports")
    tab.go_back()
    expect(tab.get_by_role("heading")).to_have_text("Finish signing in")


def test_ml04_link_on_a_phone_signs_in_the_phone(site: SiteFactory, page: Page, chromium: Browser) -> None:
    """After a confirmation. The browser that asked for the link is not signed in."""
    app = site(login_methods=["sso", "magiclink"])
    _ask(page, app.url)
    context = chromium.new_context()
    phone = context.new_page()
    phone.goto(app.emulator.outbox.last("ada@acme.example").link)
    expect(phone.get_by_role("heading")).to_have_text("Sign in with this browser?")

    phone.get_by_role("button", name="Sign in here").click()

    phone.wait_for_url(app.url + "/reports")
    page.goto(app.url + "/reports")
    expect(page.get_by_role("heading")).to_have_text("Sign in")
    context.close()
