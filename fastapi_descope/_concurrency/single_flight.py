"""Single flight: concurrent callers that need the same result share one call."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs at most one call per key at a time and gives its result to every waiter.

    The call outlives its waiters (RF-06): a client that disconnects cancels its own wait only, so the result
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
