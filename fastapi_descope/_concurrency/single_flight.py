"""Single flight: however many ask for the same thing at once, it is fetched once.

The call outlives its callers: a client that hangs up cancels its own wait and nothing else, so what the
call brings home (a rotated refresh token, a key set) is never lost with it (requirement RF-06).
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs a call at most once per key at a time, and hands its outcome to all who wait.

    A flight belongs to the event loop that started it. One left behind by a loop that has ended is
    forgotten, so that an object may serve several loops one after the other.
    """

    def __init__(self) -> None:
        self._flights: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, call: Callable[[], Coroutine[None, None, V]]) -> V:
        """The outcome of the call in flight for ``key``, or of ``call`` if there is none.

        Raises whatever the call raised, to every waiter. Cancelling a waiter leaves the call running.
        """
        return await asyncio.shield(self.start(key, call))

    def start(self, key: K, call: Callable[[], Coroutine[None, None, V]]) -> asyncio.Task[V]:
        """The task in flight for ``key``, begun now if there is none; nobody has to await it."""
        flight = self.current(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(call())
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._run(key, done))
        return flight

    def current(self, key: K) -> asyncio.Task[V] | None:
        """The task in flight for ``key`` in this event loop, or None."""
        flight = self._flights.get(key)
        if flight is None or flight.get_loop() is not asyncio.get_running_loop():
            return None
        return flight

    async def drain(self, seconds: float) -> None:
        """Wait until every flight has landed, at most ``seconds``; then cancel what is left."""
        loop = asyncio.get_running_loop()
        flights = [flight for flight in self._flights.values() if flight.get_loop() is loop]
        if not flights:
            return
        _, late = await asyncio.wait(flights, timeout=seconds)
        for flight in late:
            flight.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _run(self, key: K, flight: asyncio.Task[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        # Reading the outcome marks it as seen: a flight whose waiters all left is not a bug to report.
        if not flight.cancelled():
            flight.exception()
