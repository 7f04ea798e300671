"""What Descope's answer to a refresh means for the session, by the table of requirement 2.9 (RF-01).

answer of Descope                      outcome      cookies
200, both tokens verified              Renewed      both written
400, 401, 403 with a Descope error     Ended        cleared, unless superseded
anything else                          Unavailable    kept
"""

from dataclasses import dataclass
from typing import assert_never

from ..errors import (
    DescopeError,
    InvalidUpstreamResponse,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import Event, RefreshFailed, RefreshRefused, SessionRefreshed
from ..session import TokenPair

__all__ = ["Ended", "FlightResult", "Outcome", "Renewed", "SwitchFailed", "Unavailable", "classify"]

_OVER = frozenset({400, 401, 403})
"""The statuses with which Descope, in a well-formed error, says that a session is over."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The session goes on with a new pair of tokens, both verified and of the same user."""

    pair: TokenPair


@dataclass(frozen=True, slots=True)
class Ended:
    """Descope, or a logout here, ended the session.

    ``superseded``: that was done beside the request, by a sign-out or another sign-in of its browser. Their
    responses have seen to the cookies, and those it has by now may be a new session's: not to be touched.
    """

    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nothing is known: an outage, a rate limit, nonsense. ``retry_after`` is in seconds."""

    retry_after: int = 5


Outcome = Renewed | Ended | Unavailable


@dataclass(frozen=True, slots=True)
class SwitchFailed:
    """A tenant switch failed; whoever waited behind it for a refresh has to refresh after all."""

    error: DescopeError


FlightResult = Outcome | SwitchFailed


def classify(traded: TokenPair | UpstreamError) -> tuple[Outcome, Event]:
    """What a refresh came to, and what to tell of it: given the verified pair, or the error in its place."""
    match traded:
        case TokenPair(session=session):
            return Renewed(traded), SessionRefreshed(session.user.id, session.tenant_id)
        case UpstreamRejected(upstream_status=status, upstream_code=code) if status in _OVER:
            return Ended(), RefreshRefused(code)
        case UpstreamUnavailable(retry_after=seconds):
            return Unavailable(seconds), RefreshFailed(traded.code)
        case InvalidUpstreamResponse(reason=reason):
            return Unavailable(), RefreshFailed(reason)
        case UpstreamError():
            return Unavailable(), RefreshFailed(traded.code)
        case _:
            assert_never(traded)
