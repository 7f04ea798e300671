"""Fixtures: Chromium, and an app with an emulator on sockets."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from fastapi import Depends, FastAPI, Response
from fastapi.responses import FileResponse
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from example_app.app import create_app
from example_app.demo import WAYS_IN
from fastapi_descope import CurrentSession, Descope, DescopeSettings, OptionalUser, require_step_up
from fastapi_descope.emulator import Clock, Emulator, Project
from fastapi_descope.emulator.server import running
from tests.contract.sdks import NODE_SDKS
from tests.helpers.live_server import listening, serve_app

CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Host names that resolve to this machine, so that sub-domains and other sites are real ones.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)

_TIMEOUT = 30_000
"""How long a page may take on a busy machine, in milliseconds."""
expect.set_options(timeout=_TIMEOUT)

ADA, HANK = "ada@acme.example", "hank@globex.example"

_KEY = "management-key"

SCRIPTS = {
    "htmx": "htmx.org/dist/htmx.js",
    "turbo": "@hotwired/turbo/dist/turbo.es2017-umd.js",
    "graphql-ws": "graphql-ws/umd/graphql-ws.js",
    "socket.io": "socket.io-client/dist/socket.io.js",
}
"""Client libraries as they are published. A page loads them from ``/script/<name>``."""


@dataclass(frozen=True)
class Site:
    """A running app and its emulator."""

    url: str
    emulator: Emulator
    descope: Descope
    app: FastAPI

    def sign_in(self, page: Page, path: str) -> None:
        """Open a page that requires a session, and sign Ada in on the way to it."""
        page.goto(self.url + path)
        page.get_by_role("button", name=ADA).click()
        page.wait_for_url(self.url + path)

    def expire_session(self) -> None:
        """Let the session token expire; the refresh token stays valid."""
        self.emulator.clock.advance(3600)

    def expire_everything(self) -> None:
        """Let the refresh token expire too, so that only a login helps."""
        self.emulator.clock.advance(60 * 86_400)


@dataclass(frozen=True)
class Fieldnotes:
    """The running example app and its emulator."""

    url: str
    emulator: Emulator

    def sign_in(self, page: Page, path: str, user: str = ADA, tenant: str = "acme") -> None:
        """Sign a user in to an organisation, on the way to ``path``."""
        page.goto(f"{self.url}/login/sso?tenant={tenant}&return_to={path}")
        page.get_by_role("button", name=user).click()
        page.wait_for_url(self.url + path)

    def sign_in_with_google(self, page: Page, user: str) -> None:
        """Sign a user in. They have no current organisation then."""
        page.goto(f"{self.url}/login/oauth/google?return_to=/reports")
        page.get_by_role("button", name=user).click()
        page.wait_for_url(self.url + "/reports")

    def make_admin(self, page: Page, name: str) -> None:
        """Give a member the role on the open page of the members, and wait until the page says so."""
        page.get_by_label(f"Role of {name}").select_option("admin")
        page.get_by_role("button", name=f"Change the role of {name}").click()
        expect(page.get_by_text(f"The role of {name} is admin now.")).to_be_visible()

    def expire_everything(self) -> None:
        """Let session and refresh token expire."""
        self.emulator.clock.advance(60 * 86_400)


SiteFactory = Callable[..., Site]


@pytest.fixture(scope="module")
def chromium() -> Generator[Browser]:
    """Run Debian's Chromium, headless and without background requests.

    The scope is the module, because Playwright occupies the event loop of the thread while it runs.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Generator[Page]:
    """Open a tab with an empty cookie jar."""
    context = chromium.new_context(ignore_https_errors=True)
    context.set_default_timeout(_TIMEOUT)
    yield context.new_page()
    context.close()


@pytest.fixture
def site() -> Generator[SiteFactory]:
    """Return a function that starts an app and its emulator on sockets."""
    with ExitStack() as stack:

        def start(
            emulator: Emulator | None = None,
            host: str = "127.0.0.1",
            pages: Callable[[FastAPI], None] = add_pages,
            **settings: object,
        ) -> Site:
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
            app_settings = DescopeSettings(**values)  # type: ignore[arg-type] # any setting, by keyword
            descope = Descope(app, settings=app_settings, clock=emulator.clock)
            pages(app)
            stack.enter_context(serve_app(app, listener))
            return Site(url, emulator, descope, app)

        yield start


@pytest.fixture
def fieldnotes() -> Generator[Fieldnotes]:
    """Serve the example app and its emulator."""
    project = Project(rotate_refresh=True, management_key=_KEY, open_sign_up=True)
    emulator = Emulator(project, clock=Clock(), console="view")
    with ExitStack() as stack:
        base_url = stack.enter_context(running(emulator))
        listener, url = stack.enter_context(listening())
        settings = DescopeSettings(
            project_id=emulator.project_id,
            base_url=base_url,
            public_url=url,
            login_methods=WAYS_IN,
            sign_up=True,
        )
        app = create_app(settings=settings, clock=emulator.clock, try_it=[ADA, HANK], management_key=_KEY)
        stack.enter_context(serve_app(app, listener))
        yield Fieldnotes(url, emulator)


@pytest.fixture
def context(chromium: Browser) -> Generator[BrowserContext]:
    """Open a browser with an empty cookie jar."""
    context = chromium.new_context()
    context.set_default_timeout(_TIMEOUT)
    yield context
    context.close()


def add_pages(app: FastAPI) -> None:
    """Add a public page, a page that requires a session, and a POST route."""

    @app.get("/")
    async def home(user: OptionalUser) -> Response:
        return Response(f"<h1>{user.email if user else 'not signed in'}</h1>", media_type="text/html")

    @app.get("/reports")
    async def reports(session: CurrentSession) -> Response:
        form = "<form action='/logout' method='post'><button>Sign out</button></form>"
        return Response(f"<h1>{session.tenant_id}</h1>{form}", media_type="text/html")

    @app.get("/payout", dependencies=[Depends(require_step_up())])
    async def payout() -> Response:
        return Response("<h1>paid out</h1>", media_type="text/html")

    @app.post("/act")
    async def act(session: CurrentSession) -> str:
        return session.user.id


def add_scripts(app: FastAPI) -> None:
    """Serve the client libraries."""

    @app.get("/script/{name}")
    async def script(name: str) -> FileResponse:
        return FileResponse(NODE_SDKS / "node_modules" / SCRIPTS[name], media_type="text/javascript")
