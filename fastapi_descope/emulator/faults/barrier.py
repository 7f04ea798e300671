"""Where held calls wait: lets a test stop the emulator in mid-answer without sleeping."""

import asyncio
from dataclasses import dataclass, field
from threading import Lock

__all__ = ["Barrier"]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """Somebody waiting in an event loop, which may be another thread's."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.event.set)


class Barrier:
    """Calls wait in it until it is opened; others may wait for calls to arrive. Safe across threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: list[_Waiter] = []
        self._watchers: list[_Waiter] = []

    async def wait(self) -> None:
        """Wait here until the gate is opened."""
        waiter = _Waiter()
        with self._lock:
            self._held.append(waiter)
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.wake()
        try:
            await waiter.event.wait()
        finally:
            with self._lock:
                self._held = [other for other in self._held if other is not waiter]

    async def wait_for_waiters(self, count: int) -> None:
        """Wait until ``count`` calls are waiting at the same time."""
        while (watcher := self._watch(count)) is not None:
            await watcher.event.wait()

    def release(self) -> None:
        """Let all go on who wait now."""
        with self._lock:
            held, self._held = self._held, []
        for waiter in held:
            waiter.wake()

    def _watch(self, count: int) -> _Waiter | None:
        with self._lock:
            if len(self._held) >= count:
                return None
            watcher = _Waiter()
            self._watchers.append(watcher)
            return watcher
