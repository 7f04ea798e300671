"""graphql-ws with Strawberry, and socket.io-client with python-socketio, in Chromium: sessions that end."""

import asyncio
from collections.abc import AsyncGenerator
from importlib import import_module
from typing import Any

import pytest
import strawberry
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from playwright.sync_api import Page, expect
from starlette.requests import HTTPConnection
from strawberry.fastapi import GraphQLRouter

from fastapi_descope import CurrentSession, DescopeMiddleware, User, get_auth_session
from tests.browser.conftest import ADA, Site, SiteFactory, add_scripts

pytestmark = pytest.mark.browser

_PAGE = """
<script src="/script/graphql-ws"></script>
<h1>waiting</h1>
<output></output>
<script>
let connections = 0;
const client = graphqlWs.createClient({
  url: location.origin.replace("http", "ws") + "/graphql",
  retryAttempts: 5,
  retryWait: async () => {},
  on: {connected: () => { connections += 1; }},
});
client.subscribe({query: "subscription { email }"}, {
  next: result => { document.querySelector("h1").textContent = `${result.data.email} ${connections}`; },
  error: reason => { document.querySelector("output").textContent = `ended with ${reason.code}`; },
  complete: () => {},
});
</script>
"""

_CHAT = """
<script src="/script/socket.io"></script>
<h1>waiting</h1>
<button>Ask</button>
<script>
let connections = 0;
const show = text => { document.querySelector("h1").textContent = text; };
const transport = new URLSearchParams(location.search).get("transport");
const socket = io({transports: [transport], reconnectionDelay: 50});
socket.on("user", email => { connections += 1; show(`${email} ${connections}`); });
socket.on("answer", show);
document.querySelector("button").onclick = () => { socket.emit("ask"); };
</script>
"""

socketio: Any = import_module("socketio")  # it has no types


@strawberry.type
class _Query:
    version: int = 1


@strawberry.type
class _Subscription:
    @strawberry.subscription
    async def email(self, info: strawberry.Info[dict[str, User]]) -> AsyncGenerator[str]:
        """Send the e-mail address of the user, again and again."""
        while True:
            yield info.context["user"].email or ""
            await asyncio.sleep(0.05)


async def _context(session: CurrentSession) -> dict[str, User]:
    return {"user": session.user}


def _add_pages(app: FastAPI) -> None:
    add_scripts(app)
    schema = strawberry.Schema(_Query, subscription=_Subscription)
    router: GraphQLRouter[dict[str, User], None] = GraphQLRouter(schema, context_getter=_context)
    app.include_router(router, prefix="/graphql")

    @app.get("/live")
    async def live(session: CurrentSession) -> HTMLResponse:
        return HTMLResponse(_PAGE)

    @app.get("/chat")
    async def chat(session: CurrentSession) -> HTMLResponse:
        return HTMLResponse(_CHAT)


def _open(site: SiteFactory, page: Page, **settings: object) -> Site:
    app = site(pages=_add_pages, default_tenant="acme", **settings)
    app.sign_in(page, "/live")
    expect(page.get_by_role("heading")).to_have_text(f"{ADA} 1")
    return app


def test_ws04_subscription_resumes_after_a_refresh(site: SiteFactory, page: Page) -> None:
    """WS-04: with a code that graphql-ws does not take for final. The handshake refreshes the session."""
    app = _open(site, page, websocket_close_code=3000)

    app.expire_session()

    expect(page.get_by_role("heading")).to_have_text(f"{ADA} 2")
    assert app.emulator.requests.count("refresh") == 1
    page.goto(app.url + "/live")  # with the cookies that came with the handshake
    expect(page.get_by_role("heading")).to_have_text(f"{ADA} 1")
    assert app.emulator.requests.count("refresh") == 1


def test_subscription_ends_with_the_default_code(site: SiteFactory, page: Page) -> None:
    """graphql-ws takes 4401 for final, so the documentation names the setting."""
    app = _open(site, page)

    app.expire_session()

    expect(page.locator("output")).to_have_text("ended with 4401")


def _open_chat(site: SiteFactory, page: Page, transport: str) -> Site:
    """Mount python-socketio as the documentation says, and open a page that connects to it."""
    app = site(pages=_add_pages, default_tenant="acme")
    # The server waits for a poll to end before it stops, and a poll lasts until a ping.
    server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=[app.url], ping_interval=2)
    endpoint = DescopeMiddleware(socketio.ASGIApp(server), descope=app.descope, protect=True)
    app.app.mount("/socket.io", endpoint)

    async def connect(sid: str, environ: dict[str, Any], auth: object = None) -> None:
        session = await get_auth_session(HTTPConnection(environ["asgi.scope"]))
        await server.emit("user", session and session.user.email, to=sid)

    async def ask(sid: str) -> None:
        await server.emit("answer", "an answer", to=sid)

    server.on("connect", connect)
    server.on("ask", ask)
    app.sign_in(page, f"/chat?transport={transport}")
    expect(page.get_by_role("heading")).to_have_text(f"{ADA} 1")
    return app


def test_ws08_socketio_connects_again_after_its_session_has_ended(site: SiteFactory, page: Page) -> None:
    """WS-08: over a WebSocket. The library ignores close codes; the handshake refreshes the session."""
    app = _open_chat(site, page, "websocket")
    app.expire_session()

    page.get_by_role("button", name="Ask").click()  # a frame after the end closes the WebSocket

    expect(page.get_by_role("heading")).to_have_text(f"{ADA} 2")
    assert app.emulator.requests.count("refresh") == 1


def test_ws08_socketio_goes_on_over_long_polling(site: SiteFactory, page: Page) -> None:
    """WS-08: a poll refreshes the session, and the connection stays."""
    app = _open_chat(site, page, "polling")
    app.expire_session()

    page.get_by_role("button", name="Ask").click()

    expect(page.get_by_role("heading")).to_have_text("an answer")
    assert app.emulator.requests.count("refresh") == 1
