"""The middleware: changes to responses, what passes through unchanged (WS-07), and protection by default."""

import httpx
import pytest
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from fastapi_descope import (
    ConfigurationError,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    NotAuthenticated,
    OptionalUser,
)
from fastapi_descope._web.auth_scope import request_auth
from fastapi_descope._web.request_auth import RequestAuth
from fastapi_descope.session import AuthSession, RefreshToken, TokenPair, User
from tests.helpers.app_harness import APP, AppHarness, Browser, EnvFactory, build_app_harness

pytestmark = pytest.mark.anyio


def _cached_pages(app: FastAPI) -> None:
    @app.get("/cached")
    async def cached(user: OptionalUser, response: Response) -> dict[str, bool]:
        response.headers["Cache-Control"] = "public, max-age=600"
        response.headers["Expires"] = "Thu, 01 Jan 2037 00:00:00 GMT"
        response.headers["Surrogate-Control"] = "max-age=600"
        response.headers["CDN-Cache-Control"] = "max-age=600"
        response.headers["X-Accel-Expires"] = "600"
        response.headers["Vary"] = "Accept-Encoding, cookie"
        return {"user": user is not None}

    @app.get("/own-response")
    async def own(user: CurrentUser) -> Response:
        own_response = JSONResponse({"user": user.id})
        own_response.set_cookie("theirs", "1")
        own_response.set_cookie("another", "2")
        return own_response

    @app.get("/stream")
    async def stream(user: CurrentUser) -> StreamingResponse:
        return StreamingResponse(iter([b"a", user.id.encode()]))

    @app.get("/compressed")
    async def compressed(user: OptionalUser, response: Response) -> None:
        del user
        response.headers["Vary"] = "Accept-Encoding"

    @app.get("/vary-star")
    async def vary_star(user: OptionalUser, response: Response) -> None:
        del user
        response.headers["Vary"] = "*"


async def _expired(env: AppHarness) -> Browser:
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)
    return browser


async def test_ca01_response_with_session_cookies_is_not_stored_by_shared_caches(
    make_env: EnvFactory,
) -> None:
    """no-store replaces the app's value, headers of single caches are removed, Vary is merged (CA-01)."""
    response = await (await _expired(make_env(routes=_cached_pages))).get("/cached")

    assert response.json() == {"user": True}
    assert len(response.headers.get_list("set-cookie")) == 2
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["vary"] == "Accept-Encoding, cookie"
    removed = {"expires", "surrogate-control", "cdn-cache-control", "x-accel-expires"}
    assert removed.isdisjoint(response.headers)


async def test_ca02_response_that_depends_on_the_session_varies_by_both_headers(make_env: EnvFactory) -> None:
    """Vary names both headers, and the app's own Cache-Control stays (CA-02)."""
    response = await make_env(routes=_cached_pages).browser().get("/cached")

    assert response.headers["vary"] == "Accept-Encoding, cookie, Authorization"
    assert response.headers["cache-control"] == "public, max-age=600"
    assert "set-cookie" not in response.headers


async def test_ca02_response_without_cache_control_becomes_private(make_env: EnvFactory) -> None:
    """The default for a response that depends on the session."""
    response = await make_env().browser().get("/maybe")

    assert response.headers["cache-control"] == "private"
    assert response.headers["vary"] == "Cookie, Authorization"


async def test_ca02_response_with_a_vary_of_its_own_becomes_private(make_env: EnvFactory) -> None:
    """GZip sets Vary, for example, and the default for Cache-Control applies all the same."""
    response = await make_env(routes=_cached_pages).browser().get("/compressed")

    assert response.headers["cache-control"] == "private"
    assert response.headers["vary"] == "Accept-Encoding, Cookie, Authorization"


async def test_ca02_vary_star_is_unchanged(make_env: EnvFactory) -> None:
    """It includes all headers."""
    assert (await make_env(routes=_cached_pages).browser().get("/vary-star")).headers["vary"] == "*"


async def test_ck10_apps_own_cookies_are_sent_with_ours(make_env: EnvFactory) -> None:
    """Set-Cookie is added as the response starts, so an injected Response cannot lose it."""
    response = await (await _expired(make_env(routes=_cached_pages))).get("/own-response")

    names = [cookie.partition("=")[0] for cookie in response.headers.get_list("set-cookie")]
    assert names == ["theirs", "another", "DS", "DSR"]


async def test_streaming_response_carries_the_cookies_of_a_refresh(make_env: EnvFactory) -> None:
    """Nothing is buffered and nothing is lost."""
    response = await (await _expired(make_env(routes=_cached_pages))).get("/stream")

    assert response.text == "aU22a1322415fff1b1aceaebe7855"
    assert len(response.headers.get_list("set-cookie")) == 2


@pytest.mark.parametrize("kind", ["lifespan", "telegram"])
async def test_ws07_lifespan_and_unknown_scopes_pass_through_unchanged(kind: str) -> None:
    """The middleware handles http and websocket only."""
    seen: list[tuple[Scope, Receive, Send]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope: Scope = {"type": kind}
    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))

    await DescopeMiddleware(app, descope=descope)(scope, receive, send)

    assert seen == [(scope, receive, send)]
    assert scope == {"type": kind}


async def test_request_auth_is_removed_from_the_scope_after_the_response() -> None:
    """The two form a reference cycle, for which the garbage collector would be needed."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await Response("ok")(scope, receive, send)

    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))
    middleware = DescopeMiddleware(app, descope=descope)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(middleware), base_url=APP) as client:
        assert (await client.get("/")).text == "ok"

    assert not isinstance(scopes[0]["fastapi_descope"], RequestAuth)


async def test_error_after_the_response_has_started_is_raised() -> None:
    """The response is incomplete, so the server has to close the connection."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise NotAuthenticated

    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))
    middleware = DescopeMiddleware(app, descope=descope)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(middleware), base_url=APP) as client:
        with pytest.raises(NotAuthenticated):
            await client.get("/")


def _protected(public_paths: tuple[str, ...]) -> Browser:
    app = FastAPI()
    settings = DescopeSettings(project_id="P" + "a" * 27, public_url=APP, default_tenant="acme")
    descope = Descope(settings=settings, transport=httpx.MockTransport(lambda _: httpx.Response(500)))
    app.include_router(descope.router, prefix="/auth")
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True, public_paths=public_paths)

    @app.api_route("/{path:path}", methods=["GET", "OPTIONS"])
    async def anything(path: str) -> dict[str, str]:
        return {"path": path}

    # As uvicorn has it with --root-path: the root path is part of the scope's path.
    return Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app, root_path="/api")))


@pytest.mark.parametrize("path", ["/health", "/static/app.css", "/static/a/b.css"])
async def test_hp02_public_paths_require_no_session(path: str) -> None:
    """An exact path, or all paths below one; root_path is not part of it (HP-02)."""
    assert (await _protected(("/health", "/static/*")).get("/api" + path)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/health/",
        "/health/x",
        "/HEALTH",
        "/health;x",
        "//health",
        "/static",
        "/static/../admin",
        "/static/%2e%2e/admin",
        "/static/..%2fadmin",
        "/static//admin",
        "/static/a/%2e",
        "/static/a/%2e%2e",
        "/static/a%5c..%5cadmin",
        "/admin?x=/health",
        "/admin?/health",
    ],
)
async def test_hp02_paths_similar_to_public_ones_are_protected(path: str) -> None:
    """Segments are compared as a whole and with their case, without dot segments and without the query."""
    browser = _protected(("/health", "/static/*"))
    raw = httpx.URL(APP).copy_with(raw_path=b"/api" + path.encode())

    response = await browser.http.get(raw)

    assert response.status_code == 401


@pytest.mark.parametrize(("path", "status"), [("/api/auth/login/sso", 503), ("/api/auth/callback", 400)])
async def test_plugins_login_routes_are_always_public(path: str, status: int) -> None:
    """An unauthenticated user must be able to sign in."""
    assert (await _protected(()).visit(path)).status_code == status


async def test_cs10_outer_cors_middleware_responds_to_preflights() -> None:
    """It needs no session and no cookie; any other OPTIONS request is protected (HP-06)."""
    app = FastAPI()
    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True)
    app.add_middleware(CORSMiddleware, allow_origins=["https://spa.example"], allow_credentials=True)

    @app.options("/data")
    async def data() -> str:
        return "secret"

    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))
    headers = {"origin": "https://spa.example", "access-control-request-method": "GET"}
    preflight = await browser.http.options(APP + "/data", headers=headers)
    other = await browser.http.options(APP + "/data")

    assert (preflight.status_code, preflight.text) == (200, "OK")
    assert "set-cookie" not in preflight.headers
    assert other.status_code == 401


async def test_route_with_another_method_than_the_plugins_is_protected() -> None:
    """``GET /logout`` is not a route of the plugin."""
    assert (await _protected(()).get("/api/auth/logout")).status_code == 401


async def test_protection_redirects_to_the_login_with_prefix_and_root_path() -> None:
    """The return path is the one that the browser sees."""
    response = await _protected(()).visit("/api/reports")

    assert response.headers["location"] == "/api/auth/login/sso?return_to=%2Fapi%2Freports"


def test_public_path_without_a_slash_is_rejected_at_construction() -> None:
    """It would never match any path."""
    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))

    with pytest.raises(ConfigurationError, match="health"):
        DescopeMiddleware(FastAPI(), descope=descope, public_paths=["health"])


async def test_ck08_tokens_that_fit_into_no_cookie_have_an_error_of_their_own() -> None:
    """The response has not started, so the error can be sent; it sets no cookie."""
    env = build_app_harness(routes=_oversized)

    response = await env.browser().get("/oversized")

    assert response.status_code == 400
    assert response.json()["code"] == "session_too_large"
    assert "set-cookie" not in response.headers


async def test_ck08_error_of_too_large_tokens_still_brings_the_cookies_of_a_refresh() -> None:
    """They replace tokens that the refresh has spent."""
    env = build_app_harness(routes=_oversized)
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    response = await browser.get("/me/oversized")

    assert response.json()["code"] == "session_too_large"
    assert [line[:5] for line in response.headers.get_list("set-cookie")] == ["DS=ey", "DSR=e"]


def _oversized(app: FastAPI) -> None:
    session = AuthSession(User("U1"), None, {}, issued_at=0, expires_at=2_000_000_000)
    refresh = RefreshToken("r.r.r", "U1", 0, 2_000_000_000)

    @app.get("/oversized")
    async def oversized(request: Request) -> None:
        request_auth(request.scope).cookies.write(TokenPair("a.b." + "c" * 40_000, session, refresh))

    @app.get("/me/oversized")
    async def of_user(_: CurrentUser, request: Request) -> None:
        await oversized(request)
