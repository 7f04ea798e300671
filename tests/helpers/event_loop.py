"""An event loop in which waiting costs no time, so that deadlines are tested at their real length."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

import pytest


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Whenever nothing is ready, its clock jumps to the next timer instead of sleeping until then.

    For code that waits for nothing outside this loop: a thread or a socket would always come too late.
    To be given to anyio as its ``loop_factory``.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Impatient(self))

    def time(self) -> float:
        """Seconds that have passed in this loop."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let ``seconds`` have passed."""
        self._now += seconds


class _Impatient(selectors.BaseSelector):
    """A selector that never waits for a time: it lets the time pass."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop = loop
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; without anything, ``timeout`` has passed at once."""
        if timeout is None:
            return self._real.select(None)
        ready = self._real.select(0)
        if not ready:
            self._loop.jump(timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the real selector does."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As the real selector does."""
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the real selector does."""
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """As the real selector does."""
        return self._real.get_map()

    def close(self) -> None:
        """As the real selector does."""
        self._real.close()


in_virtual_time = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"loop_factory": VirtualTimeLoop})], ids=["virtual time"]
)
"""Runs one test in such a loop; a whole module overrides the fixture ``anyio_backend``."""


async def run_ready() -> None:
    """Run all tasks that are ready to run, and the tasks that they make ready."""
    for _ in range(10):
        await asyncio.sleep(0)
