"""Middleware of an app and of mounted apps: it sees our errors as responses, not as exceptions."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_descope import (
    CurrentUser,
    DescopeError,
    DescopeMiddleware,
    Forbidden,
    MissingRoles,
    NotAuthenticated,
    get_auth_session,
)
from fastapi_descope._web.auth_scope import request_auth
from fastapi_descope.session import AuthSession, RefreshToken, TokenPair, User
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory, add_routes, no_routes
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio


class _CatchAll:
    """Turns every exception into a 500, and copies the scope, as the ASGI specification demands."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app({**scope}, receive, note)
        except Exception as error:
            if started:
                raise
            await JSONResponse({"crash": type(error).__name__}, 500)(scope, receive, send)


def _make_env(make_env: EnvFactory, *inner: Middleware) -> AppHarness:
    env = make_env(app=FastAPI(middleware=inner), routes=_routes)
    env.app.mount("/sub", _mounted())
    return env


def _routes(app: FastAPI) -> None:
    add_routes(app)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield "half"
            raise NotAuthenticated

        return StreamingResponse(parts())

    @app.get("/admins")
    async def admins() -> None:
        raise MissingRoles(("admin",))

    @app.get("/oversized")
    async def oversized(request: Request) -> None:
        session = AuthSession(User("U1"), None, {}, issued_at=0, expires_at=2_000_000_000)
        refresh = RefreshToken("r.r.r", "U1", 0, 2_000_000_000)
        request_auth(request.scope).cookies.write(TokenPair("a.b." + "c" * 40_000, session, refresh))


def _mounted() -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("their own")

    @app.get("/answers-500")
    async def answers() -> PlainTextResponse:
        return PlainTextResponse("theirs", 500)

    return app


def _lenient(env: AppHarness) -> Browser:
    """Return a browser that gets a 500 for an exception, as over a network."""
    transport = httpx.ASGITransport(env.app, raise_app_exceptions=False)
    return Browser(httpx.AsyncClient(transport=transport))


@pytest.mark.parametrize("path", ["/me", "/sub/me"])
async def test_catch_all_middleware_does_not_turn_a_401_into_a_500(make_env: EnvFactory, path: str) -> None:
    """Scripts and browsers get the usual responses, in the app and in a mounted one."""
    env = _make_env(make_env, Middleware(_CatchAll))

    script, person = await env.browser().get(path), await env.browser().visit(path)

    assert (script.status_code, script.json()["code"]) == (401, "not_authenticated")
    assert script.headers["vary"] == "Cookie, Authorization"
    assert person.status_code == 303
    assert person.headers["location"] == f"/login/sso?return_to={path.replace('/', '%2F')}"


@pytest.mark.parametrize("path", ["/me", "/sub/me"])
async def test_cors_middleware_that_was_added_before_adds_its_headers_to_a_401(
    make_env: EnvFactory, path: str
) -> None:
    """So a script on another origin can read it."""
    cors = Middleware(CORSMiddleware, allow_origins=["https://spa.example.com"], allow_credentials=True)
    browser = _make_env(make_env, cors).browser()

    response = await browser.get(path, origin="https://spa.example.com")

    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == "https://spa.example.com"


async def test_starlettes_function_middleware_does_not_either(make_env: EnvFactory) -> None:
    """``@app.middleware("http")`` before ``Descope(app)``; errors of the callback are responses too."""
    app = FastAPI()

    @app.middleware("http")
    async def catch_all(request: Request, call_next: RequestResponseEndpoint) -> Response:
        try:
            return await call_next(request)
        except Exception:  # noqa: BLE001 - what such code does
            return PlainTextResponse("crash", 500)

    env = make_env(app=app, routes=_routes)

    assert (await env.browser().get("/me")).status_code == 401
    assert (await env.browser().visit("/callback?state=x")).status_code == 400
    assert (await env.browser().get("/broken")).text == "crash"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/broken", '{"crash":"RuntimeError"}'),
        ("/sub/broken", "Internal Server Error"),
        ("/sub/answers-500", "theirs"),
    ],
)
async def test_other_exceptions_reach_the_apps_middleware(make_env: EnvFactory, path: str, text: str) -> None:
    """It sees what it would see without the plugin."""
    env = _make_env(make_env, Middleware(_CatchAll))

    response = await _lenient(env).get(path)

    assert (response.status_code, response.text) == (500, text)


def _catching() -> FastAPI:
    """Return an app to mount, whose own middleware and handler turn every exception into a response."""
    app = _mounted()
    app.add_middleware(_CatchAll)

    @app.exception_handler(Exception)
    async def handler(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("theirs", 418)

    return app


def _included(inner: FastAPI) -> APIRouter:
    router = APIRouter()
    router.mount("/in", inner)
    return router


_MOUNTS: dict[str, Callable[[FastAPI, FastAPI], None]] = {
    "app": lambda app, inner: app.mount("/sub", inner),
    "app in ASGI middleware": lambda app, inner: app.mount("/sub", GZipMiddleware(inner)),
    "app in a list of routes": lambda app, inner: app.router.routes.append(
        Mount("/sub", routes=[Mount("/list", inner)])
    ),
    "app in a mounted app": lambda app, inner: app.mount("/sub", Starlette(routes=[Mount("/deep", inner)])),
    "app in a router": lambda app, inner: app.include_router(_included(inner), prefix="/sub"),
    "app at a host": lambda app, inner: app.host("127.0.0.1", inner),
}

_PATHS = {
    "app in a list of routes": "/sub/list/me",
    "app in a mounted app": "/sub/deep/me",
    "app in a router": "/sub/in/me",
    "app at a host": "/other",
}


@pytest.mark.parametrize("kind", _MOUNTS)
async def test_middleware_of_a_mounted_app_sees_our_errors_as_responses(
    make_env: EnvFactory, kind: str
) -> None:
    """Its catch-all middleware and its handler for every exception turn no 401 into another response."""
    env, inner = make_env(routes=no_routes), _catching()

    @inner.get("/other")
    async def other(user: CurrentUser) -> str:
        return user.id

    _MOUNTS[kind](env.app, inner)
    path = _PATHS.get(kind, "/sub/me")

    script, person = await env.browser().get(path), await env.browser().visit(path)

    assert (script.status_code, script.json()["code"]) == (401, "not_authenticated")
    assert (person.status_code, person.headers["location"].partition("?")[0]) == (303, "/login/sso")
    assert (await (await env.signed_in_browser()).get(path)).status_code == 200


async def test_other_exceptions_reach_the_middleware_of_a_mounted_app(make_env: EnvFactory) -> None:
    """It sees what it would see without the plugin."""
    env = make_env(routes=no_routes)
    env.app.mount("/sub", _catching())

    response = await env.browser().get("/sub/broken")

    assert (response.status_code, response.json()) == (500, {"crash": "RuntimeError"})


async def test_error_of_a_mounted_apps_middleware_gets_our_response(make_env: EnvFactory) -> None:
    """It is raised outside the routes of the mounted app, whose 500 for it no client sees."""
    env, inner = make_env(routes=no_routes), _mounted()

    @inner.middleware("http")
    async def require(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if await get_auth_session(request) is None:
            raise NotAuthenticated
        return await call_next(request)

    env.app.mount("/sub", inner)

    response = await env.browser().get("/sub/answers-500")

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")


async def test_app_that_is_mounted_in_two_apps_gets_the_response_of_each(make_env: EnvFactory) -> None:
    """Each has a ``Descope`` of its own: only the first could add its middleware to the mounted app."""
    inner = _mounted()
    first, second = make_env(routes=no_routes), make_env(app=FastAPI(), routes=no_routes, prefix="/auth")
    for env in (first, second):
        env.app.mount("/sub", inner)

    responses = [await env.browser().visit("/sub/me") for env in (first, second)]

    paths = [response.headers["location"].partition("?")[0] for response in responses]
    assert paths == ["/login/sso", "/auth/login/sso"]


async def test_mounted_app_that_has_served_requests_stays_as_it_is(make_env: EnvFactory) -> None:
    """Its middleware is built already."""
    env, inner = make_env(routes=no_routes), _mounted()
    assert (await Browser(httpx.AsyncClient(transport=httpx.ASGITransport(inner))).get("/docs")).is_success
    env.app.mount("/sub", inner)

    response = await env.browser().get("/sub/me")

    assert (response.status_code, inner.user_middleware) == (401, [])


async def test_error_response_clears_the_cookies_of_an_ended_session(make_env: EnvFactory) -> None:
    """The outer middleware adds them to the response of the inner one."""
    env = _make_env(make_env, Middleware(_CatchAll))
    browser = await env.signed_in_browser()
    env.emulator.faults.add("refresh", status=401)
    env.emulator.clock.advance(660)

    response = await browser.get("/me")

    assert response.status_code == 401
    assert [line[:5] for line in response.headers.get_list("set-cookie")] == ["DS=; ", "DSR=;"]


async def test_error_at_the_start_of_a_response_is_sent_by_the_outer_middleware(make_env: EnvFactory) -> None:
    """Only the outer middleware knows the cookies, as the response starts."""
    response = await _make_env(make_env, Middleware(_CatchAll)).browser().get("/oversized")

    assert (response.status_code, response.json()["code"]) == (400, "session_too_large")


async def test_incomplete_response_is_aborted(make_env: EnvFactory) -> None:
    """There can be only one response."""
    env = _make_env(make_env, Middleware(_CatchAll))

    with pytest.raises(NotAuthenticated):
        await env.browser().get("/half")


async def test_apps_own_exception_handler_comes_first(make_env: EnvFactory) -> None:
    """A handler for a base class of our errors does too, whenever it was added."""
    env = _make_env(make_env, Middleware(_CatchAll))

    @env.app.exception_handler(Forbidden)
    async def handler(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("theirs", 403)

    assert (await env.browser().get("/admins")).text == "theirs"


async def test_response_of_the_apps_own_handler_deletes_the_cookies_of_an_ended_session(
    make_env: EnvFactory,
) -> None:
    """The handler makes the response, for browsers too; the cookies do not depend on it."""
    env = make_env(routes=_routes)

    @env.app.exception_handler(DescopeError)
    async def handler(request: Request, error: DescopeError) -> JSONResponse:
        return JSONResponse({"errors": [error.code]}, error.status)

    browser = await env.signed_in_browser()
    env.emulator.faults.add("refresh", status=401)
    env.emulator.clock.advance(660)

    response = await browser.visit("/me")

    assert (response.status_code, response.json()) == (401, {"errors": ["session_ended"]})
    assert [line[:5] for line in response.headers.get_list("set-cookie")] == ["DS=; ", "DSR=;"]


async def test_middleware_between_two_of_ours_sees_responses(make_env: EnvFactory) -> None:
    """An app may add DescopeMiddleware again, to protect every path."""
    env = make_env(routes=_routes)
    env.app.add_middleware(_CatchAll)
    env.app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True, public_paths=["/admins"])

    response = await env.browser().get("/admins")

    assert (response.status_code, response.json()["code"]) == (403, "missing_roles")


async def test_websocket_is_closed_with_the_usual_code(make_env: EnvFactory) -> None:
    """Both before it was accepted and afterwards."""
    env = _make_env(make_env, Middleware(_CatchAll))

    @env.app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        if "late" in socket.query_params:
            await socket.accept()
            raise Forbidden
        raise NotAuthenticated

    refused, ended = WebSocketClient(env.app, []), WebSocketClient(env.app, [], query=b"late=1")

    assert await refused.open() == {"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}
    assert (await ended.open())["type"] == "websocket.accept"
    assert await ended.next() == {"type": "websocket.close", "code": 1008, "reason": "forbidden"}


async def test_lifespan_passes_through(make_env: EnvFactory) -> None:
    """There is no response to it."""
    env = _make_env(make_env, Middleware(_CatchAll))

    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await env.app({"type": "lifespan", "state": {}}, receive, send)

    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
