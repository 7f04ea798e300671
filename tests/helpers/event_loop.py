"""An event loop with virtual time, so that tests of timeouts use their real lengths and take no time."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

import pytest


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when nothing is ready, instead of sleeping.

    Only for code that waits for nothing outside this loop: a thread or a socket would always be too late.
    Pass it to anyio as ``loop_factory``.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_VirtualTimeSelector(self))

    def time(self) -> float:
        """Return the virtual seconds since the loop was created."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Advance the clock by ``seconds``."""
        self._now += seconds


class _VirtualTimeSelector(selectors.BaseSelector):
    """A selector that advances the clock of its loop instead of waiting."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the ready file objects. If there are none, advance the clock by ``timeout``."""
        if timeout is None:
            return self._real.select(None)
        ready = self._real.select(0)
        if not ready:
            self._loop.jump(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Delegate to the real selector."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Delegate to the real selector."""
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Delegate to the real selector."""
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Delegate to the real selector."""
        return self._real.get_map()

    def close(self) -> None:
        """Delegate to the real selector."""
        self._real.close()


in_virtual_time = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"loop_factory": VirtualTimeLoop})], ids=["virtual time"]
)
"""Run one test in virtual time. To run a whole module in it, override the fixture ``anyio_backend``."""


class IterationCounter:
    """Counts the iterations of the running event loop, from its construction on."""

    def __init__(self) -> None:
        self.number = 0
        self._count()

    def _count(self) -> None:
        self.number += 1
        asyncio.get_running_loop().call_soon(self._count)


async def run_ready(iterations: int = 10) -> None:
    """Run all tasks that are ready to run, and the tasks that they make ready."""
    for _ in range(iterations):
        await asyncio.sleep(0)
