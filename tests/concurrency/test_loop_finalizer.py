"""Cleanup at the end of an event loop, or before."""

import asyncio

from fastapi_descope._concurrency import LoopFinalizer


class Cleanup:
    """Counts the runs of a cleanup function."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self) -> None:
        """Yield to the loop once, as closing a connection does."""
        await asyncio.sleep(0)
        self.runs += 1


async def register(cleanup: Cleanup) -> LoopFinalizer:
    """Register a cleanup function with the running loop."""
    finalizer = LoopFinalizer(cleanup)
    await finalizer.register()
    return finalizer


def test_cleanup_runs_when_the_loop_shuts_down() -> None:
    """``asyncio.run`` closes the async generators of its loop."""
    cleanup = Cleanup()
    finalizer = asyncio.run(register(cleanup))
    assert cleanup.runs == 1
    asyncio.run(finalizer.aclose())
    assert cleanup.runs == 1


def test_aclose_runs_the_cleanup_once() -> None:
    """Neither a second ``aclose`` nor the end of the loop runs it again."""
    cleanup = Cleanup()

    async def close_twice() -> None:
        finalizer = await register(cleanup)
        assert cleanup.runs == 0
        await finalizer.aclose()
        assert cleanup.runs == 1
        await finalizer.aclose()

    asyncio.run(close_twice())
    assert cleanup.runs == 1


def test_cleanup_does_not_run_without_register() -> None:
    """A finalizer that was never registered has nothing to clean up."""
    cleanup = Cleanup()
    asyncio.run(LoopFinalizer(cleanup).aclose())
    assert cleanup.runs == 0
