"""Code that gets the scope of a request after its response, such as handlers of python-socketio (WS-08)."""

import gc
import weakref
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Request
from starlette.requests import HTTPConnection
from starlette.types import Message, Scope

from fastapi_descope import ConfigurationError, CurrentUser, OptionalUser, get_auth_session
from fastapi_descope._web.auth_scope import request_auth
from fastapi_descope.emulator import Project
from tests.helpers.app_harness import Browser, EnvFactory

pytestmark = pytest.mark.anyio

ADA = "ada@acme.example"
SESSION_SECONDS = 600


def keeping(scopes: list[Scope]) -> Callable[[FastAPI], None]:
    """Return a function that adds routes, which keep the scopes of their requests."""

    def routes(app: FastAPI) -> None:
        @app.get("/me")
        async def me(request: Request, user: CurrentUser) -> str:
            scopes.append(request.scope)
            return user.id

        @app.get("/maybe")
        async def maybe(request: Request, user: OptionalUser) -> None:
            scopes.append(request.scope)

        @app.get("/public")
        async def public(request: Request) -> None:
            scopes.append(request.scope)

        @app.get("/broken")
        async def broken(request: Request, user: CurrentUser) -> None:
            scopes.append(request.scope)
            raise RuntimeError

    return routes


async def test_ws08_session_that_the_request_has_read_can_be_read_later(make_env: EnvFactory) -> None:
    """Nothing is refreshed or verified for it."""
    scopes: list[Scope] = []
    env = make_env(project=Project(session_seconds=SESSION_SECONDS), routes=keeping(scopes))
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(SESSION_SECONDS + 60)
    await browser.get("/me")

    sessions = [await get_auth_session(HTTPConnection(scopes[0])) for _ in range(2)]

    assert [session and session.user.email for session in sessions] == [ADA, ADA]
    assert env.calls("refresh") == 1


async def test_ws08_later_the_session_is_there_until_it_expires(make_env: EnvFactory) -> None:
    """A connection of python-socketio can last for hours."""
    scopes: list[Scope] = []
    env = make_env(project=Project(session_seconds=SESSION_SECONDS), routes=keeping(scopes))
    browser = await env.signed_in_browser()
    await browser.get("/me")
    env.emulator.clock.advance(SESSION_SECONDS + 60)

    assert await get_auth_session(HTTPConnection(scopes[0])) is None
    assert env.calls("refresh") == 0


async def test_ws08_unauthenticated_request_has_no_session_later(make_env: EnvFactory) -> None:
    """It has asked for one."""
    scopes: list[Scope] = []
    env = make_env(routes=keeping(scopes))
    await env.browser().get("/maybe")

    assert await get_auth_session(HTTPConnection(scopes[0])) is None


@pytest.mark.parametrize("path", ["/public", "/broken"])
async def test_ws08_session_cannot_be_read_later_if_no_response_depended_on_it(
    make_env: EnvFactory, path: str
) -> None:
    """The response of a handler for 500 would depend on the session, and no cache would know (CA-01)."""
    scopes: list[Scope] = []
    env = make_env(routes=keeping(scopes))
    browser = await env.signed_in_browser()
    try:
        await browser.get(path)
    except RuntimeError:
        assert path == "/broken"

    with pytest.raises(ConfigurationError, match="already sent"):
        await get_auth_session(HTTPConnection(scopes[0]))


async def test_scope_of_an_earlier_request_can_be_served_again(make_env: EnvFactory) -> None:
    """As by middleware that repeats a request with a copy of its scope."""
    scopes: list[Scope] = []
    env = make_env(routes=keeping(scopes))
    browser = await env.signed_in_browser()
    await browser.get("/me")
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await env.app({**scopes[0], "app": env.app}, receive, send)

    assert sent[0]["status"] == 200


async def test_request_leaves_no_reference_cycle(make_env: EnvFactory) -> None:
    """The garbage collector would stop the event loop for them, for tens of milliseconds at a time."""
    env = make_env()
    browser = await env.signed_in_browser()
    await browser.get("/me")
    gc.disable()
    try:
        ended = [await _serve(env.app, path, browser) for path in ("/me", "/maybe", "/public")]
        left = [send() for send in ended]
    finally:
        gc.enable()

    assert left == [None, None, None]


class _Send:
    """The ``send`` of a server, which refers to the scope as uvicorn's does."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, message: Message) -> None:
        """Send nothing."""


async def _serve(app: FastAPI, path: str, browser: Browser) -> "weakref.ref[_Send]":
    """Serve a request, and return a reference to what must not outlive it."""
    cookie = "; ".join(f"{each.name}={each.value}" for each in browser.http.cookies.jar)
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8000"), (b"cookie", cookie.encode())],
    }
    send = _Send(scope)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope, receive, send)
    return weakref.ref(send)


async def test_nothing_can_be_sent_after_the_response(make_env: EnvFactory) -> None:
    """Only the session is there later."""
    scopes: list[Scope] = []
    env = make_env(routes=keeping(scopes))
    await (await env.signed_in_browser()).get("/me")

    with pytest.raises(RuntimeError, match="The response is complete"):
        await request_auth(scopes[0]).send({"type": "http.response.body"})
