"""What is cached after a refresh, and for how long."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from ..errors import InvalidUpstreamResponse, RateLimited, UpstreamError, UpstreamRejected
from ..session import AuthSession, TokenPair
from .outcome import Ended, FlightResult, Outcome, Renewed, SwitchFailed, TooLarge, Unavailable
from .store import RefreshResult

__all__ = ["NEGATIVE_TTL", "UNDELIVERED_TTL", "CachePolicy"]

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
