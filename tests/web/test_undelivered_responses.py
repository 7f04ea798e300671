"""A response is not a delivery: an old refresh token works until the browser has presented its successor.

Requirement RF-04. Descope rotates refresh tokens and accepts none twice. A test sends cookies by itself, so
that the new ones of a response can get lost.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from http.cookies import SimpleCookie

import httpx
import pytest
from fastapi import FastAPI, WebSocket

from fastapi_descope import CurrentUser
from fastapi_descope.emulator import JwtPair, Project
from fastapi_descope.events import SuccessorReplayed
from tests.helpers.app_harness import APP, AppHarness, EnvFactory
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

STRICT = Project(rotate_refresh=True)
EXPIRED = 660
"""Seconds after which a session of ten minutes is over."""

GRACE = 30
"""The default of ``DESCOPE_REFRESH_GRACE``, in seconds."""

ADA = "U22a1322415fff1b1aceaebe7855"

QUIET_TIMES = pytest.mark.parametrize("seconds", [20, 31, 60, 300, 590])

Cookies = Mapping[str, str]


def routes(app: FastAPI) -> None:
    """Add a route and a WebSocket."""

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    @app.websocket("/ws")
    async def ws(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.receive()


@pytest.fixture
def env(make_env: EnvFactory) -> AppHarness:
    """Build an app whose project rotates refresh tokens."""
    return make_env(project=STRICT, routes=routes)


def issue(env: AppHarness, *, age: int = EXPIRED) -> Cookies:
    """Return the cookies of a session that began ``age`` seconds ago."""
    pair: JwtPair = env.emulator.issue("ada@acme.example", "acme")
    env.emulator.clock.advance(age)
    return {"DS": pair.session_jwt, "DSR": pair.refresh_jwt}


async def get(env: AppHarness, cookies: Cookies, **headers: str) -> httpx.Response:
    """Send a request with these cookies."""
    return await env.browser().get("/me", cookie=header(cookies), **headers)


def header(cookies: Cookies) -> str:
    """Return the value of a ``Cookie`` header."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def written(lines: list[str]) -> Cookies:
    """Return the cookies of ``Set-Cookie`` lines."""
    return {name: morsel.value for line in lines for name, morsel in SimpleCookie(line).items()}


def new_cookies(response: httpx.Response) -> Cookies:
    """Return the cookies that a response sets; there must be two."""
    assert response.status_code == 200, response.text
    cookies = written(response.headers.get_list("set-cookie"))
    assert cookies.keys() == {"DS", "DSR"}
    return cookies


async def in_background() -> None:
    """Let the tasks run that a request has started."""
    for _ in range(10):
        await asyncio.sleep(0)


async def assert_refused(env: AppHarness, cookies: Cookies) -> None:
    """Assert that the refresh token is spent."""
    response = await get(env, {"DSR": cookies["DSR"]})
    assert (response.status_code, response.json()["code"]) == (401, "session_ended")


@QUIET_TIMES
async def test_rf04_response_that_never_arrives_loses_no_session(env: AppHarness, seconds: int) -> None:
    """The browser returns with the old cookies, and gets the pair."""
    old = issue(env)
    lost = new_cookies(await get(env, old))
    env.emulator.clock.advance(seconds)

    assert new_cookies(await get(env, old)) == lost
    assert env.calls("refresh") == 1


@QUIET_TIMES
async def test_rf04_cookies_of_an_accepted_websocket_may_get_lost(env: AppHarness, seconds: int) -> None:
    """Some servers do not send the headers of ``websocket.accept``."""
    old = issue(env)
    socket = WebSocketClient(env.app, [(b"cookie", header(old).encode()), (b"origin", APP.encode())])
    accepted = await socket.open()
    lines = [value.decode() for name, value in accepted["headers"] if name == b"set-cookie"]
    socket.disconnect()
    await socket.wait()
    env.emulator.clock.advance(seconds)

    assert new_cookies(await get(env, old)) == written(lines)
    assert env.calls("refresh") == 1


@QUIET_TIMES
async def test_rf04_response_of_a_tenant_switch_that_never_arrives_loses_no_session(
    env: AppHarness, seconds: int
) -> None:
    """The browser returns with the old cookies, and gets the session in the new tenant."""
    old = issue(env, age=0)
    lost = await env.browser().post("/tenant/select", {"tenant": "globex"}, cookie=header(old))
    env.emulator.clock.advance(seconds)

    response = await get(env, {"DSR": old["DSR"]})

    assert new_cookies(response) == new_cookies(lost)


async def test_rf04_old_token_works_for_the_grace_after_its_successor_was_presented(env: AppHarness) -> None:
    """Concurrent tabs may still send it. After that it is spent, and using it looks like theft."""
    old = issue(env)
    new = new_cookies(await get(env, old))
    env.emulator.clock.advance(300)
    assert (await get(env, new)).status_code == 200
    await in_background()

    env.emulator.clock.advance(GRACE - 1)
    assert new_cookies(await get(env, old)) == new
    env.emulator.clock.advance(1)
    await assert_refused(env, old)


async def test_rf04_grace_starts_with_the_first_presentation(env: AppHarness) -> None:
    """Later requests with the new token do not extend it."""
    old = issue(env)
    new = new_cookies(await get(env, old))
    for _ in range(GRACE):
        assert (await get(env, new)).status_code == 200
        await in_background()
        env.emulator.clock.advance(1)
    await assert_refused(env, old)


async def test_rf04_prefetch_with_the_new_cookies_presents_them(env: AppHarness) -> None:
    """The browser has them, whatever it requests."""
    old = issue(env)
    new = new_cookies(await get(env, old))
    await get(env, new, sec_purpose="prefetch")
    await in_background()
    env.emulator.clock.advance(GRACE)
    await assert_refused(env, old)


async def test_rf04_bearer_presents_no_refresh_token(env: AppHarness) -> None:
    """Cookies next to an Authorization header are not read."""
    old = issue(env)
    new = new_cookies(await get(env, old))
    await get(env, new, authorization=f"Bearer {new['DS']}")
    await in_background()
    env.emulator.clock.advance(300)
    assert new_cookies(await get(env, old)) == new


async def test_rf04_websocket_with_the_new_cookies_presents_them(env: AppHarness) -> None:
    """Like any request of the browser."""
    old = issue(env)
    new = new_cookies(await get(env, old))
    socket = WebSocketClient(env.app, [(b"cookie", header(new).encode()), (b"origin", APP.encode())])
    await socket.open()
    socket.disconnect()
    await socket.wait()

    env.emulator.clock.advance(GRACE - 1)
    assert new_cookies(await get(env, old)) == new
    env.emulator.clock.advance(1)
    await assert_refused(env, old)


async def test_rf04_login_after_a_lost_response_is_not_for_the_old_token(env: AppHarness) -> None:
    """The browser signs in again with its old cookies. They do not get the session of that login."""
    old = issue(env)
    await get(env, old)
    browser = env.browser()
    for name, value in old.items():
        browser.http.cookies.set(name, value, domain="127.0.0.1", path="/")
    await browser.sign_in()
    assert browser.cookie("DSR") not in (None, old["DSR"])

    response = await get(env, old)

    assert response.status_code == 401
    assert "set-cookie" not in response.headers


async def test_rf04_switch_counts_as_delivered_when_the_new_token_is_presented(env: AppHarness) -> None:
    """The spent token works for the grace, and not for ten minutes."""
    old = issue(env, age=0)
    switch = await env.browser().post("/tenant/select", {"tenant": "globex"}, cookie=header(old))
    new = new_cookies(switch)
    assert (await get(env, new)).status_code == 200
    await in_background()

    env.emulator.clock.advance(GRACE - 1)
    assert new_cookies(await get(env, {"DSR": old["DSR"]})) == new
    env.emulator.clock.advance(1)
    await assert_refused(env, old)


async def test_rf04_presented_token_delivers_all_tokens_before_it(make_env: EnvFactory) -> None:
    """The browser never saw the first successor, whose session expired. It got the second one."""
    env = make_env(project=replace(STRICT, session_seconds=120), routes=routes)
    old = issue(env)
    await get(env, old)
    env.emulator.clock.advance(200)
    new = new_cookies(await get(env, old))
    assert env.calls("refresh") == 2
    await get(env, new)
    await in_background()

    env.emulator.clock.advance(GRACE - 1)
    assert new_cookies(await get(env, old)) == new
    env.emulator.clock.advance(1)
    await assert_refused(env, old)


async def test_rf04_presented_token_delivers_a_live_session_before_it(env: AppHarness) -> None:
    """The browser never saw the first successor, whose session is live. A switch gave it the second one."""
    old = issue(env)
    await get(env, old)
    switch = await env.browser().post("/tenant/select", {"tenant": "globex"}, cookie=header(old))
    await get(env, new_cookies(switch))
    await in_background()

    env.emulator.clock.advance(GRACE)
    await assert_refused(env, old)


async def test_rf04_spent_token_works_for_ten_minutes_at_most(env: AppHarness) -> None:
    """If no browser ever presents the successor."""
    old = issue(env)
    await get(env, old)
    env.emulator.clock.advance(600)
    await assert_refused(env, old)


async def test_rf04_late_use_of_a_spent_token_is_an_event(env: AppHarness) -> None:
    """It is not counted before a browser has presented the successor."""
    old = issue(env)
    new = new_cookies(await get(env, old))
    await get(env, old)
    assert SuccessorReplayed not in {type(event) for event in env.events}
    await get(env, new)
    await in_background()
    await get(env, old)
    assert env.events[-1] == SuccessorReplayed(ADA)
