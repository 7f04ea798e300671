"""The outcome of a refresh: what a response of Descope means for the session."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import assert_never

from ..errors import (
    DescopeError,
    InvalidUpstreamResponse,
    TokenReason,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import Event, RefreshFailed, RefreshRefused, SessionRefreshed
from ..session import TokenPair

__all__ = [
    "RESULTS",
    "Ended",
    "FlightResult",
    "Outcome",
    "RefreshNeeded",
    "Renewed",
    "SwitchFailed",
    "TooLarge",
    "Unavailable",
    "classify",
]

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

RESULTS: Mapping[type[Outcome], str] = MappingProxyType(
    {Renewed: "renewed", Ended: "ended", Unavailable: "unavailable", TooLarge: "too_large"}
)
"""The names of the outcomes in spans and metrics."""


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
            return Renewed(exchanged), SessionRefreshed(session.user.id, session.tenant_id, session.actor)
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
