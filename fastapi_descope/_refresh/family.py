"""A token family in the store: its current token, its lease, and the outcomes of its refreshes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import assert_never

from ..errors import (
    DescopeError,
    InvalidUpstreamResponse,
    RateLimited,
    SessionEnded,
    TokenReason,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import Event, RefreshFailed, RefreshRefused, SessionRefreshed
from ..session import AuthSession, TokenPair
from .store import Lease, RefreshResult, RefreshStore

__all__ = [
    "NEGATIVE_TTL",
    "UNDELIVERED_TTL",
    "CachePolicy",
    "Ended",
    "FlightResult",
    "Outcome",
    "RefreshNeeded",
    "Renewed",
    "SwitchFailed",
    "TokenFamily",
    "TooLarge",
    "Unavailable",
    "classify",
]

# RF-06, RF-14
UNDELIVERED_TTL = 600.0
"""Seconds for which a result is cached, unless a browser presents its refresh token earlier."""

# RF-16, RF-17
NEGATIVE_TTL = 30.0
"""Seconds for which a rejection is cached, so that a dead token costs one call to Descope in that time.

Also the delay before the next call if a new session token had expired on arrival.
"""

_INVALID_RESPONSE_TTL = 5.0
"""Seconds before the next call after a response that is not Descope's.

A firewall's error page arrives at once; without a delay, every request would cause a call.
"""

_MIN_POLL_SECONDS, _MAX_POLL_SECONDS = 0.05, 0.4

_SESSION_ENDED_STATUSES = frozenset({400, 401, 403})
"""With one of these statuses, a well-formed error of Descope means that the session has ended."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The session continues with a new pair of tokens, both verified and issued to the same user."""

    pair: TokenPair


@dataclass(frozen=True, slots=True)
class Ended:
    """Descope, or a logout in this app, ended the session.

    ``superseded``: a concurrent logout or login of the same browser ended it. The response of that request
    writes the cookies. Other responses must leave them alone: they may belong to a new session.
    """

    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The state of the session is unknown: an outage, a rate limit or an invalid response.

    ``retry_after`` is in seconds.
    """

    retry_after: int = 5


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The session continues at Descope, but its new tokens are too long for cookies (CK-08)."""


Outcome = Renewed | Ended | Unavailable | TooLarge


@dataclass(frozen=True, slots=True)
class SwitchFailed:
    """A tenant switch failed, so requests that waited for it still have to refresh."""

    error: DescopeError


@dataclass(frozen=True, slots=True)
class RefreshNeeded:
    """A cached result cannot be used; ``token`` is the refresh token to exchange."""

    token: str


FlightResult = Outcome | SwitchFailed
"""The result of one operation on a session. Concurrent requests with the same token share it."""


# Requirement 2.9 (RF-01):
#
# response of Descope                    outcome        cookies
# 200, both tokens verified              Renewed        both written
# 400, 401, 403 with a Descope error     Ended          cleared, unless superseded
# 200, a token is too long               TooLarge       kept
# anything else                          Unavailable    kept
def classify(exchanged: TokenPair | UpstreamError) -> tuple[Outcome, Event]:
    """Return the outcome of a refresh and the event to emit, given the verified pair or the error."""
    match exchanged:
        case TokenPair(session=session):
            return Renewed(exchanged), SessionRefreshed(session.user.id, session.tenant_id)
        case UpstreamRejected(upstream_status=status, upstream_code=code) if (
            status in _SESSION_ENDED_STATUSES
        ):
            return Ended(), RefreshRefused(code)
        case UpstreamUnavailable(retry_after=seconds):
            return Unavailable(seconds), RefreshFailed(exchanged.code)
        case InvalidUpstreamResponse(reason=reason):
            is_too_large = reason == TokenReason.TOO_LARGE
            return TooLarge() if is_too_large else Unavailable(), RefreshFailed(reason)
        case UpstreamError():
            return Unavailable(), RefreshFailed(exchanged.code)
        case _:
            assert_never(exchanged)


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """Decides what to cache after a refresh and for how long. ``clock`` returns epoch seconds."""

    clock: Callable[[], float]

    def result_to_cache(
        self, exchanged: TokenPair | UpstreamError, result: RefreshResult | None, outcome: Outcome
    ) -> RefreshResult | None:
        """Return what to cache after a refresh, or None for nothing.

        ``result`` is Descope's response, or None if there is none worth keeping.
        """
        if isinstance(outcome, Ended):
            return RefreshResult.ended()
        if isinstance(exchanged, RateLimited):
            return RefreshResult.backoff(self.clock() + exchanged.retry_after)
        if isinstance(exchanged, (InvalidUpstreamResponse, UpstreamRejected)) and result is None:
            return RefreshResult.backoff(self.clock() + _INVALID_RESPONSE_TTL)
        return result

    def ttl(self, token: str, result: RefreshResult | None, outcome: FlightResult) -> float:
        """Return for how many seconds to cache ``result`` under the refresh token ``token``."""
        if result is not None and result.retry_at is not None:
            return result.retry_at - self.clock()
        match outcome:
            case Renewed(pair) if pair.refresh.text == token:
                # Without rotation a lost result costs nothing, but a cached one must not delay the next
                # refresh.
                if self.is_nearly_expired(pair.session):
                    return NEGATIVE_TTL
                return min(UNDELIVERED_TTL, 0.75 * (pair.session.expires_at - self.clock()))
            case Ended():
                return NEGATIVE_TTL
            case Renewed() | Unavailable() | TooLarge() | SwitchFailed():
                return UNDELIVERED_TTL
            case _:
                assert_never(outcome)

    # RF-17
    def with_delayed_refresh(self, result: RefreshResult) -> RefreshResult:
        """Return ``result`` with the next refresh delayed by ``NEGATIVE_TTL``.

        For a session token that had expired on arrival because our clock is wrong, or that is too long: each
        request would otherwise call Descope again.
        """
        return replace(result, refresh_at=self.clock() + NEGATIVE_TTL)

    def is_nearly_expired(self, session: AuthSession) -> bool:
        """Return whether a session that Descope has just issued is about to expire by our clock.

        If so, our clock is wrong.
        """
        left = session.expires_at - self.clock()
        return left < min(NEGATIVE_TTL, (session.expires_at - session.issued_at) / 2)


class TokenFamily:
    """Follows token families through the cached results of a refresh store, and acquires their leases.

    A browser may send any token of a family. With rotation, all but the current one are spent, and Descope
    treats a second use as theft. Tokens are strings here; nothing is verified.
    """

    def __init__(self, store: RefreshStore) -> None:
        self._store = store

    async def latest_result(self, token: str) -> RefreshResult | None:
        """Return the last result of the family that follows ``token``, or None if nothing is cached.

        Backoff results are skipped: the result before one is still the latest.
        """
        latest, seen = None, set[str]()
        while token not in seen and (cached := await self._store.get(token)) is not None:
            seen.add(token)
            if cached.retry_at is None:
                latest, token = cached, cached.refresh_jwt or token
        return latest

    async def current_token(self, token: str) -> str:
        """Return the family's current refresh token, which may be ``token`` itself."""
        latest = await self.latest_result(token)
        return token if latest is None else latest.refresh_jwt or token

    async def acquire_lease(
        self, token: str, wait_timeout: float, *, ignore_cached: bool = False
    ) -> RefreshResult | Lease | None:
        """Wait until the store has a result or grants the lease.

        Args:
            token: the refresh token.
            wait_timeout: seconds to wait while another process holds the lease.
            ignore_cached: wait for the lease even if a result is cached.

        Returns:
            The cached result, the lease, or None after ``wait_timeout``.
        """
        loop = asyncio.get_running_loop()
        deadline, delay = loop.time() + wait_timeout, _MIN_POLL_SECONDS
        while (acquired := await self._store.acquire(token, ignore_cached=ignore_cached)) is None:
            if (remaining := deadline - loop.time()) <= 0:
                break
            # The holder may be another process, so there is no event to await. The delay grows,
            # because many requests wait when a refresh is slow.
            await asyncio.sleep(min(delay, remaining))
            delay = min(1.5 * delay, _MAX_POLL_SECONDS)
        return acquired

    async def acquire_if_unchanged(
        self, token: str, wait_timeout: float, *, cached: RefreshResult
    ) -> RefreshResult | Lease | None:
        """Acquire the lease in order to replace ``cached``, unless another process has replaced it already.

        If many processes find the same result unusable, only one of them calls Descope. A logout in between
        is not overwritten.

        Returns:
            The new cached result, the lease, or None after ``wait_timeout`` seconds.
        """
        acquired = await self.acquire_lease(token, wait_timeout, ignore_cached=True)
        current = await self._store.get(token) if isinstance(acquired, Lease) else None
        if isinstance(acquired, Lease) and current is not None and current != cached:
            await self._store.complete(token, acquired, None, 0.0)
            return current
        return acquired

    async def acquire_current(self, token: str, wait_timeout: float) -> tuple[str, Lease]:
        """Acquire the lease of the family's current token, and return that token and the lease.

        Each process that held the lease before may have rotated the token. ``wait_timeout`` (seconds) covers
        all of them together.

        Raises:
            SessionEnded: the session has ended.
            UpstreamUnavailable: the lease was not free within ``wait_timeout``.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_timeout
        while isinstance(
            lease := await self.acquire_lease(token, deadline - loop.time(), ignore_cached=True), Lease
        ):
            latest = await self.latest_result(token)
            if latest is None or latest.refresh_jwt == token:
                return token, lease
            await self._store.complete(token, lease, None, 0.0)
            if latest.refresh_jwt is None:
                raise SessionEnded
            token = latest.refresh_jwt
        raise UpstreamUnavailable

    async def wait_idle(self, token: str, wait_timeout: float) -> str | None:
        """Wait until the lease is free and return the current token, or None if the session has ended.

        Raises:
            UpstreamUnavailable: the lease was not free within ``wait_timeout`` seconds.
        """
        try:
            current, lease = await self.acquire_current(token, wait_timeout)
        except SessionEnded:
            return None
        await self._store.complete(current, lease, None, 0.0)
        return current

    async def revoke(self, token: str, wait_timeout: float) -> str:
        """End the session and return its current token.

        Waits at most ``wait_timeout`` seconds for the lease. After that, its holder loses it.
        """
        tokens, current, seen = [token], token, set[str]()
        with suppress(TimeoutError, SessionEnded, UpstreamUnavailable):
            async with asyncio.timeout(wait_timeout):  # the store may be slow too
                tokens.append((await self.acquire_current(token, wait_timeout))[0])
        # Usually the first iteration reaches the current token. If the store has lost a step of the family,
        # the token that was current a moment ago is still known.
        for each in tokens:
            current = await self.end(each, RefreshResult.ended(), seen) or current
        return current

    async def end(self, token: str, result: RefreshResult, seen: set[str] | None = None) -> str | None:
        """Store ``result``, an end of the session, for ``token`` and every token that follows it.

        Each step returns the result that it replaced, so a token that another process stores at this moment
        is followed too.

        Args:
            token: the refresh token to start from.
            result: the result to store.
            seen: tokens to skip; those of this call are added.

        Returns:
            The last token of the family that was not in ``seen``, or None.
        """
        seen = set() if seen is None else seen
        last, following = None, token
        while following not in seen:
            last = following
            seen.add(last)
            replaced = await self._store.force_set(last, result, UNDELIVERED_TTL)
            following = (replaced.refresh_jwt if replaced else None) or last
        return last
