"""``on_logout``: which session a hook gets, and that it cannot fail a logout (LO-07)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI, Request, Response

from fastapi_descope import AuthSession, Forbidden, get_auth_session, tenant_id_var
from fastapi_descope.emulator import JwtPair
from fastapi_descope.events import SignedOut
from tests.helpers.app_harness import APP, AppHarness, EnvFactory
from tests.helpers.auth_harness import ADA_ID
from tests.helpers.cookie_jar import deleted_names
from tests.helpers.event_loop import in_virtual_time, run_ready
from tests.helpers.session_check import SessionCheck

pytestmark = pytest.mark.anyio

ADA = "U22a1322415fff1b1aceaebe7855"


@dataclass
class LogoutHook:
    """Records the sessions, the paths and the tenants with which it was called."""

    sessions: list[AuthSession] = field(default_factory=list[AuthSession])
    paths: list[str] = field(default_factory=list[str])
    tenants: list[str | None] = field(default_factory=list[str | None])

    async def __call__(self, request: Request, session: AuthSession) -> None:
        """Record one logout."""
        self.sessions.append(session)
        self.paths.append(request.url.path)
        self.tenants.append(tenant_id_var.get())


def _hooked(env: AppHarness) -> LogoutHook:
    hook = LogoutHook()
    env.descope.on_logout(hook)
    return hook


@pytest.mark.parametrize("path", ["/logout", "/logout/all"])
async def test_hook_gets_the_session_of_the_cookie_after_the_revocation(
    make_env: EnvFactory, path: str
) -> None:
    """Once for each logout. The path of the request says whether all sessions ended."""
    env = make_env()
    calls: list[int] = []

    @env.descope.on_logout
    async def count(*_: object) -> None:
        calls.append(env.calls("logout") + env.calls("logout_all"))

    hook = _hooked(env)
    browser = await env.signed_in_browser()

    response = await browser.post(path)
    again = await browser.post(path)

    assert (response.status_code, again.status_code) == (204, 204)
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}
    (session,) = hook.sessions
    assert (session.user.id, session.tenant_id) == (ADA, "acme")
    assert (hook.paths, hook.tenants) == ([path], ["acme"])
    assert calls == [1]


async def test_expired_session_is_known_by_its_user_alone(make_env: EnvFactory) -> None:
    """The refresh token is valid, and a logout does not refresh."""
    env = make_env()
    hook = _hooked(env)
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    await browser.post("/logout")

    (session,) = hook.sessions
    assert (session.user.id, session.tenant, dict(session.tenants)) == (ADA, None, {})
    assert session.expires_at - session.issued_at == 28 * 86_400
    assert hook.tenants == [None]
    assert env.calls("refresh") == 0


async def test_refused_session_is_logged_out_with_its_hooks(make_env: EnvFactory) -> None:
    """Whatever ``on_session`` decides, the hook gets the session of the cookie."""
    env = make_env()
    hook = _hooked(env)
    browser = await env.signed_in_browser()
    env.descope.on_session(SessionCheck(Forbidden()))
    assert (await browser.get("/me")).status_code == 403

    await browser.post("/logout")

    assert [session.tenant_id for session in hook.sessions] == ["acme"]


async def test_session_cookie_without_a_refresh_token_is_enough(make_env: EnvFactory) -> None:
    """Nothing can be revoked at Descope, and the browser loses its session."""
    env = make_env()
    hook = _hooked(env)
    pair = env.emulator.issue("ada@acme.example", "acme")

    await env.browser().post("/logout", cookie=f"DS={pair.session_jwt}")

    assert [session.user.id for session in hook.sessions] == [ADA]
    assert env.calls("logout") == 0


def _no_cookies(env: AppHarness) -> str:
    return "theme=dark"


def _invalid_tokens(env: AppHarness) -> str:
    return "DS=a.b.c; DSR=d.e.f"


def _tokens_of_two_users(env: AppHarness) -> str:
    hank = env.emulator.issue("hank@globex.example", "globex")
    return _cookie(JwtPair(env.emulator.issue("ada@acme.example", "acme").session_jwt, hank.refresh_jwt))


def _expired_tokens_of_two_users(env: AppHarness) -> str:
    hank = env.emulator.issue("hank@globex.example", "globex")
    expired = env.emulator.issue("ada@acme.example", "acme", session_seconds=-60)
    return _cookie(JwtPair(expired.session_jwt, hank.refresh_jwt))


def _without_keys(env: AppHarness) -> str:
    env.emulator.faults.add("keys", status=500, times=99)
    return _cookie(env.emulator.issue("ada@acme.example", "acme"))


def _cookie(pair: JwtPair) -> str:
    return f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"


@pytest.mark.parametrize(
    "cookie",
    [_no_cookies, _invalid_tokens, _tokens_of_two_users, _expired_tokens_of_two_users, _without_keys],
)
async def test_logout_without_a_valid_token_calls_no_hook(
    make_env: EnvFactory, cookie: Callable[[AppHarness], str]
) -> None:
    """Nor does one with the tokens of two users: one of them was planted. The logout succeeds."""
    env = make_env()
    hook = _hooked(env)

    response = await env.browser().post("/logout", cookie=cookie(env))

    assert response.status_code == 204
    assert hook.sessions == []


async def test_lo07_exception_of_a_hook_is_logged_and_ignored(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The cookies are deleted, and the next hook runs."""
    env = make_env()

    @env.descope.on_logout
    async def fail(*_: object) -> None:
        raise Forbidden("not today")

    hook = _hooked(env)
    browser = await env.signed_in_browser()
    caplog.clear()

    response = await browser.post("/logout", sec_fetch_mode="navigate")

    assert response.status_code == 303
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}
    assert len(hook.sessions) == 1
    assert [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR] == [
        "An on_logout hook failed"
    ]


@in_virtual_time
async def test_lo07_hook_delays_a_logout_by_two_seconds_at_most(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that hangs is cancelled."""
    env = make_env()

    @env.descope.on_logout
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    browser = await env.signed_in_browser()
    started = asyncio.get_running_loop().time()

    response = await browser.post("/logout")

    assert asyncio.get_running_loop().time() - started == pytest.approx(2)
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}
    assert "An on_logout hook failed" in caplog.text


async def test_hooks_are_completed_if_the_browser_disconnects(make_env: EnvFactory) -> None:
    """The hook's request is usable after the response could no longer be sent."""
    env = make_env()
    release, done = asyncio.Event(), asyncio.Event()
    seen: list[AuthSession | None] = []

    @env.descope.on_logout
    async def slow(request: Request, session: AuthSession) -> None:
        await release.wait()
        seen.append(await get_auth_session(request))
        request.state.logged_out = session.user.id
        done.set()

    browser = await env.signed_in_browser()
    logout = asyncio.ensure_future(browser.post("/logout"))
    while env.calls("logout") == 0:
        await run_ready()
    await run_ready()

    logout.cancel()
    await asyncio.wait([logout])
    release.set()
    await done.wait()

    assert logout.cancelled()
    assert [session.user.id if session else None for session in seen] == [ADA]
    assert SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID) in env.events


async def test_concurrent_logouts_of_one_session_call_the_hook_once(make_env: EnvFactory) -> None:
    """They share the revocation too."""
    env = make_env()
    hook = _hooked(env)
    browser = await env.signed_in_browser()

    responses = await asyncio.gather(*(browser.post("/logout") for _ in range(5)))

    assert {response.status_code for response in responses} == {204}
    assert len(hook.sessions) == 1


async def test_app_sees_the_state_that_a_hook_stores(make_env: EnvFactory) -> None:
    """The hook's request and that of the app's middleware share their state."""
    app = FastAPI()
    stored: list[str] = []

    @app.middleware("http")
    async def read(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        stored.append(getattr(request.state, "left", ""))
        return response

    env = make_env(app=app)

    @env.descope.on_logout
    async def store(request: Request, session: AuthSession) -> None:
        request.state.left = session.user.id

    browser = await env.signed_in_browser()
    await browser.http.post(APP + "/logout", headers={"sec-fetch-site": "same-origin"})

    assert stored[-1] == ADA
