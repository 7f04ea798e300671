"""Impersonated sessions in an app: what it sees, can deny, and reports in events (IM-01 to IM-05)."""

from dataclasses import replace
from typing import Annotated, Literal

import pytest
from fastapi import Depends, FastAPI, Security, WebSocket

from fastapi_descope import (
    Caller,
    CurrentCaller,
    CurrentSession,
    Delegate,
    Forbidden,
    Machine,
    OptionalSession,
    current_caller,
    deny_impersonated,
    require_roles,
)
from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.emulator import AccessKey, Assumptions, JwtPair, Project
from fastapi_descope.events import (
    Event,
    SessionRefreshed,
    SessionRefused,
    SignedIn,
    SignedOut,
    SuccessorReplayed,
    TenantSwitched,
)
from fastapi_descope.session import UNKNOWN_ACTOR
from tests.helpers.app_harness import APP, IDP, AppHarness, Browser, EnvFactory
from tests.helpers.auth_harness import ADA_ID
from tests.helpers.event_loop import run_ready
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

Form = Literal["object", "refresh_only", "string"]

ADA = "ada@acme.example"
GRACE = "grace@acme.example"
EXPIRED = 660
DENIED = {"code": "impersonated", "title": "You cannot do this for another user", "status": 403}

FORMS = pytest.mark.parametrize("form", ["object", "refresh_only", "string"])
ROTATIONS = pytest.mark.parametrize("rotate", [False, True], ids=["fixed", "rotated"])


def _routes(app: FastAPI) -> None:
    @app.get("/actor")
    async def actor(session: CurrentSession) -> str | None:
        return session.actor

    @app.get("/maybe-actor")
    async def maybe_actor(session: OptionalSession) -> str | None:
        return session.actor if session else None

    @app.post("/password", dependencies=[Depends(deny_impersonated())])
    async def password() -> str:
        return "changed"

    @app.post("/report", dependencies=[Depends(require_roles("admin"))])
    async def report() -> str:
        return "written"

    @app.get("/caller")
    async def caller(caller: CurrentCaller) -> str | None:
        return caller.actor

    @app.post("/transfer", dependencies=[Depends(deny_impersonated(any_caller=True))])
    async def transfer(caller: Payer) -> str:
        return type(caller).__name__

    @app.websocket("/ws")
    async def ws(socket: WebSocket, session: object = Depends(deny_impersonated())) -> None:
        await socket.accept()


Payer = Annotated[Caller, Security(current_caller, scopes=["pay"])]
KEY = AccessKey("K2payer", "K2payer-0123456789", permissions=("pay",))


def _project(form: Form, *, rotate: bool = False) -> Project:
    return Project(rotate_refresh=rotate, assumptions=Assumptions(actor_claim=form))


def _env(make_env: EnvFactory, form: Form = "object", *, rotate: bool = False) -> AppHarness:
    env = make_env(project=_project(form, rotate=rotate), routes=_routes)
    env.emulator.base_url = IDP  # the issuer of access tokens has it
    return env


def _id(env: AppHarness, login_id: str = GRACE) -> str:
    user = env.emulator.project.find_user(login_id)
    assert user is not None
    return user.user_id


def _impersonate(env: AppHarness) -> JwtPair:
    return env.emulator.issue(ADA, "acme", actor=GRACE)


def _browser(env: AppHarness, pair: JwtPair) -> Browser:
    browser = env.browser()
    for name, token in zip(("DS", "DSR"), pair, strict=True):
        browser.http.cookies.set(name, token, "127.0.0.1", "/")
    return browser


def _events(env: AppHarness) -> list[Event]:
    kinds = (SignedIn, SessionRefreshed, TenantSwitched, SignedOut, SessionRefused, SuccessorReplayed)
    return [event for event in env.events if isinstance(event, kinds)]


@FORMS
@ROTATIONS
async def test_im02_actor_is_shown_for_the_whole_life_of_a_session(
    make_env: EnvFactory, form: Form, *, rotate: bool
) -> None:
    """Live, known, refreshed ahead, refreshed after its expiry, and in another tenant (IM-02)."""
    env = _env(make_env, form, rotate=rotate)
    grace = _id(env)
    browser = _browser(env, _impersonate(env))

    async def shown() -> tuple[object, object]:
        session = (await browser.get("/session")).json()
        assert session["user"]["id"] == ADA_ID
        return (await browser.get("/actor")).json(), session["actor"]

    for seconds, calls in ((0, 0), (1, 0), (570, 1), (EXPIRED, 2), (1, 2)):
        env.emulator.clock.advance(seconds)
        assert await shown() == (grace, grace)
        assert (await browser.get("/maybe-actor")).json() == grace
        assert env.calls("refresh") == calls
    switched = await browser.post("/tenant/select", {"tenant": "globex"}, accept="application/json")
    assert switched.json()["actor"] == grace
    assert await shown() == (grace, grace)


@FORMS
async def test_im02_known_session_has_the_actor(make_env: EnvFactory, form: Form) -> None:
    """Its second request verifies no token (IM-02)."""
    env = _env(make_env, form)
    pair = _impersonate(env)
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    for _ in range(2):  # the first one also fetches the keys
        await env.browser().get("/actor", cookie=cookie)

    scope = {"type": "http", "method": "GET", "headers": [(b"cookie", cookie.encode())]}
    known = env.descope.middleware_parts.request_auth.known_sessions.find(scope)

    assert known is not None
    assert known.session is not None
    assert known.session.actor == _id(env)


async def test_users_own_session_has_no_actor(make_env: EnvFactory) -> None:
    """Nor has one of the impersonator."""
    env = _env(make_env)
    for user in (ADA, GRACE):
        browser = env.browser()
        await browser.sign_in(user, return_to="/actor")
        assert (await browser.get("/actor")).json() is None
        assert (await browser.get("/session")).json()["actor"] is None
        assert (await browser.post("/password")).json() == "changed"


@FORMS
@ROTATIONS
async def test_im04_route_denies_impersonated_sessions(
    make_env: EnvFactory, form: Form, *, rotate: bool
) -> None:
    """With a 403 that says why, before and after refreshes. The cookies are kept (IM-04)."""
    env = _env(make_env, form, rotate=rotate)
    browser = _browser(env, _impersonate(env))

    for seconds in (0, 1, EXPIRED, 1):
        env.emulator.clock.advance(seconds)
        response = await browser.post("/password")
        assert response.status_code == 403
        assert response.json().items() >= DENIED.items()
        assert "www-authenticate" not in response.headers
        assert browser.session_names() == {"DS", "DSR"}
        assert (await browser.get("/actor")).status_code == 200


async def test_im04_other_requirements_do_not_look_at_the_actor(make_env: EnvFactory) -> None:
    """The actor has the roles of the user (IM-04)."""
    env = _env(make_env)
    assert (await _browser(env, _impersonate(env)).post("/report")).json() == "written"


@pytest.mark.parametrize("form", ["object", "string"])
async def test_im04_route_denies_an_impersonated_bearer(make_env: EnvFactory, form: Form) -> None:
    """Its token names the actor (IM-04)."""
    env = _env(make_env, form)
    bearer = f"Bearer {_impersonate(env).session_jwt}"

    response = await env.browser().post("/password", authorization=bearer)

    assert (response.status_code, response.json()["code"]) == (403, "impersonated")
    assert (await env.browser().get("/actor", authorization=bearer)).json() == _id(env)


@pytest.mark.parametrize("act", [None, "", {}, ["U2sue"], {"sub": 7}])
async def test_im01_im04_malformed_claim_is_denied(make_env: EnvFactory, act: object) -> None:
    """The actor is unknown, and the session is impersonated (IM-01, IM-04)."""
    env = _env(make_env)
    pair = env.emulator.issue(ADA, "acme", claims={"act": act})
    browser = _browser(env, pair)

    assert (await browser.post("/password")).json()["code"] == "impersonated"
    assert (await browser.get("/session")).json()["actor"] == UNKNOWN_ACTOR


@pytest.mark.parametrize(
    ("act", "actor"), [({"sub": "U2grace"}, "U2grace"), ("U2grace", "U2grace"), ({"sub": 7}, UNKNOWN_ACTOR)]
)
async def test_im01_im04_delegate_with_an_actor_is_denied(
    make_env: EnvFactory, act: object, actor: str
) -> None:
    """The claim in the access token of an application means the same as in a session token."""
    env = _env(make_env)
    tokens = [
        env.emulator.issue_delegate(ADA, "TPA2app", ("pay",), claims=claims) for claims in ({}, {"act": act})
    ]
    plain, acted = (f"Bearer {token}" for token in tokens)

    assert (await env.browser().get("/caller", authorization=acted)).json() == actor
    assert (await env.browser().get("/caller", authorization=plain)).json() is None
    denied = await env.browser().post("/transfer", authorization=acted)
    assert denied.status_code == 403
    assert denied.json().items() >= DENIED.items()
    assert "www-authenticate" not in denied.headers
    assert (await env.browser().post("/transfer", authorization=plain)).json() == "Delegate"


async def test_im04_route_for_any_caller_denies_impersonated_sessions_only(make_env: EnvFactory) -> None:
    """Users and machines are admitted, and scopes are required as before."""
    project = replace(_project("object"), access_keys=(KEY,))
    env = make_env(project=project, routes=_routes, access_keys=True)
    env.emulator.base_url = IDP
    session = env.emulator.issue(ADA, "acme", claims={"permissions": ["pay"]})
    machine = f"Bearer {KEY.secret}"

    assert (await _browser(env, _impersonate(env)).post("/transfer")).json()["code"] == "impersonated"
    assert (await _browser(env, session).post("/transfer")).json() == "AuthSession"
    assert (await env.browser().post("/transfer", authorization=machine)).json() == "Machine"
    narrow = env.emulator.issue_delegate(ADA, "TPA2app", ("openid",))
    refused = await env.browser().post("/transfer", authorization=f"Bearer {narrow}")
    assert refused.json()["code"] == "insufficient_scope"
    assert (await env.browser().post("/transfer")).json()["code"] == "not_authenticated"


async def test_im04_route_for_users_admits_no_other_caller(make_env: EnvFactory) -> None:
    """``deny_impersonated()`` requires a session, and its refusal is that of every such route."""
    env = make_env(project=replace(_project("object"), access_keys=(KEY,)), routes=_routes, access_keys=True)
    env.emulator.base_url = IDP
    delegate = env.emulator.issue_delegate(ADA, "TPA2app", ("pay",))
    for bearer in (delegate, KEY.secret):
        response = await env.browser().post("/password", authorization=f"Bearer {bearer}")
        assert (response.status_code, response.json()["code"]) == (403, "session_required")


async def test_im05_refusal_of_a_delegate_names_its_actor(make_env: EnvFactory) -> None:
    """In the event of an ``on_caller`` hook that refuses it (IM-05)."""
    env = _env(make_env)

    @env.descope.on_caller
    async def refuse(caller: Delegate | Machine) -> None:
        raise Forbidden

    token = env.emulator.issue_delegate(ADA, "TPA2app", claims={"act": {"sub": _id(env)}})
    await env.browser().get("/caller", authorization=f"Bearer {token}")

    assert _events(env) == [SessionRefused(ADA_ID, None, "forbidden", _id(env))]


def test_denial_is_in_the_table_of_routes_and_in_openapi(make_env: EnvFactory) -> None:
    """For users alone, and for any caller."""
    env = _env(make_env)
    rows = {row.path: row.access for row in RouteTable(env.app).rows}
    paths = env.app.openapi()["paths"]

    assert rows["/password"] == "not impersonated"
    assert rows["/transfer"] == "not impersonated; any caller with pay"
    assert paths["/password"]["post"]["x-denied-impersonation"] is True
    assert paths["/transfer"]["post"]["x-denied-impersonation"] is True
    assert paths["/transfer"]["post"]["security"][0] == {"DescopeOAuth2": ["pay"]}
    assert "x-denied-impersonation" not in paths["/actor"]["get"]


async def test_im04_request_without_a_session_is_not_signed_in(make_env: EnvFactory) -> None:
    """It is a 401, as for every route that needs a session (IM-04)."""
    response = await _env(make_env).browser().post("/password")
    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")


@FORMS
async def test_im04_websocket_denies_impersonated_sessions(make_env: EnvFactory, form: Form) -> None:
    """At its handshake (IM-04)."""
    env = _env(make_env, form)
    pair = _impersonate(env)
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}".encode()
    client = WebSocketClient(env.app, [(b"cookie", cookie), (b"origin", APP.encode())])

    refused = await client.open()

    assert refused == {"type": "websocket.close", "code": 1008, "reason": "impersonated"}


@FORMS
async def test_im05_events_name_the_user_and_the_actor(make_env: EnvFactory, form: Form) -> None:
    """Each event that names the user (IM-05)."""
    env = _env(make_env, form, rotate=True)
    grace, pair = _id(env), _impersonate(env)
    browser = _browser(env, pair)
    env.emulator.clock.advance(EXPIRED)

    await browser.get("/actor")
    await browser.get("/actor")  # presents the new token
    await run_ready()
    await _browser(env, pair).get("/actor")  # replays the spent one
    await browser.post("/tenant/select", {"tenant": "globex"})
    await browser.post("/logout")

    assert _events(env) == [
        SessionRefreshed(ADA_ID, "acme", grace),
        SuccessorReplayed(ADA_ID, grace),
        TenantSwitched(ADA_ID, "globex", grace),
        SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID, actor_id=grace),
    ]
