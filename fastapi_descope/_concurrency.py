"""Concurrency: single flight, pacing, circuit breaker, and cleanup at the end of an event loop."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable, Iterable
from contextlib import AsyncExitStack
from random import random
from typing import Generic, Protocol, TypeVar

__all__ = ["CircuitBreaker", "LoopFinalizer", "Pacer", "SingleFlight", "close_all"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs at most one call per key at a time and gives its result to every waiter.

    The call outlives its waiters: a client that disconnects cancels its own wait only, so the result
    of the call, such as a rotated refresh token or a key set, is never lost.

    A flight belongs to the event loop that started it. A flight of a loop that has ended is ignored, so one
    object may serve several loops in turn.
    """

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, call: Callable[[], Coroutine[None, None, V]]) -> V:
        """Wait for the call in flight for ``key``, or for ``call`` if there is none, and return its result.

        Every waiter gets the exception if the call raises. Cancelling a waiter does not cancel the call.
        """
        # RF-06: the call outlives its waiters.
        return await asyncio.shield(self.start(key, call))

    def start(self, key: K, call: Callable[[], Coroutine[None, None, V]]) -> asyncio.Task[V]:
        """Return the task in flight for ``key``; start ``call`` if there is none. It need not be awaited."""
        flight = self.current(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(call())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._forget(key, done))
        return flight

    def current(self, key: K) -> asyncio.Task[V] | None:
        """Return the task in flight for ``key`` in this event loop, or None."""
        flight = self._flights.get(key)
        if flight is None or flight.get_loop() is not asyncio.get_running_loop():
            return None
        return flight

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for every flight, then cancel those that have not finished."""
        loop = asyncio.get_running_loop()
        flights = [flight for flight in self._flights.values() if flight.get_loop() is loop]
        if not flights:
            return
        _, late = await asyncio.wait(flights, timeout=seconds)
        for flight in late:
            flight.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _forget(self, key: K, flight: asyncio.Task[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        # Retrieve the exception: asyncio would report it as never retrieved if every waiter has left.
        if not flight.cancelled():
            flight.exception()


class Pacer:
    """Spreads the steps of a burst over iterations of the event loop: a few in each, in order of arrival.

    An event loop runs everything that is ready before it reads from its sockets again. A thousand requests
    that arrive together would do all their work in one iteration, and every other request would wait for it.

    It may serve several event loops in turn.

    Args:
        per_iteration: How many turns one iteration has at most.

    Attributes:
        waiting: How many callers wait for their turn.
    """

    def __init__(self, per_iteration: int) -> None:
        self.waiting = 0
        self._per_iteration = per_iteration
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(per_iteration)
        self._taken = 0

    async def turn(self) -> None:
        """Take a turn. Waits only if this iteration has none left or others wait."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._turns, self._taken = loop, asyncio.Semaphore(self._per_iteration), 0
        self.waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting -= 1
        if self._taken == 0:
            loop.call_soon(self._begin_iteration)
        self._taken += 1

    def _begin_iteration(self) -> None:
        taken, self._taken = self._taken, 0
        for _ in range(taken):
            self._turns.release()


class CircuitBreaker:
    """Opens after repeated failures, and closes after a successful probe.

    The first probe is due after ``min_delay`` seconds. Each later delay is twice as long, up to
    ``max_delay``. Jitter takes off up to half of a delay, so that many processes do not probe in step.

    Args:
        monotonic: Returns seconds.
        failures: How many failures in a row open the breaker.
        window: How many seconds may pass between the first and the last of them.
        min_delay: Seconds before the first probe.
        max_delay: The longest delay in seconds.
        probe_timeout: Seconds that a probe may take. No other probe is due during that time; a
            probe whose result is never recorded blocks the next for no longer than this.
        jitter: Returns a number from 0 to 1; at 1 the delay is not shortened.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        failures: int = 1,
        window: float = math.inf,
        min_delay: float = 1.0,
        max_delay: float = 30.0,
        probe_timeout: float = 0.0,
        jitter: Callable[[], float] = random,
    ) -> None:
        self._monotonic = monotonic
        self._failed_at: deque[float] = deque(maxlen=failures)
        self._failures = failures
        self._window = window
        self._min_delay = min_delay
        self._max_delay = max_delay
        self._probe_timeout = probe_timeout
        self._jitter = jitter
        self._delay = min_delay
        self._probe_at: float | None = None

    def is_open(self) -> bool:
        """Return whether the breaker is open, a probe in flight included."""
        return self._probe_at is not None

    def seconds_left(self) -> float:
        """Return the seconds until the next probe is due: 0 if it is due now, and while closed."""
        return 0.0 if self._probe_at is None else max(0.0, self._probe_at - self._monotonic())

    def record_failure(self, min_wait: float = 0.0) -> bool:
        """Record a failure; return True if it opens the breaker, which was closed until now.

        ``min_wait``: seconds that the service asked to wait. No probe is due earlier.
        """
        now = self._monotonic()
        if self._probe_at is not None:
            self._probe_at = max(self._probe_at, now + min_wait)
            return False
        self._failed_at.append(now)
        if len(self._failed_at) < self._failures or now - self._failed_at[0] > self._window:
            return False
        self._schedule_probe(self._min_delay, at_least=min_wait)
        return True

    def try_probe(self) -> bool:
        """Return whether the caller is to probe the service now, and schedule the next probe."""
        if self._probe_at is None or self.seconds_left() > 0:
            return False
        self._schedule_probe(min(2 * self._delay, self._max_delay), at_least=self._probe_timeout)
        return True

    def release_probe(self) -> None:
        """Record that the probe had no result, so that the next caller probes."""
        if self._probe_at is not None:
            self._delay, self._probe_at = self._delay / 2, self._monotonic()

    def record_success(self) -> None:
        """Close the breaker and forget earlier failures."""
        self._probe_at = None
        self._failed_at.clear()

    def _schedule_probe(self, delay: float, *, at_least: float) -> None:
        self._delay = delay
        self._probe_at = self._monotonic() + max(delay * (1 + self._jitter()) / 2, at_least)


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


class _Closable(Protocol):
    async def aclose(self) -> None: ...


async def close_all(resources: Iterable[_Closable]) -> None:
    """Close all resources, the last one first, although closing another one raises or is cancelled."""
    async with AsyncExitStack() as stack:
        for each in resources:
            stack.push_async_callback(each.aclose)
