"""The key set in force: when it is fetched, and how long it may be used.

The request path never waits for Descope once keys are there: a set past its time is used while one
fetch runs beside the request, and a failed fetch leaves the last good set in force (JW-05). A set is
replaced, never merged, so that a key which Descope withdraws stops working (JW-01).
"""

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from .._concurrency.single_flight import SingleFlight
from .._telemetry.log_once import LogOnce
from ..errors import (
    CircuitOpen,
    InvalidUpstreamResponse,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import EventBus, JwksFetched, JwksFetchFailed
from .claims import Key
from .jwks import KeySet, RejectReason, parse_key_set

__all__ = ["Fetch", "JwksCache"]

Fetch = Callable[[], Awaitable[tuple[bytes, int | None]]]
"""Fetches the key set: its body, and the ``max-age`` of its Cache-Control header in seconds, if any."""

# Seconds.
_MIN_FRESH, _MAX_FRESH = 60, 600
_MAX_BACKOFF, _MAX_DOUBLINGS = 60, 6
_BETWEEN_LOOKS = 30

logger = logging.getLogger("fastapi_descope")


class JwksCache:
    """Keeps one key set current. The times of ``monotonic`` and ``max_stale`` are seconds.

    At most one fetch runs at a time, whoever asked for it and whoever stops waiting (JW-03). After a
    failure the next one is at least a second away, and up to a minute as failures add up. ``on_change``
    is called whenever the keys in force are not those of before.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        monotonic: Callable[[], float],
        events: EventBus,
        max_stale: float,
        on_change: Callable[[], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._events = events
        self._max_stale = max_stale
        self._on_change = on_change
        self._jitter = jitter
        self._advice = LogOnce()
        self._flights = SingleFlight[str, None]()
        self._set = KeySet(MappingProxyType({}))
        self._failures = 0
        # All in monotonic seconds: when to fetch next, when the set stops counting, when the last
        # failure allows another try, and when an unknown key may cause a fetch again.
        self._due = self._dead_at = self._retry_at = self._look_at = -math.inf

    def get_nowait(self, *, fetch_if_empty: bool = True) -> Mapping[str, Key] | None:
        """The keys in force, or None if there are none; never waits. Begins a fetch if one is due.

        Without ``first`` it renews a set, but does not begin with one: what asks may not even be
        well-formed, and nonsense must not cause a fetch (JW-02).
        """
        now = self._monotonic()
        if now >= self._due and (fetch_if_empty or self._set.keys):
            self._flights.start("keys", self._renew)
        return self._in_force(now)

    async def keys(self) -> Mapping[str, Key]:
        """The keys in force, once there are any: waits for the fetch under way if there are none.

        Raises UpstreamUnavailable if that does not bring them, or if it is too early for another try: an
        outage before the first fetch refuses nobody (JW-07).
        """
        keys = self.get_nowait()
        if keys is None:
            await self._landing()
            keys = self._in_force(self._monotonic())
        if keys is None:
            raise self._unavailable()
        return keys

    async def refetch_for_unknown_kid(self) -> bool:
        """Whether the set was fetched once more, so that asking it for an unknown key anew makes sense.

        Joins a fetch under way, or begins one: 30 seconds apart at most, however many unknown keys are
        presented (JW-02). Raises UpstreamUnavailable if the last attempt failed: it cannot be told then
        whether the key exists, and nobody is refused for it.
        """
        if self._flights.current("keys") is None:
            now = self._monotonic()
            if now < max(self._look_at, self._retry_at):
                if self._failures:
                    raise self._unavailable()
                return False
            self._look_at = now + _BETWEEN_LOOKS
            self._flights.start("keys", self._renew)
        await self._landing()
        return True

    async def aclose(self) -> None:
        """End a fetch under way. Those who wait for it get UpstreamUnavailable."""
        await self._flights.drain(0)

    def _in_force(self, now: float) -> Mapping[str, Key] | None:
        return self._set.keys if now < self._dead_at else None

    async def _landing(self) -> None:
        """Wait for the fetch under way, if any: not for its outcome, which is in this object then (JW-04)."""
        flight = self._flights.current("keys")
        if flight is None:
            return
        # Unlike awaiting the task, this neither cancels it with its waiter nor the waiter with it.
        await asyncio.wait((flight,))
        if not flight.cancelled():
            flight.result()

    async def _renew(self) -> None:
        try:
            body, max_age = await self._fetch()
            fetched = parse_key_set(body)
        except UpstreamError as error:
            self._note_failure(error)
        else:
            self._adopt(fetched, max_age)

    def _adopt(self, fetched: KeySet, max_age: int | None) -> None:
        now = self._monotonic()
        # Whatever the header says: neither a fetch for each request, nor a year without one (JW-13).
        fresh = _MAX_FRESH if max_age is None else min(max(max_age, _MIN_FRESH), _MAX_FRESH)
        self._due, self._dead_at = now + min(fresh, self._max_stale), now + self._max_stale
        self._retry_at = now
        self._failures = 0
        before, self._set = self._set, fetched
        if fetched.keys != before.keys:
            self._on_change()
        if fetched != before:
            _report(fetched)
        self._events.emit(JwksFetched(len(fetched.keys)))

    def _note_failure(self, error: UpstreamError) -> None:
        self._retry_at = self._monotonic() + self._pause_after(error)
        self._due = max(self._due, self._retry_at)
        if isinstance(error, CircuitOpen):  # nothing was sent, and why is told already
            return
        if not isinstance(error, UpstreamRejected):
            self._events.emit(JwksFetchFailed(_reason(error)))
            return
        self._events.emit(JwksFetchFailed(error.code, error.upstream_status, error.upstream_code))
        self._advice.warning(
            f"Descope knows no keys of this project (status {error.upstream_status}, code"
            f" {error.upstream_code or 'none'}): check DESCOPE_PROJECT_ID and DESCOPE_BASE_URL"
        )

    def _pause_after(self, error: UpstreamError) -> float:
        """Seconds until the next try."""
        if isinstance(error, CircuitOpen):
            # Nothing was sent: no further failure, and the time at which Descope is tried again is known.
            self._failures = max(self._failures, 1)
            return error.retry_after
        self._failures += 1
        step = float(min(2 ** min(self._failures - 1, _MAX_DOUBLINGS), _MAX_BACKOFF))
        asked = error.retry_after if isinstance(error, RateLimited) else 1
        return max(step * (1 + self._jitter()) / 2, asked)

    def _unavailable(self) -> UpstreamUnavailable:
        wait = self._retry_at - self._monotonic()
        return UpstreamUnavailable(math.ceil(max(wait, 1)))


def _reason(error: UpstreamError) -> str:
    match error:
        case InvalidUpstreamResponse(reason=reason):
            return reason
        case UpstreamUnavailable(failure=str(failure)):
            return failure
        case _:
            return error.code


def _report(fetched: KeySet) -> None:
    """Say once per set what was left out; a private key in public is more than a warning."""
    for key in fetched.rejected:
        level = logging.ERROR if key.reason is RejectReason.PRIVATE else logging.WARNING
        logger.log(level, "fastapi_descope: key %s of the key set is not used: %s", key.kid_hash, key.reason)
