"""A slow Descope holds up nobody for long, and whatever is opened is closed again (RF-08)."""

import asyncio

import httpx
import pytest
from typing_extensions import override

from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.errors import UpstreamUnavailable

pytestmark = pytest.mark.anyio

REFRESH = "head.body.seal"


class BlockingTransport(httpx.AsyncBaseTransport):
    """A transport that holds every request until it is opened, and counts."""

    def __init__(self, *, is_released: bool = False) -> None:
        self.released = asyncio.Event()
        self.full = asyncio.Event()
        self.in_progress = self.max_in_progress = self.total = self.close_calls = 0
        self.timeouts: object = None
        if is_released:
            self.released.set()

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Wait inside until the turnstile is open."""
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
        """Count the close."""
        self.close_calls += 1


def client_with(transport: BlockingTransport, timeout: float = 5.0) -> DescopeApi:
    """A client whose calls go through ``transport`` and may take so long."""
    return DescopeApi(
        base_url="https://api.descope.test", project_id="P2" + "u" * 26, timeout=timeout, transport=transport
    )


async def start_calls(
    client: DescopeApi, turnstile: BlockingTransport, number: int
) -> list[asyncio.Task[object]]:
    """So many calls, all of which have got as far as they can."""
    calls = [asyncio.ensure_future(refresh(client)) for _ in range(number)]
    await turnstile.full.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    return calls


async def refresh(client: DescopeApi) -> object:
    """One call."""
    return await client.refresh(REFRESH)


async def test_rf08_a_held_answer_is_cut_at_the_deadline() -> None:
    """No verdict within ``timeout`` is no verdict; the connection is given up."""
    turnstile = BlockingTransport()
    with pytest.raises(UpstreamUnavailable) as caught:
        await client_with(turnstile, 0.05).refresh(REFRESH)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert (turnstile.total, turnstile.in_progress) == (1, 0)


@pytest.mark.parametrize(("seconds", "connect"), [(5.0, 2.0), (1.0, 1.0)])
async def test_a_connection_is_given_two_seconds(seconds: float, connect: float) -> None:
    """A host that swallows packets is tried twice within the deadline, if the deadline allows."""
    turnstile = BlockingTransport(is_released=True)
    await client_with(turnstile, seconds).refresh(REFRESH)
    assert turnstile.timeouts == {"connect": connect, "read": seconds, "write": seconds, "pool": seconds}


async def test_rf08_waiting_counts_towards_the_deadline() -> None:
    """A call that stood in the queue ends no later than one that did not."""
    client = client_with(BlockingTransport(), 0.3)
    async with asyncio.timeout(0.55):
        outcomes = await asyncio.gather(*(refresh(client) for _ in range(40)), return_exceptions=True)
    assert all(isinstance(outcome, UpstreamUnavailable) for outcome in outcomes)


async def test_rf10_twenty_calls_are_under_way_at_once() -> None:
    """The others queue in front of the pool, and each gets its turn."""
    turnstile = BlockingTransport()
    calls = await start_calls(client_with(turnstile), turnstile, 50)
    assert turnstile.max_in_progress == 20
    turnstile.released.set()
    await asyncio.gather(*calls)
    assert (turnstile.max_in_progress, turnstile.total) == (20, 50)


async def test_rf08_a_thousand_may_wait_and_the_next_is_turned_away() -> None:
    """Beyond the queue there is an answer at once, and no call; later there is room again."""
    turnstile = BlockingTransport()
    client = client_with(turnstile)
    calls = await start_calls(client, turnstile, 1020)
    with pytest.raises(UpstreamUnavailable):
        await client.refresh(REFRESH)
    turnstile.released.set()
    await asyncio.gather(*calls)
    assert turnstile.total == 1020
    await client.refresh(REFRESH)
    assert turnstile.total == 1021


async def test_a_cancelled_call_frees_its_place() -> None:
    """Those who hang up, under way or waiting, leave room for the next."""
    turnstile = BlockingTransport()
    client = client_with(turnstile)
    calls = await start_calls(client, turnstile, 1020)
    for call in calls:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    turnstile.released.set()
    await asyncio.gather(*(client.refresh(REFRESH) for _ in range(1020)))
    assert turnstile.in_progress == 0


async def test_those_who_wait_at_the_close_are_turned_away() -> None:
    """A call that gets its turn after the close opens no connection that nobody would close."""
    turnstile = BlockingTransport()
    client = client_with(turnstile)
    calls = await start_calls(client, turnstile, 25)
    await client.aclose()
    turnstile.released.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    turned_away = [outcome for outcome in outcomes if isinstance(outcome, UpstreamUnavailable)]
    assert (turnstile.total, len(turned_away)) == (20, 5)


async def test_closing_twice_is_closing_once() -> None:
    """The transport is closed once, and the next call opens the client again."""
    turnstile = BlockingTransport(is_released=True)
    client = client_with(turnstile)
    await client.refresh(REFRESH)
    await client.aclose()
    await client.aclose()
    assert turnstile.close_calls == 1
    await client.refresh(REFRESH)
    await client.aclose()
    assert (turnstile.total, turnstile.close_calls) == (2, 2)


def test_nothing_is_opened_before_the_first_call() -> None:
    """A client can be built without an event loop, and closed unused."""
    turnstile = BlockingTransport()
    asyncio.run(client_with(turnstile).aclose())
    assert (turnstile.total, turnstile.close_calls) == (0, 0)


def test_an_event_loop_closes_what_it_leaves_behind() -> None:
    """Without a lifespan nobody calls ``aclose``; the loop does it, and the next loop starts anew."""
    turnstile = BlockingTransport(is_released=True)
    client = client_with(turnstile)
    asyncio.run(client.logout(REFRESH))
    assert (turnstile.total, turnstile.close_calls) == (1, 1)
    asyncio.run(client.logout(REFRESH))
    assert (turnstile.total, turnstile.close_calls) == (2, 2)


def test_another_loop_has_nothing_to_close() -> None:
    """The connections of a loop that has ended are closed already."""
    turnstile = BlockingTransport(is_released=True)
    client = client_with(turnstile)
    asyncio.run(client.logout(REFRESH))
    asyncio.run(client.aclose())
    assert turnstile.close_calls == 1


def test_a_loop_that_was_closed_without_ceremony_is_left_alone() -> None:
    """Its connections are beyond reach, and closing them from another loop would only fail."""
    turnstile = BlockingTransport(is_released=True)
    client = client_with(turnstile)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.logout(REFRESH))
    loop.close()
    asyncio.run(client.aclose())
    assert turnstile.close_calls == 0
    asyncio.run(client.logout(REFRESH))
    assert (turnstile.total, turnstile.close_calls) == (2, 1)
