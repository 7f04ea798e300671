"""Protection by default (HP-07): ``@public`` and ``public_paths`` open what they name, and nothing else."""

from collections.abc import Awaitable, Callable
from functools import partial, wraps

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

from fastapi_descope import (
    ConfigurationError,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    OptionalUser,
    public,
    require_roles,
)
from fastapi_descope._web.public_endpoints import PublicEndpoints
from fastapi_descope._web.routes.checks import check_routes
from tests.helpers.app_harness import APP, Browser, EnvFactory, no_routes
from tests.helpers.scopes import scope_of
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio


def _descope(app: FastAPI | None = None, **options: object) -> Descope:
    settings = DescopeSettings(project_id="P" + "a" * 27, public_url=APP)
    silent = httpx.MockTransport(lambda _: httpx.Response(500))
    return Descope(app, settings=settings, transport=silent, **options)  # type: ignore[arg-type] # any option


def _protected(**options: object) -> FastAPI:
    app = FastAPI()
    _descope(app, protect=True, **options)
    return app


async def _status(app: ASGIApp, path: str, method: str = "GET") -> int:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP) as client:
        return (await client.request(method, path)).status_code


async def _yes() -> str:
    return "yes"


async def _no() -> str:
    return "no"


def _marked() -> Callable[[], Awaitable[str]]:
    """Return a new public endpoint."""

    @public
    async def endpoint() -> str:
        return "yes"

    return endpoint


async def test_hp07_everything_else_requires_a_session() -> None:
    """Routes, other methods of a public path, mounted apps, unknown paths, and FastAPI's documentation."""
    app, inner = _protected(public_paths=["/health", "/static/*"]), FastAPI()
    app.get("/about")(_marked())
    app.post("/about")(_no)
    inner.get("/about")(_marked())
    inner.get("/reports")(_no)
    app.mount("/sub", inner)
    for path in ("/health", "/static/app.css", "/reports"):
        app.get(path)(_yes)

    assert [await _status(app, path) for path in ("/about", "/health", "/static/app.css", "/sub/about")] == [
        200
    ] * 4
    closed = ("/reports", "/sub/reports", "/sub/docs", "/docs", "/redoc", "/openapi.json", "/none", "/about/")
    assert [await _status(app, path) for path in closed] == [401] * 8
    assert [await _status(app, "/about", method) for method in ("POST", "PUT", "OPTIONS")] == [401] * 3


async def test_hp07_public_endpoint_reads_no_session(make_env: EnvFactory) -> None:
    """So it has no Vary header, sets no cookie, and works while Descope is unreachable."""
    env = make_env(routes=no_routes)
    env.app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)
    env.app.get("/about")(_marked())
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    response = await browser.get("/about")

    assert (response.status_code, env.calls("refresh")) == (200, 0)
    assert {"vary", "set-cookie"}.isdisjoint(response.headers)


async def test_public_endpoint_may_use_an_optional_session(make_env: EnvFactory) -> None:
    """Its content then depends on who is signed in."""
    env = make_env(routes=no_routes)
    env.app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)

    @env.app.get("/about")
    @public
    async def about(user: OptionalUser) -> bool:
        return user is not None

    assert list(check_routes(env.app)) == []
    assert (await env.browser().get("/about")).json() is False
    assert (await (await env.signed_in_browser()).get("/about")).json() is True


async def test_marker_may_precede_or_follow_the_decorator_of_the_route() -> None:
    """FastAPI's decorators return the function itself."""
    app = _protected()

    @public
    @app.get("/above")
    async def above() -> None: ...

    @app.get("/below")
    @public
    async def below() -> None: ...

    assert [await _status(app, path) for path in ("/above", "/below")] == [200, 200]


class _Pages:
    """Endpoints that are methods."""

    @public
    async def about(self) -> str:
        """Respond to every client."""
        return "about"

    async def reports(self) -> str:
        """Respond to users."""
        return "reports"


class _OtherPages(_Pages):
    @override
    async def about(self) -> str:
        """Respond to users: the marker of the overridden method does not count."""
        return "about us"


def _copying(endpoint: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[str]]:
    @wraps(endpoint)
    async def wrapper() -> str:
        return await endpoint()

    return wrapper


def _hiding(endpoint: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[str]]:
    async def wrapper() -> str:
        return await endpoint()

    return wrapper


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [
        (_Pages().about, 200),
        (_Pages().reports, 401),
        (_OtherPages().about, 401),
        (_copying(_marked()), 200),
        (_hiding(_marked()), 401),
        (public(_hiding(_marked())), 200),
        (public(partial(_no)), 200),
        (partial(_marked()), 401),
    ],
    ids=[
        "method",
        "other method",
        "overriding method",
        "wrapped with functools.wraps",
        "wrapped without",
        "wrapper marked",
        "marked partial",
        "partial of a marked one",
    ],
)
async def test_hp07_marker_belongs_to_one_endpoint(endpoint: Callable[..., object], status: int) -> None:
    """A copy of it has the marker if it is a ``functools.wraps`` of it. In doubt the route is protected."""
    app = _protected()
    app.add_api_route("/page", endpoint)

    assert await _status(app, "/page") == status


def test_bound_method_cannot_be_marked() -> None:
    """It would mark the function, and with it the endpoints of other instances."""
    with pytest.raises(AttributeError):
        public(_Pages().reports)


async def test_hp07_routes_added_after_the_first_request_are_seen() -> None:
    """In the app, in a router that is included already, and in a mounted app; removed routes too."""
    app, router, inner = _protected(), APIRouter(), FastAPI()
    app.include_router(router, prefix="/v1")
    app.mount("/sub", inner)
    assert await _status(app, "/v1/about") == 401

    app.get("/about")(_marked())
    assert await _status(app, "/about") == 200
    router.get("/about")(_marked())
    assert await _status(app, "/v1/about") == 200
    inner.get("/about")(_marked())
    assert await _status(app, "/sub/about") == 200
    del inner.router.routes[-1]
    inner.get("/about")(_no)
    assert await _status(app, "/sub/about") == 401


class _Versioned(APIRoute):
    """A route that only clients with a certain header see."""

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if (b"x-version", b"2") not in scope["headers"]:
            return Match.NONE, {}
        return super().matches(scope)


class _VersionedRouter(APIRouter):
    """A router that only clients with a certain header see."""

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if (b"x-version", b"2") not in scope["headers"]:
            return Match.NONE, {}
        return super().matches(scope)


@pytest.mark.parametrize(
    ("router", "name"),
    [(APIRouter(route_class=_Versioned), "_Versioned"), (_VersionedRouter(), "_VersionedRouter")],
    ids=["route", "router"],
)
async def test_hp07_class_that_overrides_matches_is_an_error(router: APIRouter, name: str) -> None:
    """Which endpoint handles a request is then unknown, so nothing is open by a marker."""
    router.get("/about")(_marked())
    outer = APIRouter()
    outer.include_router(router)
    app = _protected()
    app.include_router(outer)
    app.get("/about")(_no)

    assert await _status(app, "/about") == 500
    with (
        pytest.raises(ConfigurationError, match=f"^The class {name} chooses routes"),
        TestClient(app),
    ):
        pass


class _HeaderRouter(APIRouter):
    """A router with other routes for clients with a certain header, as libraries for API versions have it."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"x-version", b"2") in scope["headers"]:
            await PlainTextResponse("a secret")(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


@pytest.mark.parametrize("is_mounted", [False, True])
async def test_hp07_router_with_a_dispatch_of_its_own_is_an_error(*, is_mounted: bool) -> None:
    """It may have another endpoint for the path of a public one, so nothing is open by a marker."""
    app, inner = FastAPI(), FastAPI()
    marked = inner if is_mounted else app
    marked.router = _HeaderRouter()
    marked.get("/about")(_marked())
    _descope().install(app, protect=True)
    app.mount("/sub", inner)

    with (
        pytest.raises(ConfigurationError, match=r"^The class _HeaderRouter chooses routes"),
        TestClient(app),
    ):
        pass


async def test_hp07_class_that_overrides_matches_closes_a_running_app() -> None:
    """Its routes were added after the check of the first request."""
    app, late = _protected(), APIRouter(route_class=_Versioned)
    app.get("/about")(_marked())
    assert await _status(app, "/about") == 200

    late.get("/{page}")(_no)
    app.include_router(late)

    assert await _status(app, "/about") == 401


def test_class_that_overrides_matches_is_accepted_without_public_endpoints() -> None:
    """It is an error only together with a marker."""
    app, router = _protected(), APIRouter(route_class=_Versioned)
    router.get("/about")(_no)
    app.include_router(router)

    assert list(check_routes(app)) == []


async def _signed_in(user: CurrentUser) -> None: ...


@pytest.mark.parametrize("where", ["route", "router", "app", "nested", "parameter"])
def test_public_endpoint_that_requires_a_session_is_an_error(where: str) -> None:
    """The two contradict each other; the app does not start, protected or not."""
    guards = [Depends(require_roles("admin"))]
    app = FastAPI(dependencies=guards if where == "app" else [])
    descope = _descope()
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True)
    router = APIRouter(dependencies=guards if where == "router" else [])
    dependencies = {"route": guards, "nested": [Depends(_signed_in)]}.get(where, [])
    router.get("/about", dependencies=dependencies)(_with_parameter() if where == "parameter" else _marked())
    app.include_router(router, prefix="/v1")

    (error,) = check_routes(app)

    assert error.startswith("/v1/about: @public endpoints need no session, but a dependency")


def _with_parameter() -> Callable[..., object]:
    @public
    async def endpoint(user: CurrentUser) -> None: ...

    return endpoint


def test_public_socket_that_requires_a_session_is_an_error() -> None:
    """A WebSocket has dependencies as well, and the app does not start."""
    app = _protected()

    @app.websocket("/feed")
    @public
    async def feed(socket: WebSocket, user: CurrentUser) -> None: ...

    with pytest.raises(ConfigurationError, match=r"^/feed: @public"), TestClient(app):
        pass


async def test_marker_has_no_effect_without_protection(make_env: EnvFactory) -> None:
    """All routes without requirements are public then."""
    env = make_env(routes=no_routes)
    env.app.get("/about")(_marked())
    env.app.get("/other")(_no)

    assert [(await env.browser().get(path)).status_code for path in ("/about", "/other")] == [200, 200]


async def test_hp07_sockets_are_protected_by_default() -> None:
    """Before they are accepted."""
    app = _protected()

    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    app.websocket("/ws")(endpoint)
    assert (await WebSocketClient(app, []).open())["type"] == "websocket.close"
    public(endpoint)
    app.websocket("/other")(endpoint)
    assert (await WebSocketClient(app, []).open())["type"] == "websocket.accept"


def _opaque(app: ASGIApp) -> ASGIApp:
    """Middleware that is a function and so has no attribute ``app``."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return middleware


async def test_hp07_app_behind_opaque_middleware_is_found_or_stays_protected() -> None:
    """The outermost app is in the scope. The routes of a mounted app are unknown then: they are protected."""
    app, inner = FastAPI(), FastAPI()
    descope = _descope()
    for each in (app, inner):
        each.get("/about")(_marked())
        each.get("/reports")(_no)
        each.add_middleware(_opaque)
        each.add_middleware(DescopeMiddleware, descope=descope, protect=True)
    app.mount("/sub", inner)

    paths = ("/about", "/reports", "/sub/about", "/sub/reports")
    assert [await _status(app, path) for path in paths] == [200, 401, 401, 401]


async def test_hp07_middleware_around_a_mounted_app_knows_only_its_routes() -> None:
    """The scope still names the outer app, whose public endpoint has the same path as a private one."""
    descope, inner = _descope(), FastAPI()
    inner.get("/about")(_no)
    inner.get("/open")(_marked())
    guarded = DescopeMiddleware(inner, descope=descope, protect=True)
    hidden = DescopeMiddleware(_opaque(inner), descope=descope, protect=True)
    outer = Starlette(
        routes=[Route("/about", _marked()), Mount("/sub", app=guarded), Mount("/hidden", app=hidden)],
        middleware=[Middleware(DescopeMiddleware, descope=descope)],
    )

    assert await _status(outer, "/sub/open") == 200
    assert [await _status(outer, path) for path in ("/sub/about", "/hidden/about", "/hidden/open")] == [
        401
    ] * 3


def test_hp07_known_app_counts_whatever_the_scope_says() -> None:
    """A middleware of the outer app may call the inner one without a router."""
    inner, outer = FastAPI(), FastAPI()
    inner.get("/about")(_no)
    outer.get("/about")(_marked())
    scope = {**scope_of("app.example.com"), "method": "GET", "path": "/about", "root_path": "", "app": outer}

    assert not PublicEndpoints(inner).handle(scope)
    assert PublicEndpoints(None).handle(scope)


async def test_hp07_app_that_is_no_framework_app_has_no_public_endpoints() -> None:
    """There is no router to ask."""

    @public
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError(scope)

    assert await _status(DescopeMiddleware(app, descope=_descope(), protect=True), "/") == 401


@pytest.mark.parametrize("options", [{"protect": True}, {"public_paths": ["/about"]}])
def test_protection_without_an_app_is_an_error(options: dict[str, object]) -> None:
    """It would protect nothing."""
    with pytest.raises(ConfigurationError, match=r"use Descope\(app, protect=True\)"):
        _descope(None, **options)


def test_public_paths_without_protection_are_an_error() -> None:
    """The author expects the other paths to be protected."""
    with pytest.raises(ConfigurationError, match="add protect=True"):
        _descope(FastAPI(), public_paths=["/about"])


async def test_install_protects_by_default_too(make_env: EnvFactory) -> None:
    """``Descope(app, ...)`` only passes the two options on."""
    app = FastAPI()
    _descope().install(app, protect=True, public_paths=iter(["/about"]))
    for path in ("/about", "/reports"):
        app.get(path)(_yes)

    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))
    assert [(await browser.get(path)).status_code for path in ("/about", "/reports")] == [200, 401]
    assert (await browser.visit("/reports")).headers["location"] == "/login/sso?return_to=%2Freports"
