"""How long it is remembered what became of a refresh token, and what is remembered of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from ..errors import InvalidUpstreamResponse, RateLimited, UpstreamError, UpstreamRejected
from ..session import AuthSession, TokenPair
from .outcome import Ended, FlightResult, Renewed, SwitchFailed, Unavailable
from .store import RefreshResult

__all__ = ["NEGATIVE_TTL", "UNDELIVERED_TTL", "ResultTtl"]

UNDELIVERED_TTL = 600.0
"""How long a result is kept that no response has carried to the browser yet (RF-06, RF-14)."""

NEGATIVE_TTL = 30.0
"""How long a refusal is remembered, so that a dead token costs one call in that time (RF-16); and how long
an answer that has expired on arrival keeps us from asking again (RF-17)."""

_INVALID_RESPONSE_TTL = 5.0
"""How long an answer without a verdict keeps us from asking again: a firewall's page comes at once, and would
be asked for by every request."""


@dataclass(frozen=True, slots=True)
class ResultTtl:
    """``clock`` returns epoch seconds."""

    clock: Callable[[], float]

    def of(
        self, traded: TokenPair | UpstreamError, result: RefreshResult | None, landing: FlightResult
    ) -> RefreshResult | None:
        """What to remember of a refresh that came to ``landing``, and brought ``result`` if anything."""
        if isinstance(landing, Ended):
            return RefreshResult.ended()
        if isinstance(traded, RateLimited):
            return RefreshResult.backoff(self.clock() + traded.retry_after)
        if isinstance(traded, (InvalidUpstreamResponse, UpstreamRejected)) and result is None:
            return RefreshResult.backoff(self.clock() + _INVALID_RESPONSE_TTL)
        return result

    def seconds(self, text: str, result: RefreshResult | None, landing: FlightResult) -> float:
        """How long to remember what became of ``text``."""
        if result is not None and result.retry_at is not None:
            return result.retry_at - self.clock()
        match landing:
            case Renewed(pair) if pair.refresh.text == text:
                # Not rotated, so nothing can be lost: never so long as to stand in for the next refresh.
                if self.is_nearly_over(pair.session):
                    return NEGATIVE_TTL
                return min(UNDELIVERED_TTL, 0.75 * (pair.session.expires_at - self.clock()))
            case Ended():
                return NEGATIVE_TTL
            case Renewed() | Unavailable() | SwitchFailed():
                return UNDELIVERED_TTL
            case _:
                assert_never(landing)

    def until_later(self, result: RefreshResult) -> RefreshResult:
        """An answer that has expired on arrival: our wrong clock must not cost a call a request (RF-17)."""
        return replace(result, refresh_at=self.clock() + NEGATIVE_TTL)

    def is_nearly_over(self, session: AuthSession) -> bool:
        """Whether a session that Descope has just begun is at its end by our clock, which is wrong then."""
        left = session.expires_at - self.clock()
        return left < min(NEGATIVE_TTL, (session.expires_at - session.issued_at) / 2)
