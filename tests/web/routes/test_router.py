"""The router works at any prefix and mount, and ignores all other paths."""

from collections.abc import Callable

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from fastapi_descope import (
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    current_user,
    require_step_up,
)
from tests.helpers.asgi_client import send_request

pytestmark = pytest.mark.anyio


@pytest.fixture
def descope() -> Descope:
    """A plugin that is not installed in an app yet."""
    return Descope(settings=DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz"))


async def _status(app: ASGIApp, path: str) -> int:
    return (await send_request(app, path)).status


@pytest.mark.parametrize("prefix", ["", "/auth", "/a/b"])
async def test_every_route_is_found_under_any_prefix(descope: Descope, prefix: str) -> None:
    """Routes for POST only return 405 for GET, unknown paths 404."""
    app = FastAPI()
    descope.install(app, prefix=prefix)

    for path in ("/session", "/session/profile", "/session/tenants"):
        assert await _status(app, prefix + path) == 401, path
    for path in ("/login/sso", "/callback"):
        assert await _status(app, prefix + path) == 400, path
    for path in ("/logout", "/logout/all", "/tenant/select"):
        assert await _status(app, prefix + path) == 405, path
    assert await _status(app, f"{prefix}/session/else") == 404
    assert await _status(app, f"{prefix}/xsession") == 404


async def test_the_routes_are_found_in_a_mounted_app(descope: Descope) -> None:
    """A mount moves the start of the path into the root path."""
    inner = FastAPI()
    descope.install(inner, prefix="/auth")

    assert await _status(Starlette(routes=[Mount("/inner", inner)]), "/inner/auth/session") == 401


async def _active(user: CurrentUser) -> None:
    """A dependency that requires a session through another one."""


@pytest.mark.parametrize(
    "guard", [current_user, _active, require_step_up()], ids=["plain", "nested", "step-up"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/login/sso?tenant=acme"), ("GET", "/callback"), ("POST", "/logout"), ("POST", "/logout/all")],
)
async def test_a_login_route_behind_a_required_session_is_an_error(
    descope: Descope, guard: Callable[..., object], method: str, path: str
) -> None:
    """The response is an error instead of an endless redirect to the login."""
    app = FastAPI()
    app.include_router(descope.router, prefix="/auth", dependencies=[Depends(guard)])
    app.add_middleware(DescopeMiddleware, descope=descope)
    person = httpx.AsyncClient(transport=httpx.ASGITransport(app), headers={"accept": "text/html"})

    response = await person.request(method, f"http://127.0.0.1/auth{path}")

    assert response.status_code == 500
    assert "location" not in response.headers
    assert "Descope(app, protect=True)" in response.text


async def test_other_dependencies_of_the_router_work(descope: Descope) -> None:
    """For example a rate limit for logins."""

    def too_many() -> None:
        raise HTTPException(429)

    app = FastAPI()
    app.include_router(descope.router, dependencies=[Depends(too_many)])
    app.add_middleware(DescopeMiddleware, descope=descope)

    assert await _status(app, "/login/sso") == 429


async def test_a_catch_all_route_does_not_shadow_the_router(descope: Descope) -> None:
    """A catch-all that is declared later handles all paths but those of the router."""
    app = FastAPI()
    descope.install(app)

    @app.get("/{path:path}")
    async def everything(path: str) -> str:
        return path

    assert await _status(app, "/session") == 401
    assert (await send_request(app, "/else/session")).body == b'"else/session"'
    assert (await send_request(app, "/anything")).body == b'"anything"'


async def test_a_route_that_an_app_adds_to_the_router_is_found(descope: Descope) -> None:
    """It is found before and after the router is included, and may have path parameters."""

    @descope.router.get("/devices/{device}")
    async def device(device: str) -> str:
        return device

    app = FastAPI()
    descope.install(app, prefix="/auth")

    assert (await send_request(app, "/auth/devices/7")).body == b'"7"'
    assert await _status(app, "/auth/session") == 401


async def test_a_router_that_is_not_frozen_finds_its_routes(descope: Descope) -> None:
    """Freezing makes matching faster and changes nothing else."""
    router = type(descope.router)(lifespan=descope.lifespan)

    @router.get("/open")
    async def found() -> str:
        return "found"

    app = FastAPI()
    app.include_router(router)

    assert (await send_request(app, "/open")).body == b'"found"'
