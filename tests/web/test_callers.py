"""Applications as callers: what routes get, hooks, and guards of mounted apps (CL-02, CL-06, CL-08)."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from fastapi_descope import CallerGuard, Delegate, Forbidden, Machine, get_caller, tenant_id_var
from fastapi_descope._web.callers import CallerDependency
from fastapi_descope._web.openapi import OAUTH2
from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.emulator import Assumptions
from fastapi_descope.events import SessionRefused, TokenRejected
from tests.helpers.app_harness import IDP, AppHarness, EnvFactory
from tests.helpers.callers import (
    INBOUND_FORMS,
    OTHER,
    PROJECT,
    READER,
    SCOPE,
    Credentials,
    add_caller_routes,
)
from tests.helpers.inbound_client import APP
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio


@pytest.fixture
def env(make_env: EnvFactory) -> AppHarness:
    """Return an app with a route for each kind of caller."""
    return make_env(project=PROJECT, routes=add_caller_routes, access_keys=True)


async def application(env: AppHarness, **claims: object) -> dict[str, str]:
    """Return the header of an application, with changed claims in its access token."""
    return {"authorization": f"Bearer {await Credentials(env).delegate(**claims)}"}


async def test_cl02_delegate_shows_application_user_and_scopes(env: AppHarness) -> None:
    """They come from the verified token."""
    response = await env.browser().get("/delegate", **await application(env))

    user = PROJECT.find_user(READER)
    assert user is not None
    assert response.json() == {
        "kind": "Delegate",
        "client": APP,
        "user": user.user_id,
        "scopes": ["openid", "reports:read"],
        "tenant": None,
        "context": None,
    }


async def test_tn11_tenant_of_a_delegate_is_that_of_the_context(env: AppHarness) -> None:
    """So a data layer without a request filters by it."""
    granted: dict[str, Any] = {"dct": "acme", "tenants": {"acme": {}}}

    response = await env.browser().get("/caller", **await application(env, **granted))

    assert (response.json()["tenant"], response.json()["context"]) == ("acme", "acme")
    assert tenant_id_var.get() is None


async def test_cl02_known_token_of_an_application_is_verified_once(env: AppHarness) -> None:
    """It is cached like that of a session."""
    headers = await application(env)
    browser = env.browser()
    await browser.get("/caller", **headers)
    env.emulator.rotate_keys()

    assert (await browser.get("/caller", **headers)).status_code == 200


async def test_rejected_token_of_an_application_is_an_event(env: AppHarness) -> None:
    """The reason is that of the check that refused it."""
    await env.browser().get("/caller", **await application(env, aud="https://other.example"))

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

    headers = await application(env)
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

    headers = await application(env)

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
    guard = CallerGuard(_guarded, scopes=[SCOPE])
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
    browser, credentials = guarded.browser(), Credentials(guarded)
    narrow = await application(guarded, scope="openid")
    reader, other = [f"DS={await credentials.session(user)}" for user in (READER, OTHER)]

    assert (await browser.get(path)).json()["code"] == "not_authenticated"
    assert (await browser.get(path, **narrow)).json()["code"] == "insufficient_scope"
    assert (await browser.get(path, cookie=other)).status_code == 403
    assert (await browser.get(path, **await application(guarded))).text == "Delegate"
    assert (await browser.get(path, cookie=reader)).text == "AuthSession"


async def test_cl08_cookies_of_another_site_do_not_count(guarded: AppHarness) -> None:
    """A page of another site cannot call the app with the user's session."""
    cookie = f"DS={await Credentials(guarded).session()}"
    response = await guarded.browser().post("/path", sec_fetch_site="cross-site", cookie=cookie)

    assert response.json()["code"] == "cross_site_request"


@pytest.mark.parametrize(("scope", "first"), [(SCOPE, "websocket.accept"), ("openid", "websocket.close")])
async def test_cl08_guarded_websocket_needs_a_caller(guarded: AppHarness, scope: str, first: str) -> None:
    """The handshake is refused before the app sees it."""
    token = (await Credentials(guarded).delegate(scope=scope)).encode()
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


FORMS: tuple[Mapping[str, Any], ...] = (
    {},
    *INBOUND_FORMS,
    {"inbound_audience": "project"},
    {"inbound_drn": True, "inbound_grants": "tenant", "inbound_issuer": "agentic"},
)


@pytest.mark.parametrize("assumptions", FORMS, ids=str)
async def test_cl02_undocumented_form_of_an_access_token_makes_no_difference(
    make_env: EnvFactory, assumptions: Mapping[str, Any]
) -> None:
    """Each switch of the emulator is what Descope may do: a delegate is never more and never less."""
    project = replace(PROJECT, assumptions=Assumptions(**assumptions))
    env = make_env(project=project, routes=add_caller_routes)
    env.emulator.base_url = IDP
    issue = partial(env.emulator.issue_delegate, READER, APP, tenant="acme")
    granted, narrow = ({"authorization": f"Bearer {issue(scopes)}"} for scopes in ((SCOPE,), ("openid",)))

    assert (await env.browser().get("/scope", **granted)).json()["kind"] == "Delegate"
    assert (await env.browser().get("/scope", **narrow)).json()["code"] == "insufficient_scope"
    assert (await env.browser().get("/user", **granted)).json()["code"] == "session_required"
    assert (await env.browser().get("/optional", **granted)).json() is None


@pytest.mark.parametrize(
    ("subject", "has_user"),
    [("client_id", False), ("client_id_claim", False), ("app_id", False), ("key_id", True)],
)
async def test_cl09_application_that_acts_for_itself_has_no_user(
    make_env: EnvFactory, subject: str, *, has_user: bool
) -> None:
    """The id of an application is no user id. An id of another form cannot be told from one (CL-09)."""
    assumptions = Assumptions(client_credentials_subject=subject)  # type: ignore[arg-type] # parametrized
    env = make_env(project=replace(PROJECT, assumptions=assumptions), routes=add_caller_routes)
    env.emulator.base_url = IDP
    token = env.emulator.issue_delegate(None, APP, (SCOPE,))

    response = await env.browser().get("/delegate", authorization=f"Bearer {token}")

    assert response.json()["client"] == APP
    assert (response.json()["user"] is not None) is has_user
    assert (await env.browser().get("/user", authorization=f"Bearer {token}")).status_code == 403


@pytest.mark.parametrize(
    "claims",
    [{"azp": "agent", "sub": "agent"}, {"sub": "agent", "client_id": "agent"}, {"sub": "TPA2agent"}],
    ids=str,
)
async def test_cl09_each_id_of_an_application_is_no_user_id(
    env: AppHarness, claims: dict[str, object]
) -> None:
    """The client id in either claim, and any id with the beginning of applications (CL-09)."""
    response = await env.browser().get("/delegate", **await application(env, **claims))

    assert (response.json()["kind"], response.json()["user"]) == ("Delegate", None)


class NotAnAgent(Forbidden):
    """A refusal of the app."""

    code = "not_an_agent"


async def test_dependency_accepts_one_kind_of_caller(make_env: EnvFactory) -> None:
    """The others get its error, and OpenAPI has its scheme. An actor does not matter to it."""
    agent = CallerDependency(Delegate, error=NotAnAgent, scheme_name=OAUTH2)

    def routes(app: FastAPI) -> None:
        @app.get("/agent")
        async def read(delegate: Annotated[Delegate, Depends(agent)]) -> str:
            return delegate.client_id

    env = make_env(project=PROJECT, routes=routes)
    cookie = f"DS={await Credentials(env).session()}"

    assert (await env.browser().get("/agent", cookie=cookie)).json()["code"] == "not_an_agent"
    for claims in ({}, {"act": {"sub": "U2sue"}}):
        assert (await env.browser().get("/agent", **await application(env, **claims))).json() == APP
    assert env.app.openapi()["paths"]["/agent"]["get"]["security"] == [{OAUTH2: []}]


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
