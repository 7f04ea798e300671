"""The URL of a callback, opened again within the minute in Chromium."""

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.conftest import ADA, Site, SiteFactory

pytestmark = pytest.mark.browser


def _log_in(app: Site, page: Page) -> str:
    """Sign Ada in, and return the URL of the callback."""
    callbacks: list[str] = []

    def note(request: Request) -> None:
        if "/callback?" in request.url:
            callbacks.append(request.url)

    page.on("request", note)
    app.sign_in(page, "/reports")
    page.remove_listener("request", note)
    (callback,) = callbacks
    return callback


def _session_names(page: Page) -> set[str]:
    return {str(cookie.get("name")) for cookie in page.context.cookies()} & {"DS", "DSR"}


def test_cb04_callback_gives_another_browser_nothing(
    site: SiteFactory, page: Page, chromium: Browser
) -> None:
    """CB-04: neither without cookies nor with a login of its own, before and after the owner repeats it."""
    app = site(default_tenant="acme")
    callback = _log_in(app, page)
    context = chromium.new_context()
    other = context.new_page()

    other.goto(callback)
    expect(other.get_by_role("heading")).to_have_text("Signing in did not work")
    other.goto(app.url + "/reports")  # a login of its own
    expect(other.get_by_role("button", name=ADA)).to_be_visible()
    other.goto(callback)
    expect(other.get_by_role("heading")).to_have_text("Signing in did not work")
    page.goto(callback)  # the minute is not over
    page.wait_for_url(app.url + "/reports")
    expect(page.get_by_role("heading")).to_have_text("acme")
    other.goto(callback)
    expect(other.get_by_role("heading")).to_have_text("Signing in did not work")

    assert _session_names(other) == set()
    assert app.emulator.requests.count("exchange") == 1
    context.close()


def test_cb04_callback_gives_nothing_after_the_logout(site: SiteFactory, page: Page) -> None:
    """CB-04: also in the browser that has completed it."""
    app = site(default_tenant="acme")
    callback = _log_in(app, page)
    page.goto(callback)  # the minute is not over
    expect(page.get_by_role("heading")).to_have_text("acme")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading")).to_have_text("not signed in")

    page.goto(callback)

    expect(page.get_by_role("heading")).to_have_text("Signing in did not work")
    assert _session_names(page) == set()
    assert app.emulator.requests.count("exchange") == 1
