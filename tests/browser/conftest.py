"""A real Chromium, and a real app with a real emulator on sockets for it to talk to."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from fastapi import FastAPI, Response
from playwright.sync_api import Browser, Page, sync_playwright

from fastapi_descope import CurrentSession, Descope, DescopeSettings, OptionalUser
from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from tests.helpers.live_server import listening, serve_app

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Names of our own, all on this machine, so that sub-domains and foreign sites are real ones.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)


@dataclass(frozen=True)
class Site:
    """An app and its emulator, both on sockets."""

    url: str
    emulator: Emulator
    descope: Descope


SiteFactory = Callable[..., Site]


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """Debian's Chromium, without a window and without calling home.

    For a module at a time: while Playwright runs, the thread's event loop is its own.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Generator[Page]:
    """A tab with an empty cookie jar."""
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def site() -> Generator[SiteFactory]:
    """Starts an app and its emulator on sockets."""
    with ExitStack() as stack:

        def start(emulator: Emulator | None = None, host: str = "127.0.0.1", **settings: object) -> Site:
            emulator = emulator or Emulator()
            base_url = stack.enter_context(running(emulator))
            listener, url = stack.enter_context(listening())
            url = url.replace("127.0.0.1", host)
            app = FastAPI()
            values: dict[str, object] = {
                "project_id": emulator.project_id,
                "base_url": base_url,
                "public_url": url,
                **settings,
            }
            checked = DescopeSettings(**values)  # type: ignore[arg-type] # any setting, by keyword
            descope = Descope(app, settings=checked, clock=emulator.clock)
            add_pages(app)
            stack.enter_context(serve_app(app, listener))
            return Site(url, emulator, descope)

        yield start


def add_pages(app: FastAPI) -> None:
    """A page for everybody, and one for those who are signed in."""

    @app.get("/")
    async def home(user: OptionalUser) -> Response:
        return Response(f"<h1>{user.email if user else 'nobody'}</h1>", media_type="text/html")

    @app.get("/reports")
    async def reports(session: CurrentSession) -> Response:
        form = "<form action='/logout' method='post'><button>Sign out</button></form>"
        return Response(f"<h1>{session.tenant_id}</h1>{form}", media_type="text/html")

    @app.post("/act")
    async def act(session: CurrentSession) -> str:
        return session.user.id
