"""The cache of Descope's key set: when it is fetched, and how long it may be used."""

# Once there are keys, a request never waits for Descope: an old set is used while one fetch runs, and a
# failed fetch leaves the last good set in force (JW-05). A set is replaced and never merged, so that a key
# that Descope withdraws stops working (JW-01).

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from .._concurrency import SingleFlight
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
_MAX_BACKOFF = 60
_REFETCH_INTERVAL = 30

_MAX_DOUBLINGS = 6

logger = logging.getLogger("fastapi_descope")


class JwksCache:
    """Keeps one key set current.

    At most one fetch runs at a time. It continues if callers that wait for it are cancelled. After a failed
    fetch the next one waits at least a second, and up to a minute after repeated failures.
    """

    # One fetch at a time: JW-03.

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
        """Create an empty cache; nothing is fetched.

        Args:
            fetch: Fetches the key set.
            monotonic: Returns seconds.
            events: Receives ``JwksFetched`` and ``JwksFetchFailed``.
            max_stale: Seconds for which a key set is used if no later fetch succeeds.
            on_change: Called when the keys in force change.
            jitter: Returns a random number between 0 and 1, for the delay after a failed fetch.
        """
        self._fetch = fetch
        self._monotonic = monotonic
        self._events = events
        self._max_stale = max_stale
        self._on_change = on_change
        self._jitter = jitter
        self._log_once = LogOnce()
        self._flights = SingleFlight[str, None]()
        self._key_set = KeySet(MappingProxyType({}))
        self._failures = 0
        # All in monotonic seconds: when to fetch next, when the set may no longer be used, when another
        # fetch is allowed after a failure, and when an unknown key may cause a fetch again.
        self._fetch_at = self._expires_at = self._retry_at = self._refetch_at = -math.inf
        self.check_at = -math.inf
        """Until then (monotonic seconds), there are keys in force and ``get_nowait`` starts nothing."""

    def get_nowait(self, *, fetch_if_empty: bool = True) -> Mapping[str, Key] | None:
        """Return the keys in force, or None if there are none. Never waits; starts a fetch if one is due.

        With ``fetch_if_empty=False`` an existing set is renewed, but the first one is not fetched.
        """
        # The token may not be well-formed yet, and a malformed token must not cause a fetch (JW-02).
        now = self._monotonic()
        if now >= self._fetch_at and (fetch_if_empty or self._key_set.keys):
            self._flights.start("keys", self._renew)
        return self._keys_at(now)

    async def keys(self) -> Mapping[str, Key]:
        """Return the keys in force. Waits for a fetch if there are none.

        Raises:
            UpstreamUnavailable: the fetch failed, or it is too early for another one.
        """
        # An outage before the first fetch is 503 for the client and not 401 (JW-07).
        keys = self.get_nowait()
        if keys is None:
            await self._wait_for_fetch()
            keys = self._keys_at(self._monotonic())
        if keys is None:
            raise self._unavailable()
        return keys

    async def refetch_for_unknown_kid(self) -> bool:
        """Wait for a fetch of the key set. Return False if none was made, because the last one is too recent.

        Joins a running fetch or starts one. Unknown keys cause at most one fetch in 30 seconds.

        Raises:
            UpstreamUnavailable: the last fetch failed, so it is unknown whether the key exists.
        """
        # JW-02.
        if self._flights.current("keys") is None:
            now = self._monotonic()
            if now < max(self._refetch_at, self._retry_at):
                if self._failures:
                    raise self._unavailable()
                return False
            self._refetch_at = now + _REFETCH_INTERVAL
            self._flights.start("keys", self._renew)
        await self._wait_for_fetch()
        return True

    async def aclose(self) -> None:
        """Cancel the running fetch, if any. Callers that wait for it get ``UpstreamUnavailable``."""
        await self._flights.drain(0)

    def _keys_at(self, now: float) -> Mapping[str, Key] | None:
        return self._key_set.keys if now < self._expires_at else None

    async def _wait_for_fetch(self) -> None:
        """Wait until the running fetch, if any, has finished. Its result is then in this object."""
        fetch = self._flights.current("keys")
        if fetch is None:
            return
        # Unlike ``await fetch``, this cancels neither the fetch with its caller nor vice versa (JW-04).
        await asyncio.wait((fetch,))
        if not fetch.cancelled():
            fetch.result()

    async def _renew(self) -> None:
        try:
            body, max_age = await self._fetch()
            fetched = parse_key_set(body)
        except UpstreamError as error:
            self._record_failure(error)
        else:
            self._replace(fetched, max_age)

    def _replace(self, fetched: KeySet, max_age: int | None) -> None:
        now = self._monotonic()
        # The header can cause neither a fetch per request nor a year without one (JW-13).
        fresh = _MAX_FRESH if max_age is None else min(max(max_age, _MIN_FRESH), _MAX_FRESH)
        self._fetch_at, self._expires_at = now + min(fresh, self._max_stale), now + self._max_stale
        self.check_at = self._fetch_at
        self._retry_at = now
        self._failures = 0
        before, self._key_set = self._key_set, fetched
        if fetched.keys != before.keys:
            self._on_change()
        if fetched != before:
            _log_rejected_keys(fetched)
        self._events.emit(JwksFetched(len(fetched.keys)))

    def _record_failure(self, error: UpstreamError) -> None:
        self._retry_at = self._monotonic() + self._backoff(error)
        self._fetch_at = max(self._fetch_at, self._retry_at)
        self.check_at = min(self._fetch_at, self._expires_at)
        if isinstance(error, CircuitOpen):  # nothing was sent, and the guard has already emitted an event
            return
        if not isinstance(error, UpstreamRejected):
            self._events.emit(JwksFetchFailed(_failure_reason(error)))
            return
        self._events.emit(JwksFetchFailed(error.code, error.upstream_status, error.upstream_code))
        self._log_once.warning(
            f"Descope knows no keys of this project (status {error.upstream_status}, code"
            f" {error.upstream_code or 'none'}): check DESCOPE_PROJECT_ID and DESCOPE_BASE_URL"
        )

    def _backoff(self, error: UpstreamError) -> float:
        """Return the seconds until the next fetch is allowed."""
        if isinstance(error, CircuitOpen):
            # Nothing was sent, so this is not another failure, and the time of the next probe is known.
            self._failures = max(self._failures, 1)
            return error.retry_after
        self._failures += 1
        step = float(min(2 ** min(self._failures - 1, _MAX_DOUBLINGS), _MAX_BACKOFF))
        minimum = error.retry_after if isinstance(error, RateLimited) else 1
        return max(step * (1 + self._jitter()) / 2, minimum)

    def _unavailable(self) -> UpstreamUnavailable:
        seconds = self._retry_at - self._monotonic()
        return UpstreamUnavailable(math.ceil(max(seconds, 1)))


def _failure_reason(error: UpstreamError) -> str:
    match error:
        case InvalidUpstreamResponse(reason=reason):
            return reason
        case UpstreamUnavailable(failure=str(failure)):
            return failure
        case _:
            return error.code


def _log_rejected_keys(key_set: KeySet) -> None:
    """Log the rejected keys of a new set. A published private key is an error, all else a warning."""
    for key in key_set.rejected:
        level = logging.ERROR if key.reason is RejectReason.PRIVATE else logging.WARNING
        logger.log(level, "fastapi_descope: key %s of the key set is not used: %s", key.kid_hash, key.reason)
