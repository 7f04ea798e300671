"""Calls that strangers can cause hold up nobody who is signed in (RF-09, RF-10)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import httpx
import pytest
from typing_extensions import override

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.errors import CircuitOpen, RateLimited, UpstreamError, UpstreamUnavailable
from fastapi_descope.events import Event, EventBus, UpstreamDegraded, UpstreamRecovered
from tests.helpers.event_loop import run_ready
from tests.helpers.fake_clock import FakeClock

pytestmark = pytest.mark.anyio

Call = Callable[[DescopeApi], Awaitable[object]]

LOGINS: Mapping[str, Call] = {
    "authorize": lambda client: client.sso_authorize(tenant="acme", redirect_url="https://app.example/"),
    "exchange": lambda client: client.exchange_code("one-time"),
}
SESSIONS: Mapping[str, Call] = {
    "refresh": lambda client: client.refresh("a.a.a"),
    "keys": lambda client: client.fetch_jwks(),
}
A_LOGIN = pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
A_SESSION = pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)


class Descope(httpx.AsyncBaseTransport):
    """Serves sessions, and treats logins as ``answer`` says: None never ends."""

    def __init__(self, response: httpx.Response | None) -> None:
        self.answer = response
        self.sessions_answer = httpx.Response(200, json={})
        self.logins = 0
        self.clock = FakeClock()
        self.told: list[Event] = []
        events = EventBus()
        events.subscribe(self.told.append)
        self.client = DescopeApi(
            base_url="https://api.descope.test",
            project_id="P2" + "u" * 26,
            transport=self,
            monotonic=self.clock,
            events=events,
        )

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or have it wait for ever."""
        if "/sso/" not in request.url.path:
            return self.sessions_answer
        self.logins += 1
        return self.answer or await asyncio.get_running_loop().create_future()


async def outcome(call: Awaitable[object]) -> UpstreamError | None:
    """What a call ends with, other than the answer."""
    try:
        await call
    except UpstreamError as error:
        return error
    return None


@A_LOGIN
@A_SESSION
async def test_rf10_a_crowd_of_logins_takes_no_connection_from_a_session(login: Call, session: Call) -> None:
    """Three hundred begin and hang: five are under way, a hundred wait, the rest are turned away at once."""
    descope = Descope(None)
    crowd = [asyncio.ensure_future(outcome(login(descope.client))) for _ in range(300)]
    await run_ready()

    await session(descope.client)

    assert descope.logins == 5
    turned_away = [task.result() for task in crowd if task.done()]
    assert [type(each) for each in turned_away] == [UpstreamUnavailable] * 195
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    await descope.client.aclose()


@A_LOGIN
@A_SESSION
async def test_rf09_logins_that_fail_are_no_outage_for_a_session(login: Call, session: Call) -> None:
    """One tenant's single sign-on is broken: logins are held back, and told of as such."""
    descope = Descope(httpx.Response(500))
    for _ in range(5):
        await outcome(login(descope.client))

    assert type(await outcome(login(descope.client))) is CircuitOpen
    assert descope.logins == 5
    assert await outcome(session(descope.client)) is None
    assert descope.told == [UpstreamDegraded("server_error", "logins")]

    descope.clock.now += 10
    descope.answer = httpx.Response(404)
    await outcome(login(descope.client))
    assert descope.told[1:] == [UpstreamRecovered("logins")]


@A_SESSION
async def test_rf09_a_limit_on_logins_is_none_on_a_session(session: Call) -> None:
    """Whoever floods the start of a login cannot have everybody wait."""
    descope = Descope(httpx.Response(429, headers={"Retry-After": "60"}))
    for tenant in ("acme", "globex", "initech"):
        await outcome(descope.client.sso_authorize(tenant=tenant, redirect_url="https://app.example/"))

    assert await outcome(session(descope.client)) is None


@A_LOGIN
@pytest.mark.parametrize(("status", "held_back"), [(503, CircuitOpen), (429, RateLimited)])
async def test_rf09_an_outage_for_sessions_is_one_for_logins(
    login: Call, status: int, held_back: type[UpstreamError]
) -> None:
    """A one-time code is not spent on a Descope that fails; when a trial is due, a login may go first."""
    descope = Descope(httpx.Response(200, json={"url": "https://idp.example/"}))
    descope.sessions_answer = httpx.Response(status)
    for number in range(5):
        await outcome(descope.client.refresh(f"a.a.{number}"))

    assert type(await outcome(login(descope.client))) is held_back
    assert descope.logins == 0
    descope.clock.now += 10
    assert await outcome(login(descope.client)) is None
