"""The session of a request has the tenant of its verified caller: TI-05."""

import asyncio
import json
from collections.abc import Callable
from typing import Annotated

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Security, WebSocket
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.emulator import AccessKey, Grants, Project, SeedUser
from fastapi_descope.sqlalchemy import TenantSessions
from tests.helpers.app_harness import APP, IDP, AppHarness, EnvFactory, no_routes
from tests.helpers.tenant_database import TenantDatabase
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

_READ = ("notes.read",)
_IN_ACME = {"acme": Grants((), _READ)}
_USERS = (
    SeedUser(
        "ada@acme.example", tenants={"acme": Grants(("viewer",), _READ), "globex": Grants(("viewer",), _READ)}
    ),
    SeedUser("nomad@example.org"),
)
_KEYS = (
    AccessKey("K2one", "K2one-0123456789", tenants=_IN_ACME, permissions=_READ),
    AccessKey("K2two", "K2two-0123456789", tenants={**_IN_ACME, "globex": Grants()}, permissions=_READ),
    AccessKey("K2none", "K2none-0123456789", permissions=_READ),
    AccessKey("K2dct", "K2dct-0123456789", tenants=_IN_ACME, permissions=_READ, claims={"dct": "globex"}),
    AccessKey("K2weak", "K2weak-0123456789", tenants=_IN_ACME),
)


def _add_routes(app: FastAPI, sessions: TenantSessions) -> None:
    @app.get("/notes")
    async def notes(db: Annotated[AsyncSession, Depends(sessions)]) -> list[str]:
        return await _ids(db)

    @app.get("/api/notes")
    async def api_notes(
        db: Annotated[AsyncSession, Security(sessions.for_caller, scopes=["notes.read"])],
    ) -> list[str]:
        return await _ids(db)

    @app.get("/later")
    async def later(db: Annotated[AsyncSession, Depends(sessions)], tasks: BackgroundTasks) -> None:
        tasks.add_task(_append_ids, app, db)

    @app.websocket("/ws")
    async def ws(socket: WebSocket, db: Annotated[AsyncSession, Depends(sessions)]) -> None:
        await socket.accept()
        await socket.send_json(await _ids(db))


async def _ids(db: AsyncSession) -> list[str]:
    return [*(await db.scalars(text("SELECT id FROM note ORDER BY id")))]


async def _append_ids(app: FastAPI, db: AsyncSession) -> None:
    app.state.later = await _ids(db)


@pytest.fixture
def env(database: TenantDatabase, make_env: EnvFactory) -> AppHarness:
    """An app with the routes of this module."""
    env = make_env(project=Project(users=_USERS, access_keys=_KEYS), routes=no_routes, access_keys=True)
    _add_routes(env.app, database.sessions)
    return env


def _user(tenant: str | None, user: str = "ada@acme.example") -> Callable[[AppHarness], str]:
    return lambda env: env.emulator.issue(user, tenant=tenant).session_jwt


def _application(**claims: object) -> Callable[[AppHarness], str]:
    def issue(env: AppHarness) -> str:
        project = env.emulator.project_id
        oauth: dict[str, object] = {
            "iss": f"{IDP}/v1/apps/{project}",
            "aud": [project, "TPA2app"],
            "azp": "TPA2app",
            "scope": "notes.read",
            "token_type": "access_token",
        }
        return env.emulator.issue("ada@acme.example", claims={**oauth, **claims}).session_jwt

    return issue


def _foreign_tenant(env: AppHarness) -> str:
    return env.emulator.issue(
        "nomad@example.org", claims={"dct": "acme", "tenants": {"globex": {}}}
    ).session_jwt


def _key(secret: str) -> Callable[[AppHarness], str]:
    return lambda _: secret


async def _get(env: AppHarness, path: str, token: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return await env.browser().http.get(f"{APP}{path}", headers=headers)


@pytest.mark.parametrize("path", ["/notes", "/api/notes"])
@pytest.mark.parametrize("tenant", ["acme", "globex"])
async def test_ti05_user_sees_the_current_tenant(env: AppHarness, path: str, tenant: str) -> None:
    """One of several, which the claim dct names."""
    response = await _get(env, path, _user(tenant)(env))
    assert response.json() == [f"{tenant}-n1", f"{tenant}-n2"]


_REFUSED: dict[str, tuple[Callable[[AppHarness], str], str, int, str]] = {
    "nobody": (lambda _: "", "/notes", 401, "not_authenticated"),
    "nobody at the API": (lambda _: "", "/api/notes", 401, "not_authenticated"),
    "user who has chosen no tenant": (_user(None), "/notes", 403, "no_tenant"),
    "user who has chosen no tenant at the API": (_user(None), "/api/notes", 403, "insufficient_scope"),
    "user without tenants": (_user(None, "nomad@example.org"), "/notes", 403, "no_tenant"),
    "user with another's tenant": (_foreign_tenant, "/notes", 403, "no_tenant"),
    "application on a page": (
        _application(dct="acme", tenants={"acme": {}}),
        "/notes",
        403,
        "session_required",
    ),
    "application without a current tenant": (
        _application(tenants={"acme": {}}),
        "/api/notes",
        403,
        "no_tenant",
    ),
    "application with another's tenant": (
        _application(dct="acme", tenants={}),
        "/api/notes",
        403,
        "no_tenant",
    ),
    "application without the scope": (
        _application(dct="acme", tenants={"acme": {}}, scope=""),
        "/api/notes",
        403,
        "insufficient_scope",
    ),
    "machine on a page": (_key("K2one-0123456789"), "/notes", 403, "session_required"),
    "machine of two tenants": (_key("K2two-0123456789"), "/api/notes", 403, "no_tenant"),
    "machine without a tenant": (_key("K2none-0123456789"), "/api/notes", 403, "no_tenant"),
    "machine with another's tenant": (_key("K2dct-0123456789"), "/api/notes", 403, "no_tenant"),
    "machine without the permission": (_key("K2weak-0123456789"), "/api/notes", 403, "insufficient_scope"),
}


@pytest.mark.parametrize(("caller", "path", "status", "code"), _REFUSED.values(), ids=_REFUSED)
async def test_ti05_caller_without_a_tenant_sees_nothing(
    env: AppHarness, caller: Callable[[AppHarness], str], path: str, status: int, code: str
) -> None:
    """Nothing replaces the tenant: no first one, no other one, and none of the request."""
    response = await _get(env, path, caller(env))
    assert (response.status_code, response.json().get("code")) == (status, code)


async def test_ti05_application_sees_its_current_tenant(env: AppHarness) -> None:
    """That of the access token, if the route names a scope."""
    response = await _get(env, "/api/notes", _application(dct="globex", tenants={"globex": {}})(env))
    assert response.json() == ["globex-n1", "globex-n2"]


async def test_ti05_machine_sees_the_only_tenant_of_its_key(env: AppHarness) -> None:
    """An exchange of an access key selects no tenant."""
    response = await _get(env, "/api/notes", "K2one-0123456789")
    assert response.json() == ["acme-n1", "acme-n2"]


async def test_ti05_websocket_sees_its_tenant(env: AppHarness) -> None:
    """As a request does."""
    authorization = f"Bearer {_user('acme')(env)}".encode()
    socket = WebSocketClient(env.app, [(b"authorization", authorization)])
    assert (await socket.open())["type"] == "websocket.accept"
    assert json.loads((await socket.next())["text"]) == ["acme-n1", "acme-n2"]
    await socket.wait()


async def test_ti05_background_task_sees_the_tenant_of_its_request(env: AppHarness) -> None:
    """The session is open until the tasks have run."""
    await _get(env, "/later", _user("globex")(env))
    assert env.app.state.later == ["globex-n1", "globex-n2"]


async def test_ti05_concurrent_requests_see_their_own_tenants(env: AppHarness) -> None:
    """Over the connections of one pool."""
    tenants = ("acme", "globex") * 10
    responses = await asyncio.gather(*(_get(env, "/notes", _user(tenant)(env)) for tenant in tenants))
    assert [response.json()[0] for response in responses] == [f"{tenant}-n1" for tenant in tenants]


async def test_route_table_shows_that_a_session_needs_a_tenant(env: AppHarness) -> None:
    """``fastapi-descope routes`` and the tests of an app see the requirement."""
    access = {row.path: row.access for row in RouteTable(env.app).rows}
    assert access["/notes"] == "a tenant"
    assert access["/api/notes"] == "any caller with notes.read"
