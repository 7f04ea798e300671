"""Queue, timeout and connections while Descope is slow, and closing (RF-08, RF-10)."""

import asyncio

import httpx
import pytest
from typing_extensions import override

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.errors import UpstreamUnavailable
from tests.helpers.event_loop import in_virtual_time

pytestmark = pytest.mark.anyio

REFRESH = "head.body.seal"


class BlockingTransport(httpx.AsyncBaseTransport):
    """A transport that blocks every request until it is released, and counts requests."""

    def __init__(self, *, is_released: bool = False) -> None:
        self.released = asyncio.Event()
        self.full = asyncio.Event()
        self.in_progress = self.max_in_progress = self.total = self.close_calls = 0
        self.timeouts: object = None
        if is_released:
            self.released.set()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait until the transport is released."""
        self.timeouts = request.extensions["timeout"]
        self.in_progress, self.total = self.in_progress + 1, self.total + 1
        self.max_in_progress = max(self.max_in_progress, self.in_progress)
        if self.in_progress == 20:
            self.full.set()
        try:
            await self.released.wait()
        finally:
            self.in_progress -= 1
        return httpx.Response(200, json={})

    @override
    async def aclose(self) -> None:
        """Count the call."""
        self.close_calls += 1


def client_with(transport: BlockingTransport, timeout: float = 5.0) -> DescopeApi:
    """Return a client with this transport."""
    return DescopeApi(
        base_url="https://api.descope.test", project_id="P2" + "u" * 26, timeout=timeout, transport=transport
    )


async def start_calls(
    client: DescopeApi, transport: BlockingTransport, number: int
) -> list[asyncio.Task[object]]:
    """Start calls and wait until each is blocked or waits in the queue."""
    calls = [asyncio.ensure_future(refresh(client)) for _ in range(number)]
    await transport.full.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    return calls


async def refresh(client: DescopeApi) -> object:
    """Make one call."""
    return await client.refresh(REFRESH)


@in_virtual_time
async def test_rf08_call_without_a_response_ends_at_the_timeout() -> None:
    """The connection is not used again."""
    transport = BlockingTransport()
    with pytest.raises(UpstreamUnavailable) as caught:
        await client_with(transport).refresh(REFRESH)
    assert asyncio.get_running_loop().time() == pytest.approx(5)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert (transport.total, transport.in_progress) == (1, 0)


@pytest.mark.parametrize(("seconds", "connect"), [(5.0, 2.0), (1.0, 1.0)])
async def test_connect_timeout_is_two_seconds_at_most(seconds: float, connect: float) -> None:
    """A host that drops packets is tried twice within the timeout, if it is long enough."""
    transport = BlockingTransport(is_released=True)
    await client_with(transport, seconds).refresh(REFRESH)
    assert transport.timeouts == {"connect": connect, "read": seconds, "write": seconds, "pool": seconds}


@in_virtual_time
async def test_rf08_timeout_includes_the_time_in_the_queue() -> None:
    """A queued call ends as early as any other."""
    client = client_with(BlockingTransport())
    outcomes = await asyncio.gather(*(refresh(client) for _ in range(40)), return_exceptions=True)
    assert asyncio.get_running_loop().time() == pytest.approx(5)
    assert all(isinstance(outcome, UpstreamUnavailable) for outcome in outcomes)


@in_virtual_time
async def test_rf10_at_most_twenty_calls_are_in_progress() -> None:
    """The others wait and are sent later."""
    transport = BlockingTransport()
    calls = await start_calls(client_with(transport), transport, 50)
    assert transport.max_in_progress == 20
    transport.released.set()
    await asyncio.gather(*calls)
    assert (transport.max_in_progress, transport.total) == (20, 50)


@in_virtual_time
async def test_rf08_a_thousand_calls_may_wait_and_the_next_one_fails() -> None:
    """It fails immediately. Later calls succeed again."""
    transport = BlockingTransport()
    client = client_with(transport)
    calls = await start_calls(client, transport, 1020)
    with pytest.raises(UpstreamUnavailable):
        await client.refresh(REFRESH)
    transport.released.set()
    await asyncio.gather(*calls)
    assert transport.total == 1020
    await client.refresh(REFRESH)
    assert transport.total == 1021


@in_virtual_time
async def test_cancelled_calls_free_their_places() -> None:
    """This holds for calls in progress and in the queue."""
    transport = BlockingTransport()
    client = client_with(transport)
    calls = await start_calls(client, transport, 1020)
    for call in calls:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    transport.released.set()
    await asyncio.gather(*(client.refresh(REFRESH) for _ in range(1020)))
    assert transport.in_progress == 0


@in_virtual_time
async def test_queued_calls_fail_when_the_client_is_closed() -> None:
    """A connection opened after the close would never be closed."""
    transport = BlockingTransport()
    client = client_with(transport)
    calls = await start_calls(client, transport, 25)
    await client.aclose()
    transport.released.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    turned_away = [outcome for outcome in outcomes if isinstance(outcome, UpstreamUnavailable)]
    assert (transport.total, len(turned_away)) == (20, 5)


async def test_second_close_does_nothing() -> None:
    """The next call opens the client again."""
    transport = BlockingTransport(is_released=True)
    client = client_with(transport)
    await client.refresh(REFRESH)
    await client.aclose()
    await client.aclose()
    assert transport.close_calls == 1
    await client.refresh(REFRESH)
    await client.aclose()
    assert (transport.total, transport.close_calls) == (2, 2)


async def test_connections_are_closed_although_closing_others_fails() -> None:
    """Those for sessions and those for logins."""

    class FailingTransport(BlockingTransport):
        @override
        async def aclose(self) -> None:
            await super().aclose()
            raise OSError

    transport = FailingTransport(is_released=True)
    client = client_with(transport)
    await client.refresh(REFRESH)
    await client.exchange_code("code")
    with pytest.raises(OSError):
        await client.aclose()
    assert transport.close_calls == 2


def test_client_opens_nothing_before_the_first_call() -> None:
    """It can be created without an event loop and closed unused."""
    transport = BlockingTransport()
    asyncio.run(client_with(transport).aclose())
    assert (transport.total, transport.close_calls) == (0, 0)


def test_connections_are_closed_with_their_event_loop() -> None:
    """Without a lifespan the app does not call ``aclose``. The next loop opens new ones."""
    transport = BlockingTransport(is_released=True)
    client = client_with(transport)
    asyncio.run(client.logout(REFRESH))
    assert (transport.total, transport.close_calls) == (1, 1)
    asyncio.run(client.logout(REFRESH))
    assert (transport.total, transport.close_calls) == (2, 2)


def test_aclose_in_another_loop_closes_nothing() -> None:
    """The connections of a loop that has ended are closed already."""
    transport = BlockingTransport(is_released=True)
    client = client_with(transport)
    asyncio.run(client.logout(REFRESH))
    asyncio.run(client.aclose())
    assert transport.close_calls == 1


def test_connections_of_a_loop_closed_without_shutdown_are_not_touched() -> None:
    """Closing them from another loop would fail."""
    transport = BlockingTransport(is_released=True)
    client = client_with(transport)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.logout(REFRESH))
    loop.close()
    asyncio.run(client.aclose())
    assert transport.close_calls == 0
    asyncio.run(client.logout(REFRESH))
    assert (transport.total, transport.close_calls) == (2, 1)
