"""How long it is remembered what became of a refresh token, and what is remembered of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from ..errors import RateLimited, UpstreamError, UpstreamNonsense, UpstreamRefused
from ..session import Session, TokenPair
from .outcome import Ended, Landing, NotReplaced, NoVerdict, Renewed
from .store import RefreshResult

__all__ = ["REFUSED_SECONDS", "UNCLAIMED_SECONDS", "Retention"]

UNCLAIMED_SECONDS = 600.0
"""How long a result is kept that no response has carried to the browser yet (RF-06, RF-14)."""

REFUSED_SECONDS = 30.0
"""How long a refusal is remembered, so that a dead token costs one call in that time (RF-16); and how long
an answer that has expired on arrival keeps us from asking again (RF-17)."""

_NONSENSE_SECONDS = 5.0
"""How long an answer without a verdict keeps us from asking again: a firewall's page comes at once, and would
be asked for by every request."""


@dataclass(frozen=True, slots=True)
class Retention:
    """``clock`` returns epoch seconds."""

    clock: Callable[[], float]

    def of(
        self, traded: TokenPair | UpstreamError, result: RefreshResult | None, landing: Landing
    ) -> RefreshResult | None:
        """What to remember of a refresh that came to ``landing``, and brought ``result`` if anything."""
        if isinstance(landing, Ended):
            return RefreshResult.over()
        if isinstance(traded, RateLimited):
            return RefreshResult.pause(self.clock() + traded.retry_after)
        if isinstance(traded, (UpstreamNonsense, UpstreamRefused)) and result is None:
            return RefreshResult.pause(self.clock() + _NONSENSE_SECONDS)
        return result

    def seconds(self, text: str, result: RefreshResult | None, landing: Landing) -> float:
        """How long to remember what became of ``text``."""
        if result is not None and result.pauses_until is not None:
            return result.pauses_until - self.clock()
        match landing:
            case Renewed(pair) if pair.refresh.text == text:
                # Not rotated, so nothing can be lost: never so long as to stand in for the next refresh.
                if self.is_nearly_over(pair.session):
                    return REFUSED_SECONDS
                return min(UNCLAIMED_SECONDS, 0.75 * (pair.session.expires_at - self.clock()))
            case Ended():
                return REFUSED_SECONDS
            case Renewed() | NoVerdict() | NotReplaced():
                return UNCLAIMED_SECONDS
            case _:
                assert_never(landing)

    def until_later(self, result: RefreshResult) -> RefreshResult:
        """An answer that has expired on arrival: our wrong clock must not cost a call a request (RF-17)."""
        return replace(result, refresh_at=self.clock() + REFUSED_SECONDS)

    def is_nearly_over(self, session: Session) -> bool:
        """Whether a session that Descope has just begun is at its end by our clock, which is wrong then."""
        left = session.expires_at - self.clock()
        return left < min(REFUSED_SECONDS, (session.expires_at - session.issued_at) / 2)
