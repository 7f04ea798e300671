"""A cleanup function that runs when its event loop shuts down."""

from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["LoopFinalizer"]


class LoopFinalizer:
    """Runs an async cleanup function once: in ``aclose``, or when its event loop shuts down.

    It relies on ``loop.shutdown_asyncgens``, which ``asyncio.run`` and test clients call: that closes every
    async generator the loop still knows. An app whose lifespan never runs therefore leaks no socket.
    """

    def __init__(self, cleanup: Callable[[], Awaitable[None]]) -> None:
        self._generator = _run_when_closed(cleanup)

    async def register(self) -> None:
        """Register the cleanup function with the running event loop."""
        await anext(self._generator)

    async def aclose(self) -> None:
        """Run the cleanup function now, unless it has run already."""
        await self._generator.aclose()


async def _run_when_closed(cleanup: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await cleanup()
