"""An app with the plugin, the emulator as its Descope, and browsers.

Everything runs in one process over ASGI, with one clock. The emulator signs tokens and the plugin verifies
them: no security check is switched off.
"""

import asyncio
import html
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urljoin

import httpx
from fastapi import FastAPI
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from fastapi_descope import (
    CurrentSession,
    CurrentTenant,
    CurrentUser,
    Descope,
    DescopeSettings,
    OptionalUser,
    PageTexts,
)
from fastapi_descope.emulator import Clock, Emulator, Project
from fastapi_descope.events import Event
from fastapi_descope.pages import RenderPage
from tests.helpers.emulator import signing_key
from tests.helpers.event_loop import VirtualTimeLoop

APP = "http://127.0.0.1:8000"
IDP = "http://127.0.0.1:8787"

_ENDPOINTS = frozenset(
    {
        "authorize",
        "oauth_authorize",
        "exchange",
        "refresh",
        "select",
        "logout",
        "logout_all",
        "me",
        "my_tenants",
        "keys",
        "magiclink_start",
        "magiclink_verify",
        "notp_start",
        "notp_pending",
    }
)


def add_routes(app: FastAPI) -> None:
    """Add the routes that most tests need."""

    @app.get("/public")
    async def public() -> dict[str, str]:
        return {"page": "public"}

    @app.get("/maybe")
    async def maybe(user: OptionalUser) -> dict[str, str | None]:
        return {"user": user.id if user else None}

    @app.get("/me")
    async def me(user: CurrentUser, tenant: CurrentTenant) -> dict[str, object]:
        return {"user": user.id, "tenant": tenant.id, "roles": tenant.roles}

    @app.get("/session-of")
    @app.post("/session-of", include_in_schema=False)
    async def session_of(session: CurrentSession) -> dict[str, object]:
        return {"user": session.user.id, "tenant": session.tenant_id, "expires_at": session.expires_at}


def no_routes(app: FastAPI) -> None:
    """Add no routes: the test adds its own."""


@dataclass
class Browser:
    """A browser with one cookie jar. Headers of a navigation are sent by ``visit`` only."""

    http: httpx.AsyncClient
    log: list[httpx.Response] = field(default_factory=list[httpx.Response])
    origin: str = APP

    async def get(self, url: str, **headers: str) -> httpx.Response:
        """Send a GET request as a script does. Header names have underscores for dashes."""
        return await self._send("GET", url, headers)

    async def visit(self, url: str, **headers: str) -> httpx.Response:
        """Send a GET request as a navigation of the user."""
        return await self._send(
            "GET", url, {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", **headers}
        )

    async def post(self, url: str, data: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """Post a form as a page of the app itself does."""
        return await self._send("POST", url, {"sec-fetch-site": "same-origin", **headers}, data)

    async def sign_in(
        self, user: str = "ada@acme.example", tenant: str = "acme", return_to: str = "/me", prefix: str = ""
    ) -> httpx.Response:
        """Go through the whole login, and return the response of the callback.

        The next page deletes the marker of the login: it counts as visited already.
        """
        callback = await self.open_callback(user, tenant, return_to, prefix)
        response = await self.visit(callback)
        for name in {"descope_asked", "__Host-descope_asked"} & self.names():
            self.http.cookies.delete(name)
        return response

    async def open_callback(
        self, user: str = "ada@acme.example", tenant: str = "acme", return_to: str = "/me", prefix: str = ""
    ) -> str:
        """Go through the login up to the emulator's redirect, and return the URL of the callback."""
        query = str(httpx.QueryParams({"tenant": tenant, "return_to": return_to}))
        started = await self.visit(f"{prefix}/login/sso?{query}")
        assert started.status_code == 303, started.text
        page = await self.visit(started.headers["location"])
        return (await self.choose(page, user)).headers["location"]

    async def choose(self, page: httpx.Response, user: str) -> httpx.Response:
        """Press the button of ``user`` on the emulator's page."""
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        pattern = r'name="user" value="([^"]+)"(?:(?!</button>).)*?' + re.escape(html.escape(user))
        button = re.search(pattern, page.text, re.DOTALL)
        assert token, page.text
        assert button, page.text
        data = {"form_token": token[1], "user": button[1]}
        return await self._send("POST", str(page.url), {"sec-fetch-site": "same-origin"}, data)

    async def refuse(self, page: httpx.Response) -> httpx.Response:
        """Press "Refuse" on the emulator's page."""
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token
        data = {"form_token": token[1], "refuse": "yes"}
        return await self._send("POST", str(page.url), {"sec-fetch-site": "same-origin"}, data)

    def cookie(self, name: str) -> str | None:
        """Return the value of a cookie in the jar."""
        return next((cookie.value for cookie in self.http.cookies.jar if cookie.name == name), None)

    def names(self) -> set[str]:
        """Return the names of the app's cookies in the jar."""
        return {cookie.name for cookie in self.http.cookies.jar}

    def session_names(self) -> set[str]:
        """Return the names of the app's cookies without those of logins."""
        return {name for name in self.names() if "descope_" not in name}

    async def _send(
        self, method: str, url: str, headers: dict[str, str], data: dict[str, str] | None = None
    ) -> httpx.Response:
        wire = {name.replace("_", "-"): value for name, value in headers.items()}
        response = await self.http.request(method, urljoin(self.origin, url), headers=wire, data=data)
        self.log.append(response)
        return response


@dataclass
class AppHarness:
    """One app, one emulator, and any number of browsers."""

    app: FastAPI
    descope: Descope
    emulator: Emulator
    events: list[Event]
    mounts: dict[str, httpx.AsyncBaseTransport]

    def browser(self, **headers: str) -> Browser:
        """Return a new browser with an empty jar. ``headers`` are sent with every request."""
        wire = {name.replace("_", "-"): value for name, value in headers.items()}
        transport = self.mounts[f"{APP}/"]  # given, because httpx would load its certificates without one
        return Browser(httpx.AsyncClient(transport=transport, mounts=self.mounts, headers=wire))

    async def signed_in_browser(self, **headers: str) -> Browser:
        """Return a new browser in which Ada has signed in to Acme, more than a minute ago."""
        browser = self.browser(**headers)
        await browser.sign_in()
        for name in browser.names() - browser.session_names():  # of the login, for a minute
            browser.http.cookies.delete(name)
        return browser

    def calls(self, endpoint: str) -> int:
        """Return how many calls of an endpoint reached the emulator."""
        assert endpoint in _ENDPOINTS, endpoint
        return sum(call.endpoint == endpoint for call in self.emulator.requests)


EnvFactory = Callable[..., AppHarness]


def injected_clock() -> Clock:
    """Return a clock that only the test moves; a test in virtual time moves it with its loop.

    It begins at the real time, by which httpx expires cookies.
    """
    now = time.time()
    with suppress(RuntimeError):
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualTimeLoop):
            return Clock(lambda: now + loop.time())
    return Clock(lambda: now)


def build_app_harness(
    *,
    app: FastAPI | None = None,
    project: Project | None = None,
    emulator: Emulator | None = None,
    routes: Callable[[FastAPI], None] = add_routes,
    prefix: str = "",
    texts: Sequence[PageTexts] = (PageTexts(),),
    render_page: RenderPage | None = None,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    **settings: object,
) -> AppHarness:
    """Build an app with its emulator. Further keywords are settings."""
    emulator = emulator or Emulator(project, clock=injected_clock(), signing_key=signing_key())
    app = app or FastAPI()
    values: dict[str, object] = {
        "project_id": emulator.project_id,
        "base_url": IDP,
        "public_url": APP,
        **settings,
    }
    descope = Descope(
        app,
        settings=DescopeSettings(**values),  # type: ignore[arg-type] # any setting, by keyword
        prefix=prefix,
        texts=texts,
        render_page=render_page,
        clock=emulator.clock,
        transport=httpx.ASGITransport(emulator),
        meter_provider=meter_provider,
        tracer_provider=tracer_provider,
    )
    routes(app)
    events: list[Event] = []
    descope.on_event(events.append)
    mounts: dict[str, httpx.AsyncBaseTransport] = {
        f"{APP}/": httpx.ASGITransport(app),
        f"{IDP}/": httpx.ASGITransport(emulator),
    }
    return AppHarness(app, descope, emulator, events, mounts)
