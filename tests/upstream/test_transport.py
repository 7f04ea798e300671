"""RF-09 on the wire: how many requests reach Descope while it fails, or tells us to wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import httpx
import pytest
from typing_extensions import override

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.errors import (
    CircuitOpen,
    InvalidUpstreamResponse,
    RateLimited,
    UpstreamError,
    UpstreamUnavailable,
)
from fastapi_descope.events import Event, EventBus, UpstreamDegraded, UpstreamRecovered
from tests.helpers.event_loop import in_virtual_time
from tests.helpers.fake_clock import FakeClock

pytestmark = pytest.mark.anyio

ADA, GRACE = "a.a.a", "g.g.g"

Answer = httpx.Response | Exception

ENDPOINTS: Mapping[str, Callable[[DescopeApi], Awaitable[object]]] = {
    "authorize": lambda client: client.sso_authorize(tenant="acme", redirect_url="https://app.example/"),
    "exchange": lambda client: client.exchange_code("one-time"),
    "refresh": lambda client: client.refresh(ADA),
    "select": lambda client: client.select_tenant(ADA, "acme"),
    "logout": lambda client: client.logout(ADA),
    "logout everywhere": lambda client: client.logout_all(ADA),
    "me": lambda client: client.fetch_profile(ADA),
    "tenants": lambda client: client.fetch_tenant_names(ADA, ["acme"]),
    "keys": lambda client: client.fetch_jwks(),
}


class Descope(httpx.AsyncBaseTransport):
    """The other end, a client that calls it, and a clock: gives ``answer``, or holds calls until told."""

    def __init__(self, response: Answer | None = None) -> None:
        self.sent = 0
        self.answer = response
        self.held: list[asyncio.Future[Answer]] = []
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
        """Answer or fail, at once or when the future is done."""
        self.sent += 1
        if (response := self.answer) is None:
            self.held.append(asyncio.get_running_loop().create_future())
            response = await self.held[-1]
        if isinstance(response, Exception):
            raise response
        return response

    async def outcome(self, token: str = ADA) -> UpstreamError | None:
        """What a refresh ends with."""
        try:
            await self.client.refresh(token)
        except UpstreamError as error:
            return error
        return None

    async def fail(self, times: int = 5) -> None:
        """As many refreshes, each of which gets a 503."""
        self.answer = httpx.Response(503)
        for _ in range(times):
            assert type(await self.outcome()) is UpstreamUnavailable


def ok() -> httpx.Response:
    """A yes."""
    return httpx.Response(200, json={})


def limited(retry_after: str | None) -> httpx.Response:
    """A 429."""
    return httpx.Response(429, headers={} if retry_after is None else {"Retry-After": retry_after})


async def turns() -> None:
    """Let every task get as far as it can."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("call", ENDPOINTS.values(), ids=ENDPOINTS)
async def test_rf09_during_an_outage_no_call_is_made(
    call: Callable[[DescopeApi], Awaitable[object]],
) -> None:
    """Of no endpoint: each fails at once, and says when to come again."""
    descope = Descope()
    await descope.fail()
    with pytest.raises(CircuitOpen) as caught:
        await call(descope.client)
    assert descope.sent == 5
    assert 5 <= caught.value.retry_after <= 10
    assert (caught.value.status, caught.value.code) == (503, "upstream_unavailable")


async def test_rf09_a_call_that_is_not_made_takes_no_time() -> None:
    """Less than five milliseconds, the fastest of ten."""
    descope = Descope()
    await descope.fail()
    taken: list[float] = []
    for _ in range(10):
        begun = time.perf_counter()
        await descope.outcome()
        taken.append(time.perf_counter() - begun)
    assert min(taken) < 0.005


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (httpx.Response(500), "server_error"),
        (httpx.Response(503, headers={"Retry-After": "30"}), "server_error"),
        (httpx.ConnectError("refused"), "ConnectError"),
        (httpx.ReadTimeout("slow"), "ReadTimeout"),
        (httpx.RemoteProtocolError("not http"), "RemoteProtocolError"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
    ids=["500", "503", "refused", "read timeout", "not http", "reset"],
)
async def test_rf09_every_kind_of_outage_is_noticed(response: Answer, reason: str) -> None:
    """A server error or none at all; a word says which, and it is told once."""
    descope = Descope(response)
    for _ in range(50):
        assert isinstance(await descope.outcome(), UpstreamUnavailable)
    assert descope.told == [UpstreamDegraded(reason)]


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(401, html="<title>proxy</title>"),
        httpx.Response(401, json={"errorCode": "E061005"}),
        httpx.Response(302),
        httpx.Response(200, content=b"x" * 300_000),
        httpx.Response(200, html="<title>proxy</title>"),
    ],
    ids=["a proxy's 401", "Descope's 401", "a redirect", "too large", "a page"],
)
async def test_rf09_whatever_was_answered_is_no_outage(response: httpx.Response) -> None:
    """A hundred calls, a hundred requests."""
    descope = Descope(response)
    for _ in range(100):
        assert not isinstance(await descope.outcome(), UpstreamUnavailable)
    assert (descope.sent, descope.told) == (100, [])


async def test_rf09_one_request_finds_out_that_descope_is_back() -> None:
    """A hundred calls come when the trial is due: one is made, and then all are."""
    descope = Descope()
    await descope.fail()
    descope.clock.now += 10
    descope.answer = None
    calls = [asyncio.create_task(descope.outcome()) for _ in range(100)]
    await turns()
    assert descope.sent == 6
    assert sum(call.done() for call in calls) == 99
    descope.answer = ok()
    descope.held[-1].set_result(ok())
    outcomes = await asyncio.gather(*calls)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert await descope.outcome() is None
    assert descope.told == [UpstreamDegraded("server_error"), UpstreamRecovered()]


async def test_rf09_a_trial_that_hangs_up_makes_room_for_the_next() -> None:
    """Its caller was cancelled: nothing was learnt, and the next call is the trial."""
    descope = Descope()
    await descope.fail()
    descope.clock.now += 10
    descope.answer = None
    trial = asyncio.create_task(descope.outcome())
    await turns()
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    descope.answer = ok()
    assert await descope.outcome() is None
    assert descope.sent == 7


def test_rf09_a_trial_lost_with_its_loop_does_not_wedge_it() -> None:
    """The loop ended in the middle of it, without ceremony; half a minute later another loop tries."""
    descope = Descope()
    asyncio.run(descope.fail())
    descope.clock.now += 10
    descope.answer = None
    loop = asyncio.new_event_loop()
    trial = loop.create_task(descope.outcome())
    loop.run_until_complete(turns())
    assert descope.sent == 6
    descope.answer = ok()
    assert isinstance(asyncio.run(descope.outcome()), CircuitOpen)
    descope.clock.now += 30
    assert asyncio.run(descope.outcome()) is None
    trial.cancel()
    loop.run_until_complete(asyncio.gather(trial, return_exceptions=True))
    loop.close()


async def test_those_who_queue_when_descope_fails_are_told_at_once() -> None:
    """Five of twenty calls fail: nobody behind them is sent into the outage, or waits for the other 15.

    When those are answered after all, it was none.
    """
    descope = Descope()
    calls = [asyncio.create_task(descope.outcome()) for _ in range(500)]
    await turns()
    for held in descope.held[:5]:
        held.set_result(httpx.Response(500))
    done, _ = await asyncio.wait(calls[:5] + calls[20:])
    assert len(done) == 485
    assert descope.sent == 20
    assert [call.done() for call in calls[5:20]] == [False] * 15
    for held in descope.held[5:]:
        held.set_result(ok())
    assert await asyncio.gather(*calls[5:20]) == [None] * 15
    assert descope.told == [UpstreamDegraded("server_error"), UpstreamRecovered()]


@in_virtual_time
async def test_rf08_a_descope_that_swallows_requests_is_an_outage() -> None:
    """No call takes longer than its deadline, those who wait neither; twenty requests were sent."""
    descope = Descope()
    async with asyncio.timeout(5.1):
        outcomes = await asyncio.gather(*(descope.outcome() for _ in range(1020)))
    assert all(isinstance(outcome, UpstreamUnavailable) for outcome in outcomes)
    assert descope.sent == 20
    assert descope.told == [UpstreamDegraded("TimeoutError")]


@in_virtual_time
async def test_rf08_calls_that_spent_their_time_in_our_queue_are_no_outage() -> None:
    """Descope takes four of five seconds: those who had one left are cut, and nothing is held against it."""
    descope = Descope()
    calls = [asyncio.create_task(descope.outcome()) for _ in range(40)]
    await asyncio.sleep(4)
    for held in descope.held:
        held.set_result(ok())
    outcomes = await asyncio.gather(*calls)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 20 + [UpstreamUnavailable] * 20
    assert (descope.sent, descope.told) == (40, [])


async def test_rf08_a_full_queue_is_no_outage() -> None:
    """Whoever is turned away at its end was not refused by Descope."""
    descope = Descope()
    calls = [asyncio.create_task(descope.outcome()) for _ in range(1020)]
    await turns()
    for _ in range(100):
        assert type(await descope.outcome()) is UpstreamUnavailable
    descope.answer = ok()
    for held in descope.held:
        held.set_result(ok())
    assert await asyncio.gather(*calls) == [None] * 1020
    assert (descope.sent, descope.told) == (1020, [])


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("3", 3), ("Wed, 21 Oct 2026 07:28:00 GMT", 5), ("-1", 5), ("1000000000", 60), (None, 5), ("x", 5)],
)
async def test_f5_a_limit_on_everybody_is_obeyed(retry_after: str | None, seconds: int) -> None:
    """Two bearers meet a 429: no call before its time, which is between 1 and 60 seconds (F5)."""
    descope = Descope(limited(retry_after))
    for token in (ADA, GRACE):
        assert type(await descope.outcome(token)) is RateLimited
    descope.answer = ok()
    for _ in range(3):
        held_back = await descope.outcome("h.h.h")
        assert isinstance(held_back, RateLimited)
        assert held_back.retry_after == seconds
    assert descope.sent == 2
    descope.clock.now += seconds
    assert await descope.outcome() is None
    assert descope.told == [UpstreamDegraded("rate_limited"), UpstreamRecovered()]


async def test_rf09_one_users_limit_holds_nobody_else_back() -> None:
    """Ten 429s of one bearer, and the next one's call is made."""
    descope = Descope(limited("60"))
    for _ in range(10):
        await descope.outcome(ADA)
    descope.answer = ok()
    assert await descope.outcome(GRACE) is None
    assert (descope.sent, descope.told) == (11, [])


async def test_rf09_those_who_queue_behind_a_limit_are_held_back() -> None:
    """Twenty sessions meet it; the 480 behind them do not make it worse."""
    descope = Descope()
    calls = [asyncio.create_task(descope.outcome(f"a.a.{number}")) for number in range(500)]
    await turns()
    for held in descope.held:
        held.set_result(limited("30"))
    outcomes = await asyncio.gather(*calls)
    assert {type(outcome) for outcome in outcomes} == {RateLimited}
    assert descope.sent == 20


async def test_a_bug_below_is_not_taken_for_an_outage() -> None:
    """What is neither an answer nor a failure of the network is raised as it is, and not counted."""
    descope = Descope(RuntimeError("a bug"))
    for _ in range(10):
        with pytest.raises(RuntimeError, match="a bug"):
            await descope.client.refresh(ADA)
    descope.answer = httpx.Response(302)
    assert type(await descope.outcome()) is InvalidUpstreamResponse
    assert descope.told == []
