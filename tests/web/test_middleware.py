"""The middleware: what it adds to responses, what it leaves alone (WS-07), and protection by default."""

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
from fastapi_descope._web.request_auth import RequestAuth, request_auth
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
        response.headers["Vary"] = "Accept-Encoding, cookie"
        return {"user": user is not None}

    @app.get("/own-response")
    async def own(user: CurrentUser) -> Response:
        answer = JSONResponse({"user": user.id})
        answer.set_cookie("theirs", "1")
        return answer

    @app.get("/stream")
    async def stream(user: CurrentUser) -> StreamingResponse:
        return StreamingResponse(iter([b"a", user.id.encode()]))

    @app.get("/vary-star")
    async def vary_star(user: OptionalUser, response: Response) -> None:
        del user
        response.headers["Vary"] = "*"


async def _expired(env: AppHarness) -> Browser:
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)
    return browser


async def test_ca01_a_response_with_our_cookies_is_kept_out_of_shared_caches(
    make_env: EnvFactory,
) -> None:
    """no-store replaces what the app said, the caches' private headers go, Vary is merged (CA-01)."""
    answer = await (await _expired(make_env(routes=_cached_pages))).get("/cached")

    assert answer.json() == {"user": True}
    assert len(answer.headers.get_list("set-cookie")) == 2
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["vary"] == "Accept-Encoding, cookie"
    assert {"expires", "surrogate-control", "cdn-cache-control"}.isdisjoint(answer.headers)


async def test_ca02_a_response_that_asked_who_is_there_says_so_and_no_more(make_env: EnvFactory) -> None:
    """Vary names both headers that mattered; what the app says about caching stands (CA-02)."""
    answer = await make_env(routes=_cached_pages).browser().get("/cached")

    assert answer.headers["vary"] == "Accept-Encoding, cookie, Authorization"
    assert answer.headers["cache-control"] == "public, max-age=600"
    assert "set-cookie" not in answer.headers


async def test_ca02_without_a_word_on_caching_it_is_private(make_env: EnvFactory) -> None:
    """The default for an answer that depends on the caller."""
    answer = await make_env().browser().get("/maybe")

    assert answer.headers["cache-control"] == "private"
    assert answer.headers["vary"] == "Cookie, Authorization"


async def test_vary_star_is_left_as_it_is(make_env: EnvFactory) -> None:
    """It says everything already."""
    assert (await make_env(routes=_cached_pages).browser().get("/vary-star")).headers["vary"] == "*"


async def test_ck10_the_endpoints_own_response_and_cookies_go_out_with_ours(make_env: EnvFactory) -> None:
    """Set-Cookie is added on the response's start, so it cannot be lost with an injected Response."""
    answer = await (await _expired(make_env(routes=_cached_pages))).get("/own-response")

    names = [cookie.partition("=")[0] for cookie in answer.headers.get_list("set-cookie")]
    assert names == ["theirs", "DS", "DSR"]


async def test_a_stream_carries_the_cookies_of_a_refresh(make_env: EnvFactory) -> None:
    """Nothing is buffered and nothing is lost."""
    answer = await (await _expired(make_env(routes=_cached_pages))).get("/stream")

    assert answer.text == "aU22a1322415fff1b1aceaebe7855"
    assert len(answer.headers.get_list("set-cookie")) == 2


@pytest.mark.parametrize("kind", ["lifespan", "telegram"])
async def test_ws07_lifespan_and_unknown_scopes_pass_through_untouched(kind: str) -> None:
    """The middleware only speaks http and websocket."""
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


async def test_the_scope_is_left_clean_when_the_response_is_done() -> None:
    """The session and its scope hold each other; a request must not wait for the collector."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await Response("ok")(scope, receive, send)

    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))
    middleware = DescopeMiddleware(app, descope=descope)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(middleware), base_url=APP) as client:
        assert (await client.get("/")).text == "ok"

    assert not isinstance(scopes[0]["fastapi_descope"], RequestAuth)


async def test_an_error_after_the_response_has_started_is_not_answered_twice() -> None:
    """Half a response is out: the server has to cut the connection."""

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
async def test_hp02_public_paths_need_no_session(path: str) -> None:
    """An exact path, or everything below one; root_path is not part of it (HP-02)."""
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
        "/static/a/..",
        "/static/a%5c..%5cadmin",
        "/admin?x=/health",
        "/admin?/health",
    ],
)
async def test_hp02_near_misses_are_protected(path: str) -> None:
    """Whole segments, exact case, no dot segments, never the query."""
    browser = _protected(("/health", "/static/*"))
    raw = httpx.URL(APP).copy_with(raw_path=b"/api" + path.encode())

    answer = await browser.http.get(raw)

    assert answer.status_code == 401


@pytest.mark.parametrize(("path", "status"), [("/api/auth/login/sso", 503), ("/api/auth/callback", 400)])
async def test_the_plugins_own_routes_are_always_open(path: str, status: int) -> None:
    """Who is not signed in must be able to sign in."""
    assert (await _protected(()).visit(path)).status_code == status


async def test_cs10_a_preflight_is_for_the_cors_middleware_further_out() -> None:
    """It answers without a session or a cookie; no other OPTIONS gets past us (HP-06)."""
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


async def test_an_apps_own_route_of_another_method_is_not_open() -> None:
    """``GET /logout`` is none of the plugin's, so it needs a session as everything does."""
    assert (await _protected(()).get("/api/auth/logout")).status_code == 401


async def test_protection_sends_a_person_to_the_login_with_prefix_and_root_path() -> None:
    """The way back is the address that the browser sees."""
    answer = await _protected(()).visit("/api/reports")

    assert answer.headers["location"] == "/api/auth/login/sso?return_to=%2Fapi%2Freports"


def test_a_public_path_without_a_slash_is_refused_at_construction() -> None:
    """It would never match, and nobody would notice."""
    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))

    with pytest.raises(ConfigurationError, match="health"):
        DescopeMiddleware(FastAPI(), descope=descope, public_paths=["health"])


async def test_ck08_cookies_that_no_browser_keeps_are_refused_with_their_own_error() -> None:
    """The response has not started yet, so the refusal can still be one; and it sets no cookie."""
    env = build_app_harness(routes=_oversized)

    answer = await env.browser().get("/oversized")

    assert answer.status_code == 400
    assert answer.json()["code"] == "session_too_large"
    assert "set-cookie" not in answer.headers


def _oversized(app: FastAPI) -> None:
    session = AuthSession(User("U1"), None, {}, issued_at=0, expires_at=2_000_000_000)
    refresh = RefreshToken("r.r.r", "U1", 0, 2_000_000_000)

    @app.get("/oversized")
    async def oversized(request: Request) -> None:
        request_auth(request.scope).cookies.write(TokenPair("a.b." + "c" * 40_000, session, refresh))
