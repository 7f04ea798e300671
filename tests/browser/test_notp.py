"""Sign-in with WhatsApp in Chromium: one context is the browser, another the phone."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from fastapi_descope.emulator import Emulator, Project, SeedUser
from tests.browser.conftest import Site, SiteFactory

pytestmark = pytest.mark.browser

HOSTILE_NAME = "<img src=x onerror='document.title=1'>"


@pytest.fixture
def phone(chromium: Browser) -> Generator[Page]:
    """Open a tab in a browser that shares nothing with ``page``."""
    context = chromium.new_context()
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def send_message(page: Page, phone: Page, user: str = "ada@acme.example") -> None:
    """Open the link of the page on the phone, and confirm there. The emulator stands for WhatsApp."""
    url = page.get_by_role("link", name="Open WhatsApp").get_attribute("href")
    assert url
    phone.goto(url)
    phone.get_by_role("button", name=user).click()
    expect(phone.get_by_text("Go back to the app")).to_be_visible()


@contextmanager
def held_navigation(page: Page, url: str) -> Generator[None]:
    """Hold requests for ``url`` within the block, so that the page before them stays."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(url, hold)
    yield
    page.unroute(url)
    for route in held:
        route.continue_()


def polls_of(page: Page) -> list[Response]:
    """Record the responses to the polls of the page."""
    responses: list[Response] = []
    page.on("response", lambda each: responses.append(each) if "/notp/session" in each.url else None)
    return responses


def test_np08_the_page_shows_the_name_of_the_user(site: SiteFactory, page: Page, phone: Page) -> None:
    """The browser polls until the message has arrived, shows the name, and continues at the target."""
    app = site(login_methods=["sso", "notp"])
    polls = polls_of(page)
    page.goto(app.url + "/login/notp?return_to=/")
    expect(page.locator("svg")).to_be_visible()
    expect(page.get_by_text(app.url.removeprefix("http://"))).to_be_visible()
    expect(page.get_by_text("The code is valid for 9:")).to_be_visible()

    with held_navigation(page, app.url + "/"):
        send_message(page, phone)

        expect(page.get_by_text("Signed in as Ada Lovelace.")).to_be_visible()
    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")
    assert page.url == app.url + "/"
    assert {cookie.get("name") for cookie in page.context.cookies()} == {"DS", "DSR"}
    assert phone.context.cookies(app.url) == []
    assert polls[-1].status == 200


def test_np05_a_hostile_name_is_shown_as_text(site: SiteFactory, page: Page, phone: Page) -> None:
    """The script of the page writes text only, and its policy lets no other script run."""
    user = SeedUser("mallory@acme.example", name=HOSTILE_NAME)
    app = site(Emulator(Project(users=(user,))), login_methods=["sso", "notp"])
    page.goto(app.url + "/login/notp")

    with held_navigation(page, app.url + "/"):
        send_message(page, phone, "mallory@acme.example")

        expect(page.get_by_text(f"Signed in as {HOSTILE_NAME}.")).to_be_visible()
        assert page.title() == "Sign in with WhatsApp"


def test_the_target_page_gets_strict_cookies(site: SiteFactory, page: Page, phone: Page) -> None:
    """The navigation starts on our own page, so the browser sends them."""
    app = site(host="localhost", login_methods=["sso", "notp"], cookie_samesite="strict")
    page.goto(app.url + "/login/notp?return_to=/")

    send_message(page, phone)

    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")


def test_a_hidden_page_does_not_poll(site: SiteFactory, page: Page) -> None:
    """A forgotten tab causes no requests. It polls as soon as it is visible again."""
    app = site(login_methods=["sso", "notp"])
    polls = polls_of(page)
    page.clock.install()
    # From the start: its clock goes on in real time, too, and a visible page would poll.
    page.add_init_script("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.goto(app.url + "/login/notp")
    page.clock.run_for(60_000)
    assert polls == []

    with page.expect_response("**/login/notp/session"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")


def test_an_expired_code_is_hidden(site: SiteFactory, page: Page) -> None:
    """After ten minutes the page stops polling and offers to start again."""
    app = site(login_methods=["sso", "notp"])
    page.clock.install()
    page.goto(app.url + "/login/notp")
    expect(page.locator("svg")).to_be_visible()

    page.clock.fast_forward(600_000)

    expect(page.get_by_text("This code has expired.")).to_be_visible()
    expect(page.locator("svg")).to_be_hidden()
    polls = polls_of(page)
    page.clock.run_for(10_000)
    assert polls == []
    page.get_by_role("link", name="Start again").click()
    expect(page.locator("svg")).to_be_visible()


def test_a_refusal_is_shown(site: SiteFactory, page: Page) -> None:
    """The page shows the message of the response, and stops."""
    app = site(login_methods=["sso", "notp"])
    page.goto(app.url + "/login/notp")

    page.context.clear_cookies()

    expect(page.get_by_text("This sign-in has expired, was started in another browser")).to_be_visible()
    expect(page.locator("svg")).to_be_hidden()


def test_an_outage_does_not_end_the_sign_in(site: SiteFactory, page: Page, phone: Page) -> None:
    """The page continues to poll after a 503 and after a failed request."""
    app = site(login_methods=["sso", "notp"])
    app.emulator.faults.add("notp_pending", status=503, retry_after=1)
    page.goto(app.url + "/login/notp?return_to=/")
    page.route("**/login/notp/session", lambda route: route.abort(), times=1)

    send_message(page, phone)

    expect(page.get_by_role("heading")).to_have_text("ada@acme.example", timeout=20_000)


def test_the_page_works_without_scripts(site: SiteFactory, chromium: Browser, phone: Page) -> None:
    """The user presses a button after sending the message."""
    app: Site = site(login_methods=["sso", "notp"])
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(app.url + "/login/notp?return_to=/")
    send_message(page, phone)

    page.get_by_role("button", name="I have sent the message").click()

    expect(page.get_by_role("heading")).to_have_text("ada@acme.example")
    context.close()
