"""Starlette's own authentication on top of the session: ``request.user`` and ``@requires``."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fastapi_descope import Descope, DescopeAuthBackend, DescopeMiddleware, DescopeSettings
from fastapi_descope.emulator import Emulator
from tests.helpers.app_harness import APP, IDP, Browser

pytestmark = pytest.mark.anyio


async def _who(request: Request) -> JSONResponse:
    user = request.user
    body = {"signed_in": user.is_authenticated, "name": user.display_name}
    return JSONResponse(body | ({"id": user.identity} if user.is_authenticated else {}))


@requires("reports.write")
async def _write(request: Request) -> JSONResponse:
    return JSONResponse(request.auth.scopes)


def _app(emulator: Emulator) -> Browser:
    descope = Descope(
        settings=DescopeSettings(project_id=emulator.project_id, base_url=IDP, public_url=APP),
        clock=emulator.clock,
        transport=httpx.ASGITransport(emulator),
    )
    app = Starlette(
        routes=[Route("/who", _who), Route("/write", _write)],
        middleware=[
            Middleware(DescopeMiddleware, descope=descope),
            Middleware(AuthenticationMiddleware, backend=DescopeAuthBackend()),
        ],
    )
    return Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))


async def test_request_user_is_the_signed_in_user() -> None:
    """Its name is in the token; otherwise the id is used."""
    emulator = Emulator()
    token = emulator.issue("ada@acme.example", tenant="acme").session_jwt

    response = await _app(emulator).get("/who", authorization=f"Bearer {token}")

    assert response.json() == {
        "signed_in": True,
        "name": "Ada Lovelace",
        "id": "U22a1322415fff1b1aceaebe7855",
    }


async def test_unauthenticated_user_is_starlettes() -> None:
    """As if no backend had authenticated the request."""
    assert (await _app(Emulator()).get("/who")).json() == {"signed_in": False, "name": ""}


async def test_scopes_are_the_permissions_in_the_tenant() -> None:
    """``@requires`` works with the permissions in the current tenant."""
    emulator = Emulator()
    browser = _app(emulator)

    for user, tenant, status in (
        ("ada@acme.example", "acme", 200),
        ("grace@acme.example", "acme", 403),
        ("nomad@example.org", None, 403),
    ):
        token = emulator.issue(user, tenant=tenant).session_jwt
        assert (await browser.get("/write", authorization=f"Bearer {token}")).status_code == status
