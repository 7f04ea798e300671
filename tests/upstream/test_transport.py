"""The number of requests that reach Descope during outages and rate limits (RF-08, RF-09)."""

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
from tests.helpers.event_loop import in_virtual_time, run_ready
from tests.helpers.fake_clock import FakeClock

pytestmark = pytest.mark.anyio

ADA, GRACE = "a.a.a", "g.g.g"

Response = httpx.Response | Exception

ENDPOINTS: Mapping[str, Callable[[DescopeApi], Awaitable[object]]] = {
    "authorize": lambda client: client.fetch_login_url(tenant="acme", redirect_url="https://app.example/"),
    "exchange": lambda client: client.exchange_code("one-time"),
    "refresh": lambda client: client.refresh(ADA),
    "select": lambda client: client.select_tenant(ADA, "acme"),
    "logout": lambda client: client.logout(ADA),
    "logout everywhere": lambda client: client.logout_all(ADA),
    "me": lambda client: client.fetch_profile(ADA),
    "tenants": lambda client: client.fetch_tenant_names(ADA, ["acme"]),
    "keys": lambda client: client.fetch_jwks(),
}


class FakeUpstream(httpx.AsyncBaseTransport):
    """A transport with a client, a clock and events. It returns ``response``, or blocks if that is None."""

    def __init__(self, response: Response | None = None) -> None:
        self.request_count = 0
        self.response = response
        self.pending: list[asyncio.Future[Response]] = []
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
        """Return or raise the response, at once or when its future is done."""
        self.request_count += 1
        if (response := self.response) is None:
            self.pending.append(asyncio.get_running_loop().create_future())
            response = await self.pending[-1]
        if isinstance(response, Exception):
            raise response
        return response

    async def refresh(self, token: str = ADA) -> UpstreamError | None:
        """Refresh a session; return the error or None."""
        try:
            await self.client.refresh(token)
        except UpstreamError as error:
            return error
        return None

    async def fail(self, times: int = 5) -> None:
        """Make calls that get a 503."""
        self.response = httpx.Response(503)
        for _ in range(times):
            assert type(await self.refresh()) is UpstreamUnavailable


def ok() -> httpx.Response:
    """Return a 200."""
    return httpx.Response(200, json={})


def too_many_requests(retry_after: str | None) -> httpx.Response:
    """Return a 429."""
    return httpx.Response(429, headers={} if retry_after is None else {"Retry-After": retry_after})


@pytest.mark.parametrize("call", ENDPOINTS.values(), ids=ENDPOINTS)
async def test_rf09_no_request_is_sent_during_an_outage(
    call: Callable[[DescopeApi], Awaitable[object]],
) -> None:
    """Calls to all endpoints fail immediately and say when to retry."""
    upstream = FakeUpstream()
    await upstream.fail()
    with pytest.raises(CircuitOpen) as caught:
        await call(upstream.client)
    assert upstream.request_count == 5
    assert 5 <= caught.value.retry_after <= 10
    assert (caught.value.status, caught.value.code) == (503, "upstream_unavailable")


async def test_rf09_rejected_call_takes_less_than_five_milliseconds() -> None:
    """Measured is the fastest of ten."""
    upstream = FakeUpstream()
    await upstream.fail()
    taken: list[float] = []
    for _ in range(10):
        begun = time.perf_counter()
        await upstream.refresh()
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
async def test_rf09_every_kind_of_failure_opens_the_breaker(response: Response, reason: str) -> None:
    """One event has the kind as its reason."""
    upstream = FakeUpstream(response)
    for _ in range(50):
        assert isinstance(await upstream.refresh(), UpstreamUnavailable)
    assert upstream.recorded_events == [UpstreamDegraded(reason)]


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
async def test_rf09_any_response_but_a_5xx_is_no_outage(response: httpx.Response) -> None:
    """A hundred calls are a hundred requests."""
    upstream = FakeUpstream(response)
    for _ in range(100):
        assert not isinstance(await upstream.refresh(), UpstreamUnavailable)
    assert (upstream.request_count, upstream.recorded_events) == (100, [])


async def test_rf09_one_request_detects_the_recovery() -> None:
    """Of a hundred calls only the probe is sent. After its success all calls are."""
    upstream = FakeUpstream()
    await upstream.fail()
    upstream.clock.now += 10
    upstream.response = None
    calls = [asyncio.create_task(upstream.refresh()) for _ in range(100)]
    await run_ready()
    assert upstream.request_count == 6
    assert sum(call.done() for call in calls) == 99
    upstream.response = ok()
    upstream.pending[-1].set_result(ok())
    outcomes = await asyncio.gather(*calls)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert await upstream.refresh() is None
    assert upstream.recorded_events == [UpstreamDegraded("server_error"), UpstreamRecovered()]


async def test_rf09_cancelled_probe_is_followed_by_another() -> None:
    """The next call is the probe."""
    upstream = FakeUpstream()
    await upstream.fail()
    upstream.clock.now += 10
    upstream.response = None
    probe = asyncio.create_task(upstream.refresh())
    await run_ready()
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    upstream.response = ok()
    assert await upstream.refresh() is None
    assert upstream.request_count == 7


def test_rf09_probe_lost_with_its_event_loop_is_replaced() -> None:
    """Another loop probes half a minute later."""
    upstream = FakeUpstream()
    asyncio.run(upstream.fail())
    upstream.clock.now += 10
    upstream.response = None
    loop = asyncio.new_event_loop()
    probe = loop.create_task(upstream.refresh())
    loop.run_until_complete(run_ready())
    assert upstream.request_count == 6
    upstream.response = ok()
    assert isinstance(asyncio.run(upstream.refresh()), CircuitOpen)
    upstream.clock.now += 30
    assert asyncio.run(upstream.refresh()) is None
    probe.cancel()
    loop.run_until_complete(asyncio.gather(probe, return_exceptions=True))
    loop.close()


@in_virtual_time
async def test_queued_calls_fail_immediately_when_the_breaker_opens() -> None:
    """Five of twenty calls fail, and the queued ones are not sent.

    When the other fifteen succeed, the outage ends.
    """
    upstream = FakeUpstream()
    calls = [asyncio.create_task(upstream.refresh()) for _ in range(500)]
    await run_ready()
    for future in upstream.pending[:5]:
        future.set_result(httpx.Response(500))
    done, _ = await asyncio.wait(calls[:5] + calls[20:])
    assert len(done) == 485
    assert upstream.request_count == 20
    assert [call.done() for call in calls[5:20]] == [False] * 15
    for future in upstream.pending[5:]:
        future.set_result(ok())
    assert await asyncio.gather(*calls[5:20]) == [None] * 15
    assert upstream.recorded_events == [UpstreamDegraded("server_error"), UpstreamRecovered()]


@in_virtual_time
async def test_rf08_requests_without_a_response_are_an_outage() -> None:
    """Every call, queued ones included, ends within the timeout. Twenty requests were sent."""
    upstream = FakeUpstream()
    async with asyncio.timeout(5.1):
        outcomes = await asyncio.gather(*(upstream.refresh() for _ in range(1020)))
    assert all(isinstance(outcome, UpstreamUnavailable) for outcome in outcomes)
    assert upstream.request_count == 20
    assert upstream.recorded_events == [UpstreamDegraded("TimeoutError")]


@in_virtual_time
async def test_rf08_timeouts_in_our_own_queue_are_no_outage() -> None:
    """Descope takes four of five seconds. Calls with one second left time out, but are not failures."""
    upstream = FakeUpstream()
    calls = [asyncio.create_task(upstream.refresh()) for _ in range(40)]
    await asyncio.sleep(4)
    for future in upstream.pending:
        future.set_result(ok())
    outcomes = await asyncio.gather(*calls)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 20 + [UpstreamUnavailable] * 20
    assert (upstream.request_count, upstream.recorded_events) == (40, [])


@in_virtual_time
async def test_rf08_a_full_queue_is_no_outage() -> None:
    """A call that does not fit into the queue is no failure of Descope."""
    upstream = FakeUpstream()
    calls = [asyncio.create_task(upstream.refresh()) for _ in range(1020)]
    await run_ready()
    for _ in range(100):
        assert type(await upstream.refresh()) is UpstreamUnavailable
    upstream.response = ok()
    for future in upstream.pending:
        future.set_result(ok())
    assert await asyncio.gather(*calls) == [None] * 1020
    assert (upstream.request_count, upstream.recorded_events) == (1020, [])


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("3", 3), ("Wed, 21 Oct 2026 07:28:00 GMT", 5), ("-1", 5), ("1000000000", 60), (None, 5), ("x", 5)],
)
async def test_f5_shared_rate_limit_is_obeyed(retry_after: str | None, seconds: int) -> None:
    """After 429s of two callers no call is sent for 1 to 60 seconds (F5)."""
    upstream = FakeUpstream(too_many_requests(retry_after))
    for token in (ADA, GRACE):
        assert type(await upstream.refresh(token)) is RateLimited
    upstream.response = ok()
    for _ in range(3):
        held_back = await upstream.refresh("h.h.h")
        assert isinstance(held_back, RateLimited)
        assert held_back.retry_after == seconds
    assert upstream.request_count == 2
    upstream.clock.now += seconds
    assert await upstream.refresh() is None
    assert upstream.recorded_events == [UpstreamDegraded("rate_limited"), UpstreamRecovered()]


async def test_rf09_rate_limit_of_one_user_does_not_limit_others() -> None:
    """After ten 429s of one user the call of another is sent."""
    upstream = FakeUpstream(too_many_requests("60"))
    for _ in range(10):
        await upstream.refresh(ADA)
    upstream.response = ok()
    assert await upstream.refresh(GRACE) is None
    assert (upstream.request_count, upstream.recorded_events) == (11, [])


@in_virtual_time
async def test_rf09_queued_calls_are_rejected_by_a_shared_rate_limit() -> None:
    """Twenty calls get a 429, and the 480 queued ones are not sent."""
    upstream = FakeUpstream()
    calls = [asyncio.create_task(upstream.refresh(f"a.a.{number}")) for number in range(500)]
    await run_ready()
    for future in upstream.pending:
        future.set_result(too_many_requests("30"))
    outcomes = await asyncio.gather(*calls)
    assert {type(outcome) for outcome in outcomes} == {RateLimited}
    assert upstream.request_count == 20


async def test_other_exceptions_are_raised_and_do_not_count_as_failures() -> None:
    """Only network errors and responses say something about Descope."""
    upstream = FakeUpstream(RuntimeError("a bug"))
    for _ in range(10):
        with pytest.raises(RuntimeError, match="a bug"):
            await upstream.client.refresh(ADA)
    upstream.response = httpx.Response(302)
    assert type(await upstream.refresh()) is InvalidUpstreamResponse
    assert upstream.recorded_events == []
