"""What each kind of caller gets: the table of docs/reference/callers.md (CL-02, CL-06, CL-08)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Security
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from fastapi_descope import (
    Caller,
    CallerGuard,
    CurrentCaller,
    CurrentDelegate,
    CurrentMachine,
    CurrentTenant,
    CurrentUser,
    Delegate,
    Forbidden,
    Machine,
    OptionalUser,
    current_caller,
    get_caller,
    tenant_id_var,
)
from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.emulator import AccessKey, Assumptions, Grants, Project, SeedUser
from fastapi_descope.events import SessionRefused, TokenRejected
from tests.helpers.app_harness import IDP, AppHarness, EnvFactory
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "callers.md"
READER = "ada@acme.example"
PROJECT = Project(
    users=(
        SeedUser(READER, tenants={"acme": Grants(("viewer",), ("reports:read",))}),
        SeedUser("grace@acme.example", tenants={"acme": Grants(("viewer",), ())}),
    ),
    access_keys=(
        AccessKey("K2reader", "K2reader-0123456789", permissions=("reports:read",)),
        AccessKey("K2other", "K2other-0123456789"),
    ),
)

Reader = Annotated[Caller, Security(current_caller, scopes=["reports:read"])]


def add_routes(app: FastAPI) -> None:
    """Add a route for each column of the table."""

    @app.get("/user")
    async def user(user: CurrentUser) -> str:
        return user.id

    @app.get("/optional")
    async def optional(user: OptionalUser) -> str | None:
        return user.id if user else None

    @app.get("/tenant")
    async def tenant(tenant: CurrentTenant) -> str:
        return tenant.id

    @app.get("/caller")
    async def caller(caller: CurrentCaller) -> dict[str, object]:
        return {"kind": type(caller).__name__, "tenant": caller.tenant_id, "context": tenant_id_var.get()}

    @app.get("/scope")
    async def scope(caller: Reader) -> str:
        return type(caller).__name__

    @app.get("/delegate")
    async def delegate(delegate: CurrentDelegate) -> dict[str, object]:
        return {"client": delegate.client_id, "user": delegate.user_id, "scopes": sorted(delegate.scopes)}

    @app.get("/machine")
    async def machine(machine: CurrentMachine) -> str:
        return machine.id


ROUTES: Mapping[str, str] = {
    "`CurrentUser`": "/user",
    "`OptionalUser`": "/optional",
    "`CurrentTenant`": "/tenant",
    "`CurrentCaller`": "/caller",
    "scope": "/scope",
    "`CurrentDelegate`": "/delegate",
    "`CurrentMachine`": "/machine",
}


class Headers:
    """The headers of each caller of the table."""

    def __init__(self, env: AppHarness) -> None:
        self._env = env
        project = env.emulator.project_id
        self._oauth: Mapping[str, object] = {
            "iss": f"{IDP}/v1/apps/{project}",
            "aud": [project, "TPA2app"],
            "azp": "TPA2app",
            "scope": "openid reports:read",
            "token_type": "access_token",
            "tenants": {},
            "dct": "",
        }

    def session(self, user: str, tenant: str | None = "acme") -> dict[str, str]:
        """Return the cookie of a user."""
        return {"cookie": f"DS={self._env.emulator.issue(user, tenant).session_jwt}"}

    def bearer(self) -> dict[str, str]:
        """Return the session token of a user as a bearer."""
        return {"authorization": f"Bearer {self._env.emulator.issue(READER, 'acme').session_jwt}"}

    def token(self, seconds: int = 600, **claims: object) -> str:
        """Return the access token of an application, with changed claims."""
        issued = self._env.emulator.issue(READER, session_seconds=seconds, claims={**self._oauth, **claims})
        return issued.session_jwt

    def application(self, seconds: int = 600, **claims: object) -> dict[str, str]:
        """Return the access token of an application as a bearer."""
        return {"authorization": f"Bearer {self.token(seconds, **claims)}"}


CALLERS: Mapping[str, Callable[[Headers], dict[str, str]]] = {
    "nobody": lambda headers: {},
    "user with the permission": lambda headers: headers.session(READER),
    "user without the permission": lambda headers: headers.session("grace@acme.example"),
    "user without a tenant": lambda headers: headers.session(READER, None),
    "user's token as a bearer": Headers.bearer,
    "application with the scope": Headers.application,
    "application without the scope": lambda headers: headers.application(scope="openid"),
    "application with the user's roles, but without the scope": lambda headers: headers.application(
        scope="", dct="acme", tenants={"acme": {"permissions": ["reports:read"]}}
    ),
    "application with an expired token": lambda headers: headers.application(-60),
    "application with a token for another API": lambda headers: headers.application(
        aud="https://other.example"
    ),
    "application with an ID token": lambda headers: headers.application(token_type="id_token"),
    "application with a refresh token": lambda headers: headers.application(token_type="refresh_token"),
    "application with a token bound to a key": lambda headers: headers.application(cnf={"jkt": "x"}),
    "application, token in the session cookie": lambda headers: {"cookie": f"DS={headers.token()}"},
    "machine with the permission": lambda headers: {"authorization": "Bearer K2reader-0123456789"},
    "machine without the permission": lambda headers: {"authorization": "Bearer K2other-0123456789"},
    "machine with a wrong access key": lambda headers: {"authorization": "Bearer K2wrong-0123456789"},
    "machine, access key in the session cookie": lambda headers: {"cookie": "DS=K2reader-0123456789"},
}


def rows(heading: str) -> list[dict[str, str]]:
    """Return the rows of the page's table whose first column has this heading."""
    tables = re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    lines = next(table for table in tables if table.startswith(f"| {heading} ")).splitlines()
    names, _, *cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(names, row, strict=True)) for row in cells]


CELLS = [
    pytest.param(row["caller"], column, cell, id=f"{row['caller']} at {column}")
    for row in rows("caller")
    for column, cell in row.items()
    if column != "caller"
]
ANSWERS = {row["code"]: row for row in rows("code")}


@pytest.fixture
def env(make_env: EnvFactory) -> AppHarness:
    """Return an app with a route for each column."""
    return make_env(project=PROJECT, routes=add_routes, access_keys=True)


@pytest.mark.parametrize(("caller", "column", "cell"), CELLS)
async def test_cl02_cl03_each_caller_gets_what_the_table_says(
    env: AppHarness, caller: str, column: str, cell: str
) -> None:
    """A token of one kind is never more than a token of that kind (CL-03)."""
    headers = CALLERS[caller](Headers(env))

    response = await env.browser().http.get(f"http://127.0.0.1:8000{ROUTES[column]}", headers=headers)

    if cell.startswith("ok"):
        assert response.status_code == 200, response.text
        assert (response.json() is None) is (cell == "ok, None")
    else:
        assert_refused(response, cell, is_bearer="authorization" in headers or cell == "insufficient_scope")


def assert_refused(response: httpx.Response, code: str, *, is_bearer: bool) -> None:
    """Assert the status, the code and the challenge of an error. No error changes a cookie."""
    answer = ANSWERS[code]
    challenge = answer["`WWW-Authenticate`"].strip("`")
    if not is_bearer and challenge:
        challenge = "Bearer"
    assert (response.status_code, response.json()["code"]) == (int(answer["status"]), code)
    assert response.headers.get("www-authenticate", "") == challenge
    assert "set-cookie" not in response.headers


def test_every_caller_of_the_table_is_tested() -> None:
    """And no caller is tested that the table lacks."""
    assert [row["caller"] for row in rows("caller")] == list(CALLERS)


async def test_cl02_delegate_shows_application_user_and_scopes(env: AppHarness) -> None:
    """They come from the verified token."""
    response = await env.browser().get("/delegate", **Headers(env).application())

    user = PROJECT.find_user(READER)
    assert user is not None
    assert response.json() == {
        "client": "TPA2app",
        "user": user.user_id,
        "scopes": ["openid", "reports:read"],
    }


async def test_tn11_tenant_of_a_delegate_is_that_of_the_context(env: AppHarness) -> None:
    """So a data layer without a request filters by it."""
    granted: dict[str, Any] = {"dct": "acme", "tenants": {"acme": {}}}

    response = await env.browser().get("/caller", **Headers(env).application(**granted))

    assert response.json() == {"kind": "Delegate", "tenant": "acme", "context": "acme"}
    assert tenant_id_var.get() is None


async def test_cl02_known_token_of_an_application_is_verified_once(env: AppHarness) -> None:
    """It is cached like that of a session."""
    headers = Headers(env).application()
    browser = env.browser()
    await browser.get("/caller", **headers)
    env.emulator.rotate_keys()

    assert (await browser.get("/caller", **headers)).status_code == 200


async def test_rejected_token_of_an_application_is_an_event(env: AppHarness) -> None:
    """The reason is that of the check that refused it."""
    await env.browser().get("/caller", **Headers(env).application(aud="https://other.example"))

    assert env.events[-1] == TokenRejected("audience", "bearer")


async def test_cl06_hook_refuses_an_application_and_its_verdict_is_cached(env: AppHarness) -> None:
    """``on_session`` would not see it."""
    calls: list[Delegate | Machine] = []

    @env.descope.on_session
    async def sees_sessions(session: object) -> None:
        raise AssertionError(session)

    @env.descope.on_caller
    async def refuse(caller: Delegate | Machine) -> None:
        calls.append(caller)
        raise Forbidden

    headers = Headers(env).application()
    for path in ("/caller", "/scope", "/user"):
        response = await env.browser().get(path, **headers)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")

    assert len(calls) == 1
    assert isinstance(env.events[-1], SessionRefused)


async def test_cl06_admitted_application_is_still_no_user(env: AppHarness) -> None:
    """A hook can only refuse."""

    @env.descope.on_caller
    async def admit(caller: Delegate | Machine) -> None:
        assert caller.tenant_id is None

    headers = Headers(env).application()

    assert (await env.browser().get("/scope", **headers)).status_code == 200
    assert (await env.browser().get("/user", **headers)).json()["code"] == "session_required"


async def _guarded(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request, as a mounted app that knows nothing of Descope."""
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).accept()
        await send({"type": "websocket.close"})
        return
    caller = await get_caller(Request(scope))
    await PlainTextResponse(type(caller).__name__)(scope, receive, send)


def add_guards(app: FastAPI) -> None:
    """Guard a mounted app and an app at a path."""
    guard = CallerGuard(_guarded, scopes=["reports:read"])
    app.mount("/mounted", guard)
    app.router.routes += [Route("/path", guard), WebSocketRoute("/ws", guard)]


@pytest.fixture
def guarded(make_env: EnvFactory) -> AppHarness:
    """Return an app with guarded apps."""
    return make_env(project=PROJECT, routes=add_guards)


@pytest.mark.parametrize("path", ["/mounted/any/path", "/path"])
async def test_cl08_guarded_app_gets_requests_of_callers_with_the_scopes_only(
    guarded: AppHarness, path: str
) -> None:
    """The errors are those of a route with the same requirement."""
    headers, browser = Headers(guarded), guarded.browser()
    narrow = headers.application(scope="openid")

    assert (await browser.get(path)).json()["code"] == "not_authenticated"
    assert (await browser.get(path, **narrow)).json()["code"] == "insufficient_scope"
    assert (await browser.get(path, **headers.session("grace@acme.example"))).status_code == 403
    assert (await browser.get(path, **headers.application())).text == "Delegate"
    assert (await browser.get(path, **headers.session(READER))).text == "AuthSession"


async def test_cl08_cookies_of_another_site_do_not_count(guarded: AppHarness) -> None:
    """A page of another site cannot call the app with the user's session."""
    cookie = Headers(guarded).session(READER)["cookie"]
    response = await guarded.browser().post("/path", sec_fetch_site="cross-site", cookie=cookie)

    assert response.json()["code"] == "cross_site_request"


@pytest.mark.parametrize(
    ("scope", "first"), [("reports:read", "websocket.accept"), ("openid", "websocket.close")]
)
async def test_cl08_guarded_websocket_needs_a_caller(guarded: AppHarness, scope: str, first: str) -> None:
    """The handshake is refused before the app sees it."""
    token = Headers(guarded).token(scope=scope).encode()
    socket = WebSocketClient(guarded.app, [(b"authorization", b"Bearer " + token)])

    message = await socket.open()

    assert message["type"] == first


def test_guarded_apps_are_in_the_table_of_routes(guarded: AppHarness) -> None:
    """They count as protected."""
    rows = {row.path: row.access for row in RouteTable(guarded.app).rows}

    assert rows["/mounted/*"] == rows["/path"] == "any caller with reports:read"
    assert RouteTable(guarded.app).unprotected(public_docs=True) == ()


def test_callers_are_in_the_table_of_routes(env: AppHarness) -> None:
    """With the kind that is wanted, and the scopes."""
    rows = {row.path: row.access for row in RouteTable(env.app).rows}

    assert rows["/caller"] == "any caller"
    assert rows["/scope"] == "any caller with reports:read"
    assert (rows["/delegate"], rows["/machine"]) == ("delegate", "machine")


def test_openapi_lists_the_schemes_and_scopes_of_each_caller(env: AppHarness) -> None:
    """Any of the alternatives is enough."""
    document = env.app.openapi()
    security = {
        path: item["get"].get("security") for path, item in document["paths"].items() if "get" in item
    }

    assert security["/scope"] == [
        {"DescopeOAuth2": ["reports:read"]},
        {"DescopeSession": []},
        {"DescopeBearer": []},
    ]
    assert security["/delegate"] == [{"DescopeOAuth2": []}]
    assert security["/machine"] == [{"DescopeBearer": []}]
    scheme = document["components"]["securitySchemes"]["DescopeOAuth2"]
    assert scheme["flows"]["authorizationCode"] == {
        "authorizationUrl": f"{IDP}/oauth2/v1/apps/{env.emulator.project_id}/authorize",
        "tokenUrl": f"{IDP}/oauth2/v1/apps/{env.emulator.project_id}/token",
        "scopes": {"reports:read": ""},
    }
    assert "DescopeCaller" not in document["components"]["securitySchemes"]


ASSUMPTIONS: tuple[Mapping[str, Any], ...] = (
    {"inbound_issuer": "project"},
    {"inbound_issuer": "agentic"},
    {"inbound_issuer": "tenant"},
    {"inbound_audience": "project_and_client"},
    {"inbound_audience": "project"},
    {"inbound_audience": "project_and_resource"},
    {"inbound_audience": "resource"},
    {"inbound_drn": True},
    {"inbound_grants": "roles"},
    {"inbound_grants": "tenant"},
    {"inbound_drn": True, "inbound_grants": "tenant", "inbound_issuer": "agentic"},
)


@pytest.mark.parametrize("assumptions", ASSUMPTIONS, ids=str)
async def test_cl02_undocumented_form_of_an_access_token_makes_no_difference(
    make_env: EnvFactory, assumptions: Mapping[str, Any]
) -> None:
    """Each switch of the emulator is what Descope may do: a delegate is never more and never less."""
    project = replace(PROJECT, assumptions=Assumptions(**assumptions))
    env = make_env(project=project, routes=add_routes)
    env.emulator.base_url = IDP
    issue = partial(env.emulator.issue_delegate, READER, "TPA2app", tenant="acme")
    granted, narrow = (
        {"authorization": f"Bearer {issue(scopes)}"} for scopes in (("reports:read",), ("openid",))
    )

    assert (await env.browser().get("/scope", **granted)).json() == "Delegate"
    assert (await env.browser().get("/scope", **narrow)).json()["code"] == "insufficient_scope"
    assert (await env.browser().get("/user", **granted)).json()["code"] == "session_required"
    assert (await env.browser().get("/optional", **granted)).json() is None


@pytest.mark.parametrize(
    ("subject", "has_user"), [("client_id", False), ("client_id_claim", False), ("key_id", True)]
)
async def test_application_that_acts_for_itself_is_a_delegate(
    make_env: EnvFactory, subject: str, *, has_user: bool
) -> None:
    """If Descope gives it a subject of its own, that is indistinguishable from the id of a user."""
    assumptions = Assumptions(client_credentials_subject=subject)  # type: ignore[arg-type] # parametrized
    env = make_env(project=replace(PROJECT, assumptions=assumptions), routes=add_routes)
    env.emulator.base_url = IDP
    token = env.emulator.issue_delegate(None, "TPA2app", ("reports:read",))

    response = await env.browser().get("/delegate", authorization=f"Bearer {token}")

    assert response.json()["client"] == "TPA2app"
    assert (response.json()["user"] is not None) is has_user


async def test_kd09_access_token_bound_to_a_key_is_refused(env: AppHarness) -> None:
    """As an app gets it that has sent ``dpop_jkt``."""
    env.emulator.base_url = IDP
    token = env.emulator.issue_delegate(READER, "TPA2app", ("reports:read",), jkt="thumbprint")

    response = await env.browser().get("/scope", authorization=f"Bearer {token}")

    assert (response.status_code, response.json()["code"]) == (401, "sender_constrained")


async def test_lifespan_passes_a_guard_unchanged() -> None:
    """It has no caller."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    await CallerGuard(app, scopes=["reports:read"])({"type": "lifespan"}, receive, send)

    assert seen == [{"type": "lifespan"}]
