"""A deadline that tells a process which is busy from a server which is silent (RF-03, RD-02)."""

import asyncio

import pytest

from fastapi_descope._refresh.redis.lag_tolerant_timeout import lag_tolerant_timeout
from tests.helpers.event_loop import VirtualTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Time is virtual."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


def loop() -> VirtualTimeLoop:
    """The loop of the test."""
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualTimeLoop)
    return running


async def test_rd02_silence_is_cut_off_in_time() -> None:
    """In a loop that is free, the seconds are seconds."""
    with pytest.raises(TimeoutError):
        async with lag_tolerant_timeout(0.25):
            await asyncio.sleep(60)
    assert loop().time() == pytest.approx(0.25)


async def test_what_is_in_time_is_left_alone() -> None:
    """Nothing of the deadline remains."""
    async with lag_tolerant_timeout(0.25):
        await asyncio.sleep(0.24)
    await asyncio.sleep(60)


async def test_rf03_a_loop_that_is_late_is_no_outage() -> None:
    """Each turn takes longer than the deadline; an answer that takes forty turns is waited for."""
    async with lag_tolerant_timeout(0.25):
        for _ in range(40):
            loop().jump(0.3)
            await asyncio.sleep(0)


async def test_silence_is_cut_off_in_a_loop_that_is_late_too() -> None:
    """It takes longer, not for ever."""

    async def be_busy() -> None:
        while True:
            loop().jump(0.3)
            await asyncio.sleep(0)

    business = asyncio.create_task(be_busy())
    with pytest.raises(TimeoutError):
        async with lag_tolerant_timeout(0.25):
            await asyncio.sleep(60)
    business.cancel()
    assert 50 * 0.3 <= loop().time() < 120 * 0.3


async def test_what_goes_wrong_in_time_is_what_is_raised() -> None:
    """Errors and cancellations of the block pass through."""
    with pytest.raises(ConnectionError):
        async with lag_tolerant_timeout(0.25):
            raise ConnectionError
    with pytest.raises(asyncio.CancelledError):
        async with lag_tolerant_timeout(0.25):
            raise asyncio.CancelledError
