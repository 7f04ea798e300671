"""``on_session`` decides about every session, however it reaches the app.

Requirements SG-01, SG-02, SG-03, SG-04, SG-05 and SG-06.
"""

import asyncio
import logging
from contextlib import suppress

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, WebSocket, WebSocketDisconnect
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import JSONResponse, Response

from fastapi_descope import (
    AuthSession,
    CurrentUser,
    DescopeAuthBackend,
    DescopeMiddleware,
    Forbidden,
    LoginOptions,
    LoginRejected,
    MissingRoles,
    get_auth_session,
    optional_user,
)
from fastapi_descope.emulator import JwtPair, Project
from fastapi_descope.events import (
    Event,
    LoginFailed,
    SessionCheckFailed,
    SessionRefused,
    SignedIn,
    TenantSwitched,
)
from tests.helpers.app_harness import APP, IDP, AppHarness, EnvFactory, no_routes
from tests.helpers.cookie_jar import deleted_names
from tests.helpers.session_check import SessionCheck, Suspended
from tests.helpers.websocket_client import Headers, WebSocketClient

pytestmark = pytest.mark.anyio

ADA = "U22a1322415fff1b1aceaebe7855"
CHECKS = (SessionCheckFailed, SessionRefused)


def _gated(env: AppHarness, error: Exception | None = None) -> SessionCheck:
    """Register a hook with the app, and return it."""
    check = SessionCheck(error)
    env.descope.on_session(check)
    return check


def _cookie(pair: JwtPair) -> str:
    return f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"


def _events(env: AppHarness, *kinds: type[Event]) -> list[Event]:
    return [event for event in env.events if isinstance(event, kinds)]


async def _tokens_without_the_callback(env: AppHarness) -> JwtPair:
    """Log in at Descope, and trade the code there with the public project id, without the app."""
    callback = httpx.URL(await env.browser().open_callback())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(env.emulator), base_url=IDP) as client:
        response = await client.post(
            "/v1/auth/sso/exchange",
            json={"code": callback.params["code"]},
            headers={"authorization": f"Bearer {env.emulator.project_id}"},
        )
    body = response.json()
    return JwtPair(body["sessionJwt"], body["refreshJwt"])


async def test_sg01_user_who_goes_around_the_callback_is_refused(make_env: EnvFactory) -> None:
    """An ``on_login`` hook never sees these tokens. The session gate does, as bearer and as cookies."""
    env = make_env()

    @env.descope.on_login
    async def nobody(*_: object) -> None:
        raise LoginRejected("Your account is suspended.")

    pair = await _tokens_without_the_callback(env)
    assert (await env.browser().get("/me", cookie=_cookie(pair))).status_code == 200

    gate = _gated(env, Suspended())
    as_bearer = await env.browser().get("/me", authorization=f"Bearer {pair.session_jwt}")
    as_cookies = await env.browser().get("/me", cookie=_cookie(pair))
    session_alone = await env.browser().get("/me", cookie=f"DS={pair.session_jwt}")
    env.emulator.clock.advance(1)  # tokens of one second are equal
    refresh_alone = await env.browser().get("/me", cookie=f"DSR={pair.refresh_jwt}")

    for response in (as_bearer, as_cookies, session_alone, refresh_alone):
        assert (response.status_code, response.json()["code"]) == (403, "suspended")
    assert [session.user.id for session in gate.sessions] == [ADA] * 2
    assert _events(env, *CHECKS) == [SessionRefused(ADA, "acme", "suspended")] * 2


async def test_sg01_each_request_gets_the_status_code_and_detail_of_the_refusal(
    make_env: EnvFactory,
) -> None:
    """The app's handler for its own class of errors gets it too."""
    env = make_env()
    browser = await env.signed_in_browser()
    _gated(env, MissingRoles(("beta",)))

    first, second = [await browser.get("/me") for _ in range(2)]

    assert first.status_code == second.status_code == 403
    assert first.json() == second.json()
    assert first.json()["missing"] == ["beta"]
    assert "set-cookie" not in first.headers
    assert first.headers["cache-control"] == "no-store"

    @env.app.exception_handler(MissingRoles)
    async def apologise(_request: Request, error: Exception) -> Response:
        return JSONResponse(str(error), 418)

    env.app.middleware_stack = None  # built again, with the handler
    assert (await browser.get("/me")).status_code == 418


async def test_sg01_optional_session_is_refused_too_and_public_page_is_not(make_env: EnvFactory) -> None:
    """A refused user is not anonymous. A page that does not use the session runs no hook."""
    env = make_env()
    browser = await env.signed_in_browser()
    gate = _gated(env, Suspended())

    assert (await browser.get("/public")).status_code == 200
    assert gate.sessions == []
    assert (await browser.get("/maybe")).status_code == 403
    assert (await env.browser().get("/maybe")).json() == {"user": None}


async def test_sg01_code_that_reads_the_session_gets_the_refusal(make_env: EnvFactory) -> None:
    """``get_auth_session`` raises the error in a handler of the app."""
    env = make_env(routes=no_routes)

    @env.app.get("/who")
    async def who(request: Request) -> str:
        try:
            return str(await get_auth_session(request))
        except Forbidden as error:
            return error.code

    browser = await env.signed_in_browser()
    _gated(env, Suspended())

    assert (await browser.get("/who")).json() == "suspended"


async def test_sg01_middleware_that_protects_an_app_checks_sessions(make_env: EnvFactory) -> None:
    """The route of the app declares nothing."""
    env = make_env(routes=no_routes)
    env.app.get("/page")(lambda: "ok")
    env.app.add_middleware(DescopeMiddleware, descope=env.descope, protect=True)
    browser = await env.signed_in_browser()
    assert (await browser.get("/page")).status_code == 200
    gate = _gated(env, Suspended())

    refused = await browser.get("/page")
    logged_out = await browser.post("/logout")

    assert (refused.status_code, refused.json()["code"]) == (403, "suspended")
    assert len(gate.sessions) == 1
    assert logged_out.status_code == 204


@pytest.mark.parametrize(("error", "status"), [(Suspended(), 403), (OSError(), 503)])
async def test_sg01_starlette_backend_does_not_take_a_refused_user_for_anonymous(
    make_env: EnvFactory, error: Exception, status: int
) -> None:
    """It authenticates all requests except those to login, callback and logout."""
    env = make_env()
    env.app.user_middleware.append(Middleware(AuthenticationMiddleware, backend=DescopeAuthBackend()))
    browser = await env.signed_in_browser()
    _gated(env, error)

    assert (await browser.get("/public")).status_code == status
    assert (await browser.visit("/login/sso?tenant=acme")).status_code == 303
    assert (await browser.post("/logout")).status_code == 204


@pytest.mark.parametrize(("error", "code"), [(Suspended(), "suspended"), (OSError(), "session_check_failed")])
async def test_sg06_login_and_logout_work_with_an_optional_dependency_of_the_whole_app(
    make_env: EnvFactory, error: Exception, code: str
) -> None:
    """There the refused session counts as none. On any other route it is refused."""
    env = make_env(app=FastAPI(dependencies=[Depends(optional_user)]))
    browser = await env.signed_in_browser()
    check = _gated(env, error)

    assert (await browser.get("/public")).json()["code"] == code
    callback = await browser.open_callback()
    env.emulator.clock.advance(1)  # tokens of one second are equal
    check.error = None
    assert (await browser.visit(callback)).status_code == 303
    check.error = error
    env.emulator.clock.advance(660)
    response = await browser.post("/logout")

    assert response.status_code == 204
    assert deleted_names(response.headers.get_list("set-cookie")) >= {"DS", "DSR"}
    assert env.calls("logout") == 1


async def test_sg06_login_options_hook_gets_no_session_of_a_refused_user(make_env: EnvFactory) -> None:
    """``get_auth_session`` returns None on the plugin's own routes."""
    env = make_env()
    seen: list[AuthSession | None] = []

    @env.descope.login_options
    async def options(request: Request) -> LoginOptions | None:
        seen.append(await get_auth_session(request))
        return None

    browser = await env.signed_in_browser()
    _gated(env, Suspended())

    assert (await browser.visit("/login/sso?tenant=acme")).status_code == 303
    assert seen == [None, None]


@pytest.mark.parametrize("error", [Suspended(), OSError()])
async def test_sg06_refused_user_can_start_a_step_up(make_env: EnvFactory, error: Exception) -> None:
    """The tenant of the refused session does not count, so the default tenant does."""
    env = make_env(default_tenant="acme")
    browser = await env.signed_in_browser()
    _gated(env, error)

    response = await browser.visit("/login/sso?step_up=true")

    assert response.status_code == 303
    assert response.headers["location"].startswith(IDP)


async def test_sg06_page_for_a_refused_user_offers_to_sign_out(make_env: EnvFactory) -> None:
    """Its form is accepted by the logout, also from browsers that send no Fetch Metadata."""
    env = make_env(prefix="/auth")
    browser = env.browser()
    await browser.sign_in(prefix="/auth")
    _gated(env, Suspended())

    page = await browser.visit("/me")
    # Browsers send this Origin for a form of a page with this Referrer-Policy, and "null" for "no-referrer".
    response = await browser.http.post(
        APP + "/auth/logout", headers={"origin": APP, "sec-fetch-mode": "navigate"}
    )

    assert page.status_code == 403
    assert "<h1>Your account is suspended</h1>" in page.text
    assert '<form action="/auth/logout" method="post"><button>Sign out</button></form>' in page.text
    assert page.headers["referrer-policy"] == "strict-origin"
    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert deleted_names(response.headers.get_list("set-cookie")) >= {"DS", "DSR"}


async def test_page_for_any_403_offers_to_sign_out_only_with_a_session_and_a_logout(
    make_env: EnvFactory,
) -> None:
    """A browser without a session cannot sign out, and an app without the route cannot sign it out."""

    def forbidden(app: FastAPI) -> None:
        @app.get("/forbidden")
        async def raise_forbidden(user: CurrentUser) -> None:
            raise Forbidden

        @app.get("/closed")
        async def raise_without_session() -> None:
            raise Forbidden

    env, without_routes = make_env(routes=forbidden), FastAPI()
    without_routes.add_middleware(DescopeMiddleware, descope=env.descope)
    forbidden(without_routes)
    browser = await env.signed_in_browser()
    cookies = {"cookie": f"DS={browser.cookie('DS')}", "sec-fetch-mode": "navigate"}
    other = httpx.AsyncClient(transport=httpx.ASGITransport(without_routes), base_url=APP)

    with_session = await browser.visit("/forbidden")
    without_session = await env.browser().visit("/closed")
    without_logout = await other.get("/forbidden", headers=cookies)

    assert [page.status_code for page in (with_session, without_session, without_logout)] == [403] * 3
    assert "<button>Sign out</button>" in with_session.text
    assert "<form" not in without_session.text + without_logout.text
    assert without_session.headers["referrer-policy"] == "no-referrer"


async def test_sg02_failed_check_is_503_and_keeps_the_cookies(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The page does not blame Descope. The log names the class of the exception and not its text."""
    env = make_env()
    browser = await env.signed_in_browser()
    check = _gated(env, OSError("postgres://user:hunter2@db"))
    caplog.set_level(logging.INFO)
    caplog.clear()

    page = await browser.visit("/me")
    problem = await browser.get("/me")
    check.error = None

    assert page.status_code == problem.status_code == 503
    assert "Your session cannot be checked at the moment" in page.text
    assert "You are still signed in." in page.text
    assert '<a href="">Try again</a>' in page.text
    assert "sign-in service" not in page.text
    assert problem.json()["code"] == "session_check_failed"
    for response in (page, problem):
        assert response.headers["retry-after"] == "5"
        assert "set-cookie" not in response.headers
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("fastapi_descope")]
    assert [line.split(" (")[0] for line in lines] == [
        "fastapi_descope: session_check_failed reason=OSError"
    ] * 2
    assert "hunter2" not in caplog.text
    assert (await browser.get("/me")).status_code == 200
    assert len(check.sessions) == 3


async def test_sg03_two_hundred_requests_with_one_new_token_run_the_hook_once(make_env: EnvFactory) -> None:
    """The token is refreshed once, and the new one is checked once."""
    env = make_env(project=Project(rotate_refresh=True))
    check = _gated(env)
    pair = env.emulator.issue("ada@acme.example", "acme", session_seconds=-60)
    browser = env.browser(cookie=_cookie(pair))

    responses = await asyncio.gather(*(browser.get("/me") for _ in range(200)))

    assert {response.status_code for response in responses} == {200}
    assert env.calls("refresh") == 1
    assert len(check.sessions) == 1


@pytest.mark.parametrize(("error", "status"), [(Suspended(), 403), (OSError(), 503)])
async def test_sg04_response_to_a_refused_refresh_has_the_new_cookies(
    make_env: EnvFactory, error: Exception, status: int
) -> None:
    """With rotation the old refresh token is spent. The browser can continue as soon as it is admitted."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = await env.signed_in_browser()
    check = _gated(env, error)
    env.emulator.clock.advance(660)

    response = await browser.get("/me")
    check.error = None
    env.emulator.clock.advance(660)

    assert response.status_code == status
    names = [cookie.partition("=")[0] for cookie in response.headers.get_list("set-cookie")]
    assert names == ["DS", "DSR"]
    assert (await browser.get("/me")).status_code == 200


async def test_sg01_concurrent_refresh_does_not_bring_in_a_refused_session(make_env: EnvFactory) -> None:
    """The response that carries the new cookies is that of the old session; the next request is refused."""
    env = make_env()
    browser = await env.signed_in_browser()
    check = _gated(env)
    assert (await browser.get("/me")).status_code == 200
    check.error = Suspended()
    env.emulator.clock.advance(550)

    last, next_one = await browser.get("/me"), await browser.get("/me")

    assert (last.status_code, len(last.headers.get_list("set-cookie"))) == (200, 2)
    assert next_one.status_code == 403
    assert len(check.sessions) == 2


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(Suspended(), 403, "suspended"), (OSError(), 503, "session_check_failed")],
)
async def test_sg05_refused_login_sets_no_cookie_and_runs_no_login_hook(
    make_env: EnvFactory, error: Exception, status: int, reason: str
) -> None:
    """The browser gets a page with the reason of the refusal."""
    env = make_env()
    ran: list[str] = []

    @env.descope.on_login
    async def provision(*_: object) -> None:
        ran.append("on_login")

    _gated(env, error)
    browser = env.browser()

    page = await browser.sign_in()

    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert "You are signed in" not in page.text
    assert not browser.names()
    assert ran == []
    assert env.events[-1] == LoginFailed(reason)
    assert _events(env, SignedIn) == []


async def test_sg05_login_is_checked_before_its_hooks_and_only_once(make_env: EnvFactory) -> None:
    """The first request after the login gets its verdict from the cache."""
    env = make_env()
    order: list[str] = []

    @env.descope.on_login
    async def provision(*_: object) -> None:
        order.append("on_login")

    @env.descope.on_session
    async def check(session: AuthSession) -> None:
        order.append(f"on_session {session.user.id}")

    browser = await env.signed_in_browser()

    assert (await browser.get("/me")).status_code == 200
    assert order == [f"on_session {ADA}", "on_login"]


async def test_sg04_tenant_switch_to_a_refused_session_writes_its_cookies(make_env: EnvFactory) -> None:
    """Descope has made the switch. The user can switch back, although every other route refuses."""
    env = make_env(project=Project(rotate_refresh=True))
    switched: list[str | None] = []

    @env.descope.on_session
    async def only_acme(session: AuthSession) -> None:
        if session.tenant_id != "acme":
            raise Suspended

    @env.descope.on_tenant_switch
    async def record(_request: Request, session: AuthSession) -> None:
        switched.append(session.tenant_id)

    browser = await env.signed_in_browser()
    refused = await browser.post("/tenant/select", {"tenant": "globex"})
    after = await browser.get("/session")
    back = await browser.post("/tenant/select", {"tenant": "acme"})

    assert (refused.status_code, refused.json()["code"]) == (403, "suspended")
    assert len(refused.headers.get_list("set-cookie")) == 2
    assert after.status_code == 403
    assert (back.status_code, back.json()["tenant"]["id"]) == (200, "acme")
    assert switched == ["acme"]
    assert _events(env, TenantSwitched) == [TenantSwitched(ADA, "globex"), TenantSwitched(ADA, "acme")]


async def test_sg04_tenant_switch_writes_its_cookies_when_the_check_fails(make_env: EnvFactory) -> None:
    """Once the hook works again, the session has the new tenant."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = await env.signed_in_browser()
    check = _gated(env, OSError())

    failed = await browser.post("/tenant/select", {"tenant": "globex"})
    check.error = None

    assert (failed.status_code, len(failed.headers.get_list("set-cookie"))) == (503, 2)
    assert (await browser.get("/me")).json()["tenant"] == "globex"


async def test_override_of_the_upstream_keeps_the_hooks_and_forgets_the_verdicts(
    make_env: EnvFactory,
) -> None:
    """A test of the app runs with the app's own hooks."""
    env = make_env()
    check = _gated(env)
    pair = env.emulator.issue("ada@acme.example", "acme")
    bearer = {"authorization": f"Bearer {pair.session_jwt}"}
    assert (await env.browser().get("/me", **bearer)).status_code == 200

    check.error = Suspended()
    with env.descope.override_upstream(httpx.ASGITransport(env.emulator), clock=env.emulator.clock):
        inside = await env.browser().get("/me", **bearer)
    check.error = None

    assert inside.status_code == 403
    assert (await env.browser().get("/me", **bearer)).status_code == 200
    assert len(check.sessions) == 2


def _socket(env: AppHarness, *, expired: bool = False, bearer: bool = False) -> Headers:
    pair = env.emulator.issue("ada@acme.example", tenant="acme", session_seconds=-60 if expired else None)
    if bearer:
        return [(b"authorization", f"Bearer {pair.session_jwt}".encode())]
    return [(b"cookie", _cookie(pair).encode()), (b"origin", APP.encode())]


def _echo(app: FastAPI) -> None:
    @app.websocket("/ws")
    async def ws(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.send_text(user.id)
        with suppress(WebSocketDisconnect):
            await socket.receive_text()


@pytest.mark.parametrize("bearer", [False, True])
async def test_sg01_websocket_of_a_refused_session_is_refused_at_the_handshake(
    make_env: EnvFactory, *, bearer: bool
) -> None:
    """With a 403, or a close code if the server supports no response."""
    env = make_env(routes=_echo)
    _gated(env, Suspended())

    denied = await WebSocketClient(env.app, _socket(env, bearer=bearer), denial=True).open()
    closed = await WebSocketClient(env.app, _socket(env, bearer=bearer)).open()

    assert (denied["type"], denied["status"]) == ("websocket.http.response.start", 403)
    assert closed == {"type": "websocket.close", "code": 1008, "reason": "suspended"}


async def test_sg01_websocket_that_refreshes_at_the_handshake_is_checked(make_env: EnvFactory) -> None:
    """The response that refuses it carries the new cookies."""
    env = make_env(routes=_echo)
    check = _gated(env, Suspended())

    denied = await WebSocketClient(env.app, _socket(env, expired=True), denial=True).open()
    check.error = None
    env.emulator.clock.advance(1)  # tokens of one second are equal
    socket = WebSocketClient(env.app, _socket(env, expired=True))
    accepted = await socket.open()

    names = [value.partition(b"=")[0] for name, value in denied["headers"] if name == b"set-cookie"]
    assert (denied["status"], names) == (403, [b"DS", b"DSR"])
    assert accepted["type"] == "websocket.accept"
    assert len(check.sessions) == 2
    socket.disconnect()
    await socket.wait()


async def test_sg02_websocket_whose_check_fails_can_try_again_later(make_env: EnvFactory) -> None:
    """The close code is the one for an outage."""
    env = make_env(routes=_echo)
    _gated(env, OSError())

    closed = await WebSocketClient(env.app, _socket(env)).open()

    assert closed == {"type": "websocket.close", "code": 1013, "reason": "session_check_failed"}


async def test_sg01_websocket_ends_with_its_old_session_if_the_new_one_is_refused(
    make_env: EnvFactory,
) -> None:
    """It was refreshed as it was accepted, and the hook refused the new token."""
    env = make_env(routes=_echo)
    check = _gated(env)
    headers = _socket(env)
    env.emulator.clock.advance(550)

    async def refuse_the_next(session: AuthSession) -> None:
        if len(check.sessions) > 1:
            raise Suspended

    env.descope.on_session(refuse_the_next)
    socket = WebSocketClient(env.app, headers)
    accepted = await socket.open()
    assert (await socket.next())["text"] == ADA
    env.emulator.clock.advance(60)
    socket.send_text("hello")

    assert accepted["type"] == "websocket.accept"
    assert [name for name, _ in accepted["headers"]] == [b"set-cookie"] * 2
    assert await socket.next() == {"type": "websocket.close", "code": 4401, "reason": "session ended"}
    await socket.wait()
    assert len(check.sessions) == 2
