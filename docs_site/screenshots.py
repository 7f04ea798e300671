"""Takes the pictures of docs/images from the running example app and emulator."""

import sys
from base64 import b64decode
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

from fastapi import FastAPI
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from example_app.app import create_app
from example_app.demo import WAYS_IN
from example_app.loopback import listen, serve_in_thread
from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import Clock, Emulator, Project
from fastapi_descope.emulator.server import running

from .pages import ROOT

__all__ = ["take"]

_CHROMIUM = "/usr/bin/chromium"
_SIZE = ViewportSize(width=900, height=560)
_WAYS_SIZE = ViewportSize(width=900, height=760)
_CONSOLE_SIZE = ViewportSize(width=1280, height=1064)
_USER = "ada@acme.example"
_SUPPORT = "grace@acme.example"


def take(folder: Path) -> None:
    """Take all pictures, in light and dark, into ``folder`` as WebP."""
    folder.mkdir(exist_ok=True)
    emulator = Emulator(Project(), clock=Clock(), console="faults")
    emulator.issue(_USER, "acme", actor=_SUPPORT)  # the console shows who impersonates
    with (
        running(emulator, host="localhost"),
        _serve(emulator, _example) as url,
        _serve(emulator, _plain) as plain_url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        _take_scheme(browser, "light", folder, url, plain_url, emulator)
        _take_scheme(browser, "dark", folder, url, plain_url, emulator)
        browser.close()


@contextmanager
def _serve(emulator: Emulator, build: Callable[[DescopeSettings, Emulator], FastAPI]) -> Generator[str]:
    """Serve an app, and yield its URL."""
    listener, url = listen(0)
    settings = DescopeSettings(project_id=emulator.project_id, base_url=emulator.base_url, public_url=url)
    with listener, serve_in_thread(build(settings, emulator), listener):
        yield url


def _example(settings: DescopeSettings, emulator: Emulator) -> FastAPI:
    settings = settings.model_copy(update={"login_methods": WAYS_IN})
    return create_app(settings=settings, clock=emulator.clock, try_it=[_USER])


def _plain(settings: DescopeSettings, emulator: Emulator) -> FastAPI:
    """Return an app that shows the plugin's pages in their built-in look."""
    app = FastAPI()
    Descope(app, settings=settings, clock=emulator.clock)
    return app


def _take_scheme(
    browser: Browser,
    scheme: Literal["light", "dark"],
    folder: Path,
    url: str,
    plain_url: str,
    emulator: Emulator,
) -> None:
    context = browser.new_context(viewport=_SIZE, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{plain_url}/login/sso")
    _save(page, folder / f"organisation-{scheme}.webp")
    page.goto(f"{plain_url}/callback?code=spent&state=unknown")
    _save(page, folder / f"error-{scheme}.webp")
    page.set_viewport_size(_WAYS_SIZE)
    page.goto(f"{url}/login?return_to=/reports")
    _save(page, folder / f"branded-{scheme}.webp")
    page.set_viewport_size(_SIZE)
    page.get_by_label("Work e-mail or organisation").fill("acme")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{emulator.base_url}/**")
    _save(page, folder / f"sign-in-{scheme}.webp")
    page.get_by_role("button", name=_USER).click()
    page.wait_for_url(f"{url}/**")
    page.wait_for_load_state("networkidle")
    _save(page, folder / f"example-{scheme}.webp")
    page.set_viewport_size(_CONSOLE_SIZE)
    page.goto(f"{emulator.base_url}/console")
    page.wait_for_load_state("networkidle")
    _save(page, folder / f"console-{scheme}.webp")
    context.close()


def _save(page: Page, file: Path) -> None:
    """Save the visible part of the page as WebP, which Playwright itself cannot."""
    session = page.context.new_cdp_session(page)
    options = {"format": "webp", "quality": 80}
    picture: dict[str, str] = cast("Any", session).send("Page.captureScreenshot", options)
    file.write_bytes(b64decode(picture["data"]))


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
