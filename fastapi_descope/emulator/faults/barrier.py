"""A barrier at which calls wait, so that tests can stop the emulator within a response without sleeping."""

import asyncio
from dataclasses import dataclass, field
from threading import Lock

__all__ = ["Barrier"]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """A task that waits, possibly in the event loop of another thread."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.event.set)


class Barrier:
    """Tasks wait until it is released; others may wait for them to arrive. Safe across threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiters: list[_Waiter] = []
        self._watchers: list[_Waiter] = []

    async def wait(self) -> None:
        """Wait until the barrier is released."""
        waiter = _Waiter()
        with self._lock:
            self._waiters.append(waiter)
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.wake()
        try:
            await waiter.event.wait()
        finally:
            with self._lock:
                self._waiters = [other for other in self._waiters if other is not waiter]

    async def wait_for_waiters(self, count: int) -> None:
        """Wait until ``count`` tasks are waiting at the same time."""
        while (watcher := self._watch(count)) is not None:
            await watcher.event.wait()

    def release(self) -> None:
        """Let all tasks that wait now continue."""
        with self._lock:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake()

    def _watch(self, count: int) -> _Waiter | None:
        with self._lock:
            if len(self._waiters) >= count:
                return None
            watcher = _Waiter()
            self._watchers.append(watcher)
            return watcher
