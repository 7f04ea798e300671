"""Sign-ins by e-mail in tests: the form, the mailbox, the page of the link, and its button."""

import re
from html import unescape

import httpx

from tests.helpers.app_harness import APP, AppHarness, Browser

ADA = "ada@acme.example"


async def ask(browser: Browser, email: str = ADA, return_to: str = "/me", **headers: str) -> httpx.Response:
    """Send the form that asks for a link, as the page of the app does."""
    data = {"email": email, "return_to": return_to}
    return await browser.post("/login/magiclink", data, sec_fetch_mode="navigate", **headers)


def link(env: AppHarness, email: str = ADA) -> str:
    """Return the newest link in a mailbox."""
    return env.emulator.outbox.last(email).link


def fields(page: httpx.Response) -> dict[str, str]:
    """Return the hidden inputs of a page."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text)
    return {name: unescape(value) for name, value in found}


async def press(browser: Browser, page: httpx.Response, *, app: str = APP, **changed: str) -> httpx.Response:
    """Press the button of the page that a link has opened. ``changed`` are other values of its inputs."""
    data = {**fields(page), **changed}
    return await browser.post(f"{app}/login/magiclink/verify", data, sec_fetch_mode="navigate")


async def follow(env: AppHarness, browser: Browser, email: str = ADA) -> httpx.Response:
    """Open the newest link from the mailbox, and press its button."""
    return await press(browser, await browser.visit(link(env, email), sec_fetch_site="cross-site"))
