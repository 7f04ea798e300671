"""Calls that unauthenticated clients can cause do not affect sessions (RF-09, RF-10)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import httpx
import pytest
from typing_extensions import override

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.errors import CircuitOpen, RateLimited, UpstreamError, UpstreamUnavailable
from fastapi_descope.events import Event, EventBus, UpstreamDegraded, UpstreamRecovered
from tests.helpers.event_loop import in_virtual_time, run_ready
from tests.helpers.fake_clock import FakeClock

pytestmark = pytest.mark.anyio

Call = Callable[[DescopeApi], Awaitable[object]]

LOGINS: Mapping[str, Call] = {
    "authorize": lambda client: client.fetch_login_url(tenant="acme", redirect_url="https://app.example/"),
    "social login": lambda client: client.fetch_social_url(provider="x", redirect_url="https://app.example/"),
    "magic link": lambda client: client.send_magic_link(email="x", redirect_url="https://app.example/"),
    "magic link's token": lambda client: client.verify_magic_link("one-time"),
    "exchange": lambda client: client.exchange_code("one-time"),
    "nOTP": lambda client: client.start_notp(),
    "pending session": lambda client: client.fetch_pending_session("reference"),
}
SESSIONS: Mapping[str, Call] = {
    "refresh": lambda client: client.refresh("a.a.a"),
    "keys": lambda client: client.fetch_jwks(),
}
EACH_LOGIN_CALL = pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
EACH_SESSION_CALL = pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)


class FakeUpstream(httpx.AsyncBaseTransport):
    """A transport that serves sessions, and blocks logins unless ``login_response`` is set."""

    def __init__(self, response: httpx.Response | None) -> None:
        self.login_response = response
        self.session_response = httpx.Response(200, json={})
        self.login_requests = 0
        self.clock = FakeClock()
        self.recorded_events: list[Event] = []
        events = EventBus()
        events.subscribe(self.recorded_events.append)
        self.client = DescopeApi(
            base_url="https://api.descope.test",
            project_id="P2" + "u" * 26,
            transport=self,
            monotonic=self.clock,
            events=events,
        )

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response, or block for ever."""
        if not any(part in request.url.path for part in ("/sso/", "/oauth/", "/magiclink/", "/notp/")):
            return self.session_response
        self.login_requests += 1
        return self.login_response or await asyncio.get_running_loop().create_future()


async def error_of(call: Awaitable[object]) -> UpstreamError | None:
    """Return the error of a call, or None."""
    try:
        await call
    except UpstreamError as error:
        return error
    return None


@EACH_LOGIN_CALL
@EACH_SESSION_CALL
@in_virtual_time
async def test_rf10_flood_of_logins_does_not_block_sessions(login: Call, session: Call) -> None:
    """Of three hundred calls five are in progress, a hundred wait, and the others fail immediately."""
    upstream = FakeUpstream(None)
    calls = [asyncio.ensure_future(error_of(login(upstream.client))) for _ in range(300)]
    await run_ready()

    await session(upstream.client)

    assert upstream.login_requests == 5
    rejected = [task.result() for task in calls if task.done()]
    assert [type(each) for each in rejected] == [UpstreamUnavailable] * 195
    for task in calls:
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await upstream.client.aclose()


@EACH_LOGIN_CALL
@EACH_SESSION_CALL
async def test_rf09_failing_logins_are_no_outage_for_sessions(login: Call, session: Call) -> None:
    """If one tenant's single sign-on is broken, only logins are rejected. The event says so."""
    upstream = FakeUpstream(httpx.Response(500))
    for _ in range(5):
        await error_of(login(upstream.client))

    assert type(await error_of(login(upstream.client))) is CircuitOpen
    assert upstream.login_requests == 5
    assert await error_of(session(upstream.client)) is None
    assert upstream.recorded_events == [UpstreamDegraded("server_error", "logins")]

    upstream.clock.now += 10
    upstream.login_response = httpx.Response(404)
    await error_of(login(upstream.client))
    assert upstream.recorded_events[1:] == [UpstreamRecovered("logins")]


@EACH_SESSION_CALL
async def test_rf09_rate_limit_on_logins_does_not_limit_sessions(session: Call) -> None:
    """A flood of logins must not make sessions wait."""
    upstream = FakeUpstream(httpx.Response(429, headers={"Retry-After": "60"}))
    for tenant in ("acme", "globex", "initech"):
        await error_of(upstream.client.fetch_login_url(tenant=tenant, redirect_url="https://app.example/"))

    assert await error_of(session(upstream.client)) is None


@EACH_LOGIN_CALL
@pytest.mark.parametrize(("status", "held_back"), [(503, CircuitOpen), (429, RateLimited)])
async def test_rf09_outage_or_rate_limit_for_sessions_rejects_logins(
    login: Call, status: int, held_back: type[UpstreamError]
) -> None:
    """A one-time code is not used up during an outage. When a probe is due, a login may be the first."""
    url = "https://idp.example/"
    body = {"url": url, "redirectUrl": url, "pendingRef": "reference"}
    upstream = FakeUpstream(httpx.Response(200, json=body))
    upstream.session_response = httpx.Response(status)
    for number in range(5):
        await error_of(upstream.client.refresh(f"a.a.{number}"))

    assert type(await error_of(login(upstream.client))) is held_back
    assert upstream.login_requests == 0
    upstream.clock.now += 10
    assert await error_of(login(upstream.client)) is None
