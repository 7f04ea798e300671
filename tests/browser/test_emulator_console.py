"""The emulator's console in a real browser: it works under its own policy and rejects other pages (EM-03)."""

from collections.abc import Generator
from dataclasses import replace
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

from fastapi_descope.emulator import AccessKey, Emulator, InboundApp
from fastapi_descope.emulator.server import running
from tests.browser.conftest import SiteFactory

pytestmark = pytest.mark.browser

SCOPES = {"reports:read": "Read your reports"}


@pytest.fixture
def emulator() -> Emulator:
    """An emulator with a console that can change its state."""
    return Emulator(console="faults")


@pytest.fixture
def base_url(emulator: Emulator) -> Generator[str]:
    """The URL of the running emulator."""
    with running(emulator) as url:
        yield url


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """The errors of the browser: policy violations and script errors."""
    found: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            found.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_page_updates_itself(page: Page, emulator: Emulator, base_url: str, complaints: list[str]) -> None:
    """Changes appear on the page without a reload."""
    page.goto(f"{base_url}/console")
    httpx.get(f"{base_url}/v2/keys/somebody-else")
    emulator.issue("grace@acme.example", "acme")
    page.get_by_text("GET /v2/keys/somebody-else").wait_for()
    page.locator("#sessions").get_by_text("grace@acme.example").wait_for()
    assert complaints == []


def test_forms_change_the_state(page: Page, emulator: Emulator, base_url: str, complaints: list[str]) -> None:
    """The forms add and clear a fault, revoke a session and move the clock."""
    emulator.issue("ada@acme.example", "acme")
    page.goto(f"{base_url}/console")
    page.get_by_label("Endpoint").select_option("me")
    page.get_by_label("What happens").select_option("reset")
    page.get_by_role("button", name="Add fault").click()
    page.locator("#faults").get_by_text("connection reset").wait_for()
    page.get_by_role("button", name="Clear").click()
    page.get_by_text("No pending faults.").wait_for()
    page.locator("#sessions").get_by_role("button", name="Revoke").click()
    page.get_by_text("No active sessions.").wait_for()
    page.get_by_role("button", name="+10 min").click()
    page.get_by_text("+600 s from real time").wait_for()
    assert emulator.clock.offset == 600
    assert complaints == []


def test_page_shows_machines_applications_and_actors(
    page: Page, emulator: Emulator, base_url: str, complaints: list[str]
) -> None:
    """Access keys, a consent that the user gives and takes back, and the person who acts in a session."""
    old = AccessKey("K2old", "canary-old-secret", "Last year's job", expires_at=1)
    app = InboundApp("TPA2planner", "Planner", redirect_uris=(f"{base_url}/console",), scopes=SCOPES)
    project = emulator.project
    emulator.project = replace(
        project, access_keys=(*project.access_keys, old), inbound_apps=(*project.inbound_apps, app)
    )
    emulator.issue("ada@acme.example", "acme", actor="grace@acme.example")
    page.goto(_authorization_url(emulator, app))
    page.get_by_role("button", name="ada@acme.example").click()
    page.get_by_role("button", name="Allow").click()

    page.wait_for_url(lambda url: url.startswith(f"{base_url}/console?"))

    consents = page.locator("#consents")
    assert _words(consents.locator("tbody tr")) == "ada@acme.example Planner openid reports:read Withdraw"
    assert "Planner public TPA2planner" in _words(page.locator("#apps tbody"))
    keys = page.locator("#access-keys tbody tr")
    assert _words(keys.nth(0)).endswith("reporter never active")
    assert _words(keys.nth(1)) == "Last year's job K2old no tenant 1970-01-01 expired"
    assert "actor: grace@acme.example" in _words(page.locator("#sessions tbody"))
    assert "canary" not in page.content()
    consents.get_by_role("button", name="Withdraw").click()
    page.get_by_text("No consents.").wait_for()
    assert complaints == []


def _authorization_url(emulator: Emulator, app: InboundApp) -> str:
    query = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": app.redirect_uris[0],
        "scope": "openid reports:read",
        "state": "s",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    return f"{emulator.base_url}/oauth2/v1/apps/authorize?{urlencode(query)}"


def _words(row: Locator) -> str:
    """Return the visible text with single spaces."""
    return " ".join(row.inner_text().split())


def test_page_works_without_scripts(chromium: Browser, emulator: Emulator, base_url: str) -> None:
    """Every action is a form."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base_url}/console")
    page.get_by_role("button", name="Sign with a new key").click()
    page.get_by_role("button", name="Drop old keys").wait_for()
    assert len(emulator.public_keys) == 2
    context.close()


def test_page_fits_a_phone(chromium: Browser, emulator: Emulator, base_url: str) -> None:
    """The page does not scroll horizontally, even with long paths."""
    emulator.issue("ada@acme.example", "acme")
    httpx.get(f"{base_url}/{'x' * 300}")
    context = chromium.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(f"{base_url}/console")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    context.close()


def test_page_of_the_app_is_rejected(
    page: Page, site: SiteFactory, emulator: Emulator, base_url: str
) -> None:
    """A script on another port of this machine can neither read the console nor change anything."""
    page.goto(f"{site().url}/")
    read = "url => fetch(url, {credentials: 'include'}).then(r => r.text(), e => e.name)"
    assert page.evaluate(read, f"{base_url}/console/api/state") == "TypeError"
    blind = "url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'seconds=60'}).then(r => r.type)"
    assert page.evaluate(blind, f"{base_url}/console/clock") == "opaque"
    order = """url => fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})
        .then(r => r.status, e => e.name)"""
    assert page.evaluate(order, f"{base_url}/console/api/keys/rotate") == "TypeError"
    assert (emulator.clock.offset, len(emulator.public_keys)) == (0, 1)
