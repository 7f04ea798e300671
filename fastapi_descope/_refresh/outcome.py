"""Outcomes of a refresh: what a response of Descope means for the session, and how long that is cached."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from ..errors import (
    DescopeError,
    InvalidUpstreamResponse,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import Event, RefreshFailed, RefreshRefused, SessionRefreshed
from ..session import AuthSession, TokenPair
from .store import RefreshResult

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
    "Unavailable",
    "classify",
]

# RF-06, RF-14
UNDELIVERED_TTL = 600.0
"""Seconds for which a result is cached that no response has delivered to the browser yet."""

# RF-16, RF-17
NEGATIVE_TTL = 30.0
"""Seconds for which a rejection is cached, so that a dead token costs one call to Descope in that time.

Also the delay before the next call if a new session token had expired on arrival.
"""

_INVALID_RESPONSE_TTL = 5.0
"""Seconds before the next call after a response that is not Descope's.

A firewall's error page arrives at once; without a delay, every request would cause a call.
"""

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


Outcome = Renewed | Ended | Unavailable


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
            return Unavailable(), RefreshFailed(reason)
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
            case Renewed() | Unavailable() | SwitchFailed():
                return UNDELIVERED_TTL
            case _:
                assert_never(outcome)

    # RF-17
    def with_delayed_refresh(self, result: RefreshResult) -> RefreshResult:
        """Return ``result`` with the next refresh delayed by ``NEGATIVE_TTL``.

        For a session token that had expired on arrival because our clock is wrong: each request would
        otherwise call Descope again.
        """
        return replace(result, refresh_at=self.clock() + NEGATIVE_TTL)

    def is_nearly_expired(self, session: AuthSession) -> bool:
        """Return whether a session that Descope has just issued is about to expire by our clock.

        If so, our clock is wrong.
        """
        left = session.expires_at - self.clock()
        return left < min(NEGATIVE_TTL, (session.expires_at - session.issued_at) / 2)
