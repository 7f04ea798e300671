"""The emulator's console in a real browser: its own policy lets it work, and other pages stay out (EM-03)."""

from collections.abc import Generator

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from tests.browser.conftest import SiteFactory

pytestmark = pytest.mark.browser


@pytest.fixture
def emulator() -> Emulator:
    """One that may be broken."""
    return Emulator(console="faults")


@pytest.fixture
def base_url(emulator: Emulator) -> Generator[str]:
    """Where it runs."""
    with running(emulator) as url:
        yield url


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser complains about: a policy that is in the way, a script that fails."""
    found: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            found.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def test_it_keeps_itself_up_to_date(
    page: Page, emulator: Emulator, base_url: str, complaints: list[str]
) -> None:
    """What happens elsewhere shows on the page without loading it again."""
    page.goto(f"{base_url}/console")
    httpx.get(f"{base_url}/v2/keys/somebody-else")
    emulator.issue("grace@acme.example", "acme")
    page.get_by_text("GET /v2/keys/somebody-else").wait_for()
    page.locator("#sessions").get_by_text("grace@acme.example").wait_for()
    assert complaints == []


def test_its_levers(page: Page, emulator: Emulator, base_url: str, complaints: list[str]) -> None:
    """Forms of the page are taken: a fault is ordered and cleared, a session revoked, the clock moved."""
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


def test_it_works_without_scripts(chromium: Browser, emulator: Emulator, base_url: str) -> None:
    """Every lever is a form."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base_url}/console")
    page.get_by_role("button", name="Sign with a new key").click()
    page.get_by_role("button", name="Drop old keys").wait_for()
    assert len(emulator.public_keys) == 2
    context.close()


def test_it_fits_a_phone(chromium: Browser, emulator: Emulator, base_url: str) -> None:
    """No sideways scrolling, whatever was asked."""
    emulator.issue("ada@acme.example", "acme")
    httpx.get(f"{base_url}/{'x' * 300}")
    context = chromium.new_context(viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(f"{base_url}/console")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    context.close()


def test_a_page_of_the_app_stays_out(
    page: Page, site: SiteFactory, emulator: Emulator, base_url: str
) -> None:
    """A script on another port of this machine can neither read the console nor pull a lever."""
    page.goto(f"{site().url}/")
    read = "url => fetch(url, {credentials: 'include'}).then(r => r.text(), e => e.name)"
    assert page.evaluate(read, f"{base_url}/console/api/state") == "TypeError"
    blind = "url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'seconds=60'}).then(r => r.type)"
    assert page.evaluate(blind, f"{base_url}/console/clock") == "opaque"
    order = """url => fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})
        .then(r => r.status, e => e.name)"""
    assert page.evaluate(order, f"{base_url}/console/api/keys/rotate") == "TypeError"
    assert (emulator.clock.offset, len(emulator.public_keys)) == (0, 1)
