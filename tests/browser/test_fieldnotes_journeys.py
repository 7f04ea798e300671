"""Journeys through the example app in Chromium: the ways in, and a session that changes elsewhere."""

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import ADA, Fieldnotes

pytestmark = pytest.mark.browser

GRACE, NOMAD = "grace@acme.example", "nomad@example.org"


def _ask_for_a_link(page: Page, fieldnotes: Fieldnotes, email: str) -> str:
    """Ask for a link on the way to a report, and return it."""
    page.goto(fieldnotes.url + "/reports/A-1042")
    page.get_by_label("E-mail", exact=True).fill(email)
    page.get_by_role("button", name="E-mail me a link").click()
    expect(page.get_by_role("heading", name="Look in your mailbox")).to_be_visible()
    return fieldnotes.emulator.outbox.last(email).link


def _expect_way(page: Page, fieldnotes: Fieldnotes, way: str) -> None:
    page.goto(fieldnotes.url + "/account")
    expect(page.get_by_text(way, exact=True)).to_be_visible()


def test_social_sign_in_asks_for_the_organisation_and_returns_to_the_report(
    context: BrowserContext, fieldnotes: Fieldnotes
) -> None:
    """The provider knows no organisations. The account page names the way in."""
    page = context.new_page()
    page.goto(fieldnotes.url + "/reports/A-1042")
    page.get_by_role("link", name="Continue with Google").click()
    page.get_by_role("button", name=ADA).click()

    expect(page.get_by_role("heading", name="Where do you want to work?")).to_be_visible()
    page.get_by_role("main").get_by_role("button", name="Acme Corp").click()

    expect(page.get_by_role("heading", name="North bridge, spring inspection")).to_be_visible()
    assert page.url == fieldnotes.url + "/reports/A-1042"
    _expect_way(page, fieldnotes, "a social account")


def test_refusal_at_the_provider_leads_to_a_new_start(
    context: BrowserContext, fieldnotes: Fieldnotes
) -> None:
    """In the look of the app. The new start offers every way, and keeps the page that was asked for."""
    page = context.new_page()
    page.goto(fieldnotes.url + "/reports")
    page.get_by_role("link", name="Continue with GitHub").click()
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_role("heading", name="Signing in did not work")).to_be_visible()
    expect(page.get_by_role("link", name="Fieldnotes")).to_be_visible()

    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("Work e-mail or organisation").fill(ADA)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name=ADA).click()

    page.wait_for_url(fieldnotes.url + "/reports")
    _expect_way(page, fieldnotes, "single sign-on")


def test_link_by_email_signs_in_the_browser_that_asked(
    context: BrowserContext, fieldnotes: Fieldnotes
) -> None:
    """In another tab of it. A second press of the button leads there again; the token is verified once."""
    page, tab = context.new_page(), context.new_page()
    link = _ask_for_a_link(page, fieldnotes, GRACE)

    tab.goto(link)
    expect(tab.get_by_role("heading", name="Finish signing in")).to_be_visible()
    tab.get_by_role("button", name="Sign in").click()

    tab.wait_for_url(fieldnotes.url + "/reports/A-1042")
    _expect_way(tab, fieldnotes, "a link or a code by e-mail")
    tab.goto(link)
    tab.get_by_role("button", name="Sign in").click()
    tab.wait_for_url(fieldnotes.url + "/reports/A-1042")
    assert fieldnotes.emulator.requests.count("magiclink_verify") == 1


def test_link_by_email_in_another_browser_signs_in_that_one_only(
    context: BrowserContext, chromium: Browser, fieldnotes: Fieldnotes
) -> None:
    """After a question. A new user belongs to no organisation, and the page says what to do."""
    page = context.new_page()
    link = _ask_for_a_link(page, fieldnotes, "newcomer@home.example")
    other = chromium.new_context()
    phone = other.new_page()
    phone.goto(link)
    expect(phone.get_by_role("heading", name="Sign in with this browser?")).to_be_visible()

    phone.get_by_role("button", name="Sign in here").click()

    expect(phone.get_by_role("heading")).to_have_text("You are signed in, but in no organisation yet")
    expect(phone.get_by_role("main").get_by_text("newcomer@home.example")).to_be_visible()
    page.goto(fieldnotes.url + "/reports")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    phone.get_by_role("button", name="Sign in another way").click()
    expect(phone.get_by_role("link", name="Continue with Google")).to_be_visible()
    other.close()


def test_new_role_counts_after_the_next_refresh(
    context: BrowserContext, chromium: Browser, fieldnotes: Fieldnotes
) -> None:
    """An admin gives it in another browser. Then the page of the member has the new buttons."""
    viewer = context.new_page()
    fieldnotes.sign_in(viewer, "/reports", GRACE)
    expect(viewer.get_by_role("link", name="New report")).to_have_count(0)
    other = chromium.new_context()
    admin = other.new_page()
    fieldnotes.sign_in(admin, "/members")
    fieldnotes.make_admin(admin, "Grace Hopper")

    fieldnotes.emulator.clock.advance(11 * 60)
    viewer.reload()

    expect(viewer.get_by_role("link", name="New report")).to_be_visible()
    viewer.get_by_role("link", name="Members").click()
    expect(viewer.get_by_label("Role of Ada Lovelace")).to_be_visible()
    other.close()


def test_sign_out_on_all_devices_ends_the_other_browser(
    context: BrowserContext, chromium: Browser, fieldnotes: Fieldnotes
) -> None:
    """At its next click, although its session has not expired."""
    here = context.new_page()
    fieldnotes.sign_in(here, "/reports")
    other = chromium.new_context()
    elsewhere = other.new_page()
    fieldnotes.sign_in(elsewhere, "/account")

    elsewhere.get_by_role("button", name="Sign out on all devices").click()
    elsewhere.wait_for_url(fieldnotes.url + "/")
    here.get_by_role("link", name="Activity").click()

    expect(here.get_by_role("heading", name="Sign in")).to_be_visible()
    assert here.url == fieldnotes.url + "/login?return_to=%2Factivity"
    other.close()


def test_outage_of_descope_shows_a_page_and_keeps_the_session(
    context: BrowserContext, fieldnotes: Fieldnotes
) -> None:
    """The session cannot be renewed. The page has a link to try again, which works after the outage."""
    page = context.new_page()
    fieldnotes.sign_in(page, "/reports")
    fieldnotes.emulator.clock.advance(11 * 60)
    fieldnotes.emulator.faults.add("refresh", status=503, times=10)

    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_role("heading", name="The sign-in service cannot be reached")).to_be_visible()
    expect(page.get_by_role("link", name="Fieldnotes")).to_be_visible()
    fieldnotes.emulator.faults.clear()
    fieldnotes.emulator.clock.advance(60)
    page.get_by_role("link", name="Try again").click()

    expect(page.get_by_role("heading", name="Activity")).to_be_visible()


def test_activity_goes_on_across_an_expired_session(
    context: BrowserContext, chromium: Browser, fieldnotes: Fieldnotes
) -> None:
    """The next change ends the WebSocket. The page connects again, which renews the session, and shows it."""
    page = context.new_page()
    urls: list[str] = []
    page.on("websocket", lambda socket: urls.append(socket.url))
    fieldnotes.sign_in(page, "/activity")
    expect(page.get_by_text("Nothing has happened yet.")).to_be_visible()

    other = chromium.new_context()
    colleague = other.new_page()
    fieldnotes.sign_in(colleague, "/admin")
    colleague.get_by_role("button", name="Archive Fire doors, office floors").click()
    # Now the page is connected.
    expect(page.get_by_role("link", name="Fire doors, office floors")).to_be_visible()

    fieldnotes.emulator.clock.advance(11 * 60)
    colleague.get_by_role("button", name="Archive Boiler room, annual check").click()

    expect(page.get_by_role("link", name="Boiler room, annual check")).to_be_visible()
    assert len(urls) >= 2
    assert fieldnotes.emulator.requests.count("refresh") == 2  # one for each browser
    page.goto(fieldnotes.url + "/account")
    expect(page.locator("[data-seconds-left]")).to_have_text(re.compile(r"^(10|9) min"))
    other.close()
