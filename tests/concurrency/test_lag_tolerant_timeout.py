"""The timeout of the Redis client: event-loop lag is not an outage of Redis (RF-03, RD-02)."""

import asyncio

import pytest

from fastapi_descope._concurrency import lag_tolerant_timeout
from tests.helpers.event_loop import VirtualTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run the tests in virtual time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


def loop() -> VirtualTimeLoop:
    """Return the running event loop."""
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running


async def test_rd02_an_idle_loop_times_out_after_the_given_seconds() -> None:
    """Without lag it behaves like ``asyncio.timeout``."""
    with pytest.raises(TimeoutError):
        async with lag_tolerant_timeout(0.25):
            await asyncio.sleep(60)
    assert loop().time() == pytest.approx(0.25)


async def test_a_block_that_ends_in_time_leaves_no_timer() -> None:
    """The timeout does not fire after the block."""
    async with lag_tolerant_timeout(0.25):
        await asyncio.sleep(0.24)
    await asyncio.sleep(60)


async def test_rf03_event_loop_lag_does_not_count() -> None:
    """Each iteration takes longer than the timeout, yet a reply that needs forty iterations arrives."""
    async with lag_tolerant_timeout(0.25):
        for _ in range(40):
            loop().jump(0.3)
            await asyncio.sleep(0)


async def test_a_lagging_loop_times_out_eventually() -> None:
    """It takes longer, but not forever."""

    async def be_busy() -> None:
        while True:
            loop().jump(0.3)
            await asyncio.sleep(0)

    busy = asyncio.create_task(be_busy())
    with pytest.raises(TimeoutError):
        async with lag_tolerant_timeout(0.25):
            await asyncio.sleep(60)
    busy.cancel()
    assert 50 * 0.3 <= loop().time() < 120 * 0.3


async def test_errors_of_the_block_are_raised() -> None:
    """Errors and cancellations pass through."""
    with pytest.raises(ConnectionError):
        async with lag_tolerant_timeout(0.25):
            raise ConnectionError
    with pytest.raises(asyncio.CancelledError):
        async with lag_tolerant_timeout(0.25):
            raise asyncio.CancelledError
