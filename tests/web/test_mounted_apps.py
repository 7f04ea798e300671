"""Mounted apps, and apps behind a proxy: error responses and the URLs in them."""

import re

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from fastapi_descope import (
    ConfigurationError,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    OptionalUser,
    get_auth_session,
)
from tests.helpers.app_harness import APP, AppHarness, Browser, EnvFactory, no_routes

pytestmark = pytest.mark.anyio


def _inner() -> FastAPI:
    app = FastAPI()

    @app.get("/me")
    async def me(user: CurrentUser) -> dict[str, str]:
        return {"user": user.id}

    @app.get("/broken")
    async def broken(user: OptionalUser) -> None:
        raise RuntimeError("their own")

    @app.get("/answers-500")
    async def answers(user: OptionalUser) -> PlainTextResponse:
        return PlainTextResponse("theirs", 500, background=BackgroundTask(app.state.tasks.append, "done"))

    @app.get("/streams-500")
    async def streams(user: OptionalUser) -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]), 500)

    app.state.tasks = []
    return app


def _descope(**settings: object) -> Descope:
    values: dict[str, object] = {"project_id": "P" + "a" * 27, "public_url": APP, **settings}
    reply = httpx.MockTransport(lambda _: httpx.Response(500))
    return Descope(settings=DescopeSettings(**values), transport=reply)  # type: ignore[arg-type] # any setting


def _browser(app: ASGIApp, root_path: str = "", *, raises: bool = True) -> Browser:
    transport = httpx.ASGITransport(app, root_path=root_path, raise_app_exceptions=raises)
    return Browser(httpx.AsyncClient(transport=transport))


def _outer(inner: ASGIApp, **settings: object) -> FastAPI:
    app = FastAPI()
    _descope(**settings).install(app)
    app.mount("/sub", inner)
    return app


@pytest.mark.parametrize("kind", ["fastapi", "starlette"])
async def test_our_error_in_a_mounted_app_gets_our_response(kind: str) -> None:
    """The mounted app sends a 500 for an unknown error, which no client sees."""
    inner = _inner() if kind == "fastapi" else Starlette(routes=[Mount("/", _inner())])
    app = _outer(inner)

    script, person = await _browser(app).get("/sub/me"), await _browser(app).visit("/sub/me?page=2")

    assert (script.status_code, script.json()["code"]) == (401, "not_authenticated")
    assert (person.status_code, person.headers["location"]) == (
        303,
        "/login/sso?return_to=%2Fsub%2Fme%3Fpage%3D2",
    )


async def test_500_of_a_mounted_app_is_unchanged() -> None:
    """It may come from an exception, a response or a stream; background tasks run too."""
    inner = _inner()
    browser = _browser(_outer(inner), raises=False)

    responses = [await browser.get(f"/sub/{path}") for path in ("broken", "answers-500", "streams-500")]

    assert [response.status_code for response in responses] == [500, 500, 500]
    assert [response.text for response in responses] == ["Internal Server Error", "theirs", "ab"]
    assert inner.state.tasks == ["done"]
    with pytest.raises(RuntimeError, match="their own"):
        await _browser(_outer(inner)).get("/sub/broken")


async def test_user_is_signed_in_to_a_mounted_app_too(make_env: EnvFactory) -> None:
    """It is the same session, and responses of the mounted app carry its cookies."""
    env = make_env(routes=no_routes)
    env.app.mount("/sub", _inner())
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    response = await browser.get("/sub/me")

    assert response.status_code == 200
    assert [line.partition("=")[0] for line in response.headers.get_list("set-cookie")] == ["DS", "DSR"]


async def test_mounted_app_may_have_its_own_descope() -> None:
    """Each handles its own routes, at the path where it is mounted."""
    inner = _inner()
    _descope().install(inner)
    app = _outer(inner)

    response = await _browser(app).visit("/sub/me")

    assert response.headers["location"] == "/sub/login/sso?return_to=%2Fsub%2Fme"


async def test_mounted_app_may_be_the_only_protected_one(make_env: EnvFactory) -> None:
    """Users sign in to the outer app and come back; one refresh renews the cookies of both."""
    env, inner = make_env(routes=no_routes), _inner()
    innermost = _inner()
    for app in (inner, innermost):
        app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True, public_paths=["/docs"])
    inner.mount("/deep", innermost)
    env.app.mount("/sub", inner)
    stranger = env.browser()

    person = await stranger.visit("/sub/broken?page=2")
    deep = await stranger.visit("/sub/deep/broken")
    script = await stranger.get("/sub/broken")

    assert person.headers["location"] == "/login/sso?return_to=%2Fsub%2Fbroken%3Fpage%3D2"
    assert deep.headers["location"] == "/login/sso?return_to=%2Fsub%2Fdeep%2Fbroken"
    assert (script.status_code, script.json()["login_url"]) == (401, "/login/sso")
    assert (await stranger.get("/sub/docs")).status_code == 200

    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)
    response = await browser.get("/sub/me")

    assert response.status_code == 200
    assert [line.partition("=")[0] for line in response.headers.get_list("set-cookie")] == ["DS", "DSR"]
    assert env.calls("refresh") == 1


async def test_protected_mounted_app_with_its_own_login_uses_it(make_env: EnvFactory) -> None:
    """Even with the same ``Descope``: its routes are wherever its router is included."""
    env, inner = make_env(routes=no_routes, default_tenant="acme"), _inner()
    inner.include_router(env.descope.router)
    inner.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)
    env.app.mount("/sub", inner)
    stranger = env.browser()

    response = await stranger.visit("/sub/me")

    assert response.headers["location"] == "/sub/login/sso?return_to=%2Fsub%2Fme"
    assert (await stranger.visit("/sub/login/sso")).status_code == 303


async def test_two_descope_objects_in_one_app_are_rejected() -> None:
    """A login that one starts would end at the other."""
    app = FastAPI()
    _descope().install(app)

    with pytest.raises(ConfigurationError, match="already installed on this app"):
        _descope().install(app)

    app.add_middleware(DescopeMiddleware, descope=_descope())
    response = await _browser(app).get("/")
    assert (response.status_code, response.json()["code"]) == (500, "configuration_error")
    assert response.json()["detail"].startswith("Two Descope objects are installed on one app.")


async def test_middleware_of_one_descope_may_be_added_twice(make_env: EnvFactory) -> None:
    """``Descope(app)`` and the middleware with protection: both take effect."""
    env = make_env(routes=no_routes)
    env.app.mount("/sub", _inner())
    env.app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)
    assert (await env.browser().get("/sub/answers-500")).status_code == 401
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    response = await browser.get("/sub/me")

    assert [line.partition("=")[0] for line in response.headers.get_list("set-cookie")] == ["DS", "DSR"]
    assert response.headers["vary"] == "Cookie"


@pytest.mark.parametrize("protect", [(True, False), (False, True)], ids=["inner", "outer"])
async def test_either_of_two_middlewares_of_one_descope_protects(protect: tuple[bool, bool]) -> None:
    """The one that was added last is the outer one."""
    descope, app = _descope(default_tenant="acme"), _inner()
    app.include_router(descope.router)
    for each in protect:
        app.add_middleware(DescopeMiddleware, descope=descope, protect=each)

    assert (await _browser(app).get("/nothing")).status_code == 401
    assert (await _browser(app).visit("/login/sso")).status_code == 503


async def test_middleware_that_wraps_the_whole_app_finds_its_routes() -> None:
    """As plain ASGI middleware it finds the login and leaves it public."""
    descope, app = _descope(default_tenant="acme"), _inner()
    app.include_router(descope.router)

    guarded = _browser(DescopeMiddleware(app, descope=descope, protect=True))
    asked = _browser(DescopeMiddleware(app, descope=descope))

    assert (await guarded.visit("/login/sso")).status_code == 503
    assert (await guarded.visit("/nothing")).headers["location"] == "/login/sso?return_to=%2Fnothing"
    assert (await asked.visit("/me")).headers["location"] == "/login/sso?return_to=%2Fme"


async def _opened(request: Request) -> PlainTextResponse:
    return PlainTextResponse("open")


def _hidden(app: ASGIApp) -> ASGIApp:
    """Middleware that is a function, so that the app in it is unknown."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return middleware


_ROUTES = [Route("/callback", _opened), Route("/logout", _opened, methods=["POST"])]

_INNER_APPS: dict[str, ASGIApp] = {
    "router": Router(_ROUTES),
    "starlette": Starlette(routes=_ROUTES),
    "fastapi": FastAPI(routes=list(_ROUTES)),
    "hidden": _hidden(Router(_ROUTES)),
}


@pytest.mark.parametrize("kind", _INNER_APPS)
@pytest.mark.parametrize("at", ["", "/top"], ids=["outermost", "mounted"])
async def test_hp08_mounted_app_is_not_public_at_the_paths_of_the_outer_callback(kind: str, at: str) -> None:
    """HP-08: the scope still names the outer app, whose callback and logout have the same paths."""
    descope, outer = _descope(), FastAPI()
    outer.include_router(descope.router)
    outer.mount("/sub", DescopeMiddleware(_INNER_APPS[kind], descope=descope, protect=True))
    browser = _browser(Starlette(routes=[Mount(at, outer)]) if at else outer)

    responses = [await browser.get(f"{at}/sub/callback"), await browser.post(f"{at}/sub/logout")]

    assert [response.status_code for response in responses] == [401, 401]


async def test_mounted_app_behind_the_middleware_uses_its_own_login() -> None:
    """Its login is public, and the outer app has none."""
    descope, inner = _descope(default_tenant="acme"), _inner()
    inner.include_router(descope.router)
    app = Starlette(routes=[Mount("/sub", DescopeMiddleware(inner, descope=descope, protect=True))])
    browser = _browser(app)

    response = await browser.visit("/sub/me")

    assert response.headers["location"] == "/sub/login/sso?return_to=%2Fsub%2Fme"
    assert (await browser.visit("/sub/login/sso")).status_code == 503


async def test_mounted_router_behind_the_middleware_uses_the_outer_login() -> None:
    """A router has no login of its own that the middleware could find."""
    descope, outer = _descope(), FastAPI()
    outer.include_router(descope.router)
    outer.mount("/sub", DescopeMiddleware(Router(_ROUTES), descope=descope, protect=True))

    response = await _browser(outer).visit("/sub/callback")

    assert response.headers["location"] == "/login/sso?return_to=%2Fsub%2Fcallback"


async def test_return_path_has_the_prefix_that_a_proxy_strips() -> None:
    """With ``FastAPI(root_path=...)`` the scope has the path without it, and the browser with it."""
    app = _inner()
    app.root_path = "/api"  # as an argument it is deprecated, and still there
    _descope().install(app)

    response = await _browser(app).visit("/me")

    assert response.headers["location"] == "/api/login/sso?return_to=%2Fapi%2Fme"


@pytest.mark.parametrize(
    ("root_path", "prefix", "callback"),
    [("/app", "/application", "/app/application/callback"), ("/a", "/auth", "/a/auth/callback")],
)
async def test_path_that_begins_like_the_root_path_is_another_path(
    root_path: str, prefix: str, callback: str
) -> None:
    """Paths are compared by segments."""
    asked: list[httpx.URL] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"url": "https://idp.example/"})

    app = FastAPI()
    settings = DescopeSettings(project_id="P" + "a" * 27, public_url=APP)
    descope = Descope(settings=settings, transport=httpx.MockTransport(handler))
    descope.install(app, prefix=prefix)

    async def stripping(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": root_path}, receive, send)

    await _browser(stripping).visit(f"{prefix}/login/sso?tenant=acme")

    assert asked[0].params["redirectURL"].partition("?")[0] == APP + callback


async def test_non_ascii_urls_are_escaped_once() -> None:
    """In the page, in ``Location`` and in HTMX's header, which takes ASCII only."""
    app = _inner()
    _descope().install(app, prefix="/вход")
    login = "/%D0%B2%D1%85%D0%BE%D0%B4/login/sso"

    page = await _browser(app).visit(login)
    person = await _browser(app).visit("/me")
    htmx = await _browser(app).get("/me", hx_request="true")

    assert f'action="{login}"' in page.text
    assert person.headers["location"] == login + "?return_to=%2Fme"
    assert htmx.headers["hx-redirect"] == login


async def test_htmx_redirect_is_ascii() -> None:
    """A mount with a parameter puts the client's own bytes into the root path."""
    inner = FastAPI()
    _descope().install(inner)
    app = Starlette(routes=[Mount("/t/{org}", inner)])

    for org, quoted in (("%0d%0aX-A:b", "%0D%0AX-A:b"), ("%E2%82%AC", "%E2%82%AC")):
        response = await _browser(app).post(f"/t/{org}/logout", {}, hx_request="true")
        assert response.headers["hx-redirect"] == f"/t/{quoted}/"
        assert "x-a" not in response.headers


def _mounted(env: AppHarness, path: str) -> Browser:
    """Return a browser for an app that is mounted in another."""
    outer = Starlette(routes=[Mount(path, env.app)])
    env.mounts[f"{APP}/"] = httpx.ASGITransport(outer)
    return env.browser()


@pytest.mark.parametrize(
    ("path", "asked", "base"),
    [
        ("/{org}", "/%5Cevil.example", "/%5Cevil.example"),
        ("/{base:path}", "/%2Fevil.example", "/%2Fevil.example"),
        ("/{base:path}", "/%2F%2Fevil.example", "/%2F/evil.example"),
        ("/{org}", "/%09", "/%09"),
    ],
    ids=["backslash", "slashes", "three slashes", "what browsers strip"],
)
async def test_rt15_mount_with_a_parameter_redirects_to_no_other_site(
    make_env: EnvFactory, path: str, asked: str, base: str
) -> None:
    """The client chose the path, and it is escaped wherever a URL of the app is written."""
    browser = _mounted(make_env(routes=no_routes), path)

    failed = await browser.visit(f"{asked}/callback?state=x")
    refused = await browser.visit(f"{asked}/session")
    signed_out = await browser.post(f"{asked}/logout", sec_fetch_mode="navigate")

    assert f'href="{base}/"' in failed.text
    assert f'href="{base}/login/sso"' in failed.text
    assert refused.headers["location"] == f"{base}/login/sso"
    assert signed_out.headers["location"] == f"{base}/"


async def test_rt15_page_after_a_login_links_to_no_other_site(make_env: EnvFactory) -> None:
    """With Strict cookies a page replaces the redirect, and it contains the path too."""
    browser = _mounted(make_env(routes=no_routes, cookie_samesite="strict"), "/{org}")

    page = await browser.sign_in(prefix="/%5Cevil.example", return_to="/%5Cevil.example/")

    assert re.findall(r'(?:url=|href=")([^"]*)"', page.text) == ["/%5Cevil.example/"] * 2


async def test_landing_path_is_within_a_mount_with_a_non_ascii_path(make_env: EnvFactory) -> None:
    """It is used if no safe return path was given, or one that is too long to be stored."""
    env = make_env(routes=no_routes, post_login_path="/home?from=login")
    browser = _mounted(env, "/café {x}")

    for letters in ("x", "x" * 1_100):
        prefix = f"/caf%C3%A9%20{letters}"
        response = await browser.sign_in(prefix=prefix, return_to="//evil.example")
        assert response.headers["location"] == f"{prefix}/home?from=login"


async def test_landing_path_with_a_root_path_of_one_slash_stays_on_this_site(
    make_env: EnvFactory,
) -> None:
    """Two slashes at the start would name a host."""
    env = make_env(routes=no_routes, post_logout_path="/bye")
    browser = _browser(env.app, root_path="/")

    response = await browser.post("/logout", sec_fetch_mode="navigate")

    assert response.headers["location"] == "/bye"


async def test_session_in_a_500_handler_raises_an_error_that_explains_why() -> None:
    """Such a handler runs outside of all middleware of the app."""
    app = FastAPI()
    _descope().install(app)
    messages: list[str] = []

    @app.exception_handler(Exception)
    async def handler(request: object, _error: Exception) -> PlainTextResponse:
        with pytest.raises(ConfigurationError) as caught:
            await get_auth_session(request)  # type: ignore[arg-type] # Starlette types handlers loosely
        messages.append(str(caught.value))
        return PlainTextResponse("sorry", 500)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    await _browser(app, raises=False).get("/broken")

    assert "handler for 500 runs outside DescopeMiddleware" in messages[0]
