"""The router: found wherever an app puts it, and out of the way of every other page."""

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
    """One that no app has yet."""
    return Descope(settings=DescopeSettings(project_id="P2abcdefghijklmnopqrstuvwxyz"))


async def _status(app: ASGIApp, path: str) -> int:
    return (await send_request(app, path)).status


@pytest.mark.parametrize("prefix", ["", "/auth", "/a/b"])
async def test_every_route_is_found_under_any_prefix(descope: Descope, prefix: str) -> None:
    """GET finds the five that answer it, and tells POST alone from nothing (405, 404)."""
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
    """A mount moves what a path begins with into the root path; here both have the prefix."""
    inner = FastAPI()
    descope.install(inner, prefix="/auth")

    assert await _status(Starlette(routes=[Mount("/inner", inner)]), "/inner/auth/session") == 401


async def _active(user: CurrentUser) -> None:
    """A dependency that demands a session by another one."""


@pytest.mark.parametrize(
    "guard", [current_user, _active, require_step_up()], ids=["plain", "nested", "step-up"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/login/sso?tenant=acme"), ("GET", "/callback"), ("POST", "/logout"), ("POST", "/logout/all")],
)
async def test_a_sign_in_that_demands_a_session_names_the_mistake(
    descope: Descope, guard: Callable[..., object], method: str, path: str
) -> None:
    """It is not answered with a redirect to itself, for ever."""
    app = FastAPI()
    app.include_router(descope.router, prefix="/auth", dependencies=[Depends(guard)])
    app.add_middleware(DescopeMiddleware, descope=descope)
    person = httpx.AsyncClient(transport=httpx.ASGITransport(app), headers={"accept": "text/html"})

    response = await person.request(method, f"http://127.0.0.1/auth{path}")

    assert response.status_code == 500
    assert "location" not in response.headers
    assert "DescopeMiddleware(protect=True)" in response.text


async def test_another_dependency_stands_before_the_routes_as_before_any(descope: Descope) -> None:
    """A limit of logins, say."""

    def too_many() -> None:
        raise HTTPException(429)

    app = FastAPI()
    app.include_router(descope.router, dependencies=[Depends(too_many)])
    app.add_middleware(DescopeMiddleware, descope=descope)

    assert await _status(app, "/login/sso") == 429


async def test_pages_of_the_app_come_first_only_where_the_router_has_none(descope: Descope) -> None:
    """A catch-all that is declared later gets everything but the router's own paths."""
    app = FastAPI()
    descope.install(app)

    @app.get("/{path:path}")
    async def everything(path: str) -> str:
        return path

    assert await _status(app, "/session") == 401
    assert (await send_request(app, "/else/session")).body == b'"else/session"'
    assert (await send_request(app, "/anything")).body == b'"anything"'


async def test_a_route_that_an_app_adds_to_the_router_is_found(descope: Descope) -> None:
    """Before or after the router is included; such a path may have parameters."""

    @descope.router.get("/devices/{device}")
    async def device(device: str) -> str:
        return device

    app = FastAPI()
    descope.install(app, prefix="/auth")

    assert (await send_request(app, "/auth/devices/7")).body == b'"7"'
    assert await _status(app, "/auth/session") == 401


async def test_a_router_that_is_not_sealed_yet_finds_its_routes(descope: Descope) -> None:
    """Sealing makes it quicker, and nothing else."""
    router = type(descope.router)(lifespan=descope.lifespan)

    @router.get("/open")
    async def found() -> str:
        return "found"

    app = FastAPI()
    app.include_router(router)

    assert (await send_request(app, "/open")).body == b'"found"'
