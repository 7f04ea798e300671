"""A deadline by the time that the event loop had to see it, rather than by the clock alone.

A busy process reads the answers to its questions late. By the clock, its own business would pass for an
outage of whoever it asked: a burst of requests with one dead session would make every worker of a fleet
give up Redis and refresh for itself, which with rotation is the end of the session (RF-03).
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

__all__ = ["lag_tolerant_timeout"]

_PARTS = 50
"""More turns of the loop than it takes to connect to Redis, say hello, and have an answer: about 15."""


@asynccontextmanager
async def lag_tolerant_timeout(seconds: float) -> AsyncGenerator[None]:
    """Raise ``TimeoutError`` where the block takes more than ``seconds``, as ``asyncio.timeout`` does.

    They pass in fifty parts, each of which lasts until the loop gets round to seeing it end. In a loop with
    nothing else to do that makes no difference; in one that is late, what the block waits for has had
    fifty turns to arrive. So it takes at most ``seconds`` and the time that the loop was busy.
    """
    loop = asyncio.get_running_loop()
    part = seconds / _PARTS
    timers: list[asyncio.TimerHandle] = []

    def wait(parts: int) -> None:
        """Let one part pass, of as many as are left."""
        timers[:] = [loop.call_later(part, end, parts - 1)]

    def end(parts: int) -> None:
        """A part is over: go on with the next, or call it a timeout."""
        if parts:
            wait(parts)
        else:
            deadline.reschedule(loop.time())

    async with asyncio.timeout(None) as deadline:
        wait(_PARTS)
        try:
            yield
        finally:
            timers[0].cancel()
