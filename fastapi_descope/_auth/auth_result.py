"""The result of authenticating a request, and the refresh on which it may depend."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from .._refresh.coordinator import RefreshCoordinator
from .._refresh.outcome import Ended, FlightResult, Outcome, Renewed, SwitchFailed, TooLarge, Unavailable
from ..callers import Delegate, Machine
from ..errors import DescopeError, SessionEnded, SessionTooLarge, UpstreamUnavailable
from ..session import AuthSession, RefreshToken, TokenPair
from .credentials import CookieAction
from .session_gate import SessionGate

__all__ = ["AuthResult", "Refresh", "with_outcome"]

_CONCURRENT_REFRESH_TIMEOUT = 1.0
"""Seconds that a response waits for a refresh that runs concurrently with its handler."""


@dataclass(frozen=True, slots=True)
class AuthResult:
    """The result of authenticating a request.

    A refresh may still be running, or a tenant switch, a logout or another login may replace its result while
    the handler runs. So the response calls ``finish`` as it starts.

    Attributes:
        session: The session, or None if the request is unauthenticated.
        error: The reason if there is no session: the ``NotAuthenticated`` family, ``Forbidden`` if an
            ``on_session`` hook refuses the session, ``SessionTooLarge`` if its new tokens fit into no
            cookies, ``TooManyAttempts`` for an access key of a client whose keys were refused, or
            ``UpstreamUnavailable`` or ``SessionCheckFailed`` if the credentials cannot be checked at the
            moment.
        cookies: What the response does to the cookies.
        pair: The new tokens, with ``CookieAction.WRITE``.
        source: Where the credentials were.
        other_caller: The application or machine that sent the request, or None. With one there is no session,
            and the error is ``SessionRequired``.
        repeats_until: Until then (epoch seconds) the same credentials have the same result; 0 if that is not
            known.
    """

    session: AuthSession | None = None
    error: DescopeError | None = None
    cookies: CookieAction = CookieAction.KEEP
    pair: TokenPair | None = None
    source: Literal["none", "cookie", "bearer"] = "none"
    other_caller: Delegate | Machine | None = None
    repeats_until: float = 0
    _refresh: "Refresh | None" = field(default=None, repr=False)

    @property
    def is_final(self) -> bool:
        """Whether ``finish`` has nothing to do, because no refresh is involved."""
        return self._refresh is None

    async def finish(self) -> "AuthResult":
        """Return the result for the response that starts now.

        Waits at most one second for a concurrent refresh and the ``on_session`` hooks. A later result is
        cached for the next request. The new session replaces the old one only if the hooks have admitted it;
        its cookies are written in any case.

        A pair that a tenant switch, a logout or another login has replaced is not written. Its cookies are
        not cleared either: the request that replaced it has already written the cookies of a newer session.
        """
        return self if self._refresh is None else await self._refresh.finish(self)


@dataclass(frozen=True, slots=True)
class Refresh:
    """The refresh on which an ``AuthResult`` depends: its token, and its task while that may run."""

    coordinator: RefreshCoordinator
    gate: SessionGate[AuthSession]
    token: RefreshToken
    task: asyncio.Task[FlightResult] | None = None

    async def finish(self, result: AuthResult) -> AuthResult:
        """Return the result for the response that starts now (TN-09, LO-03, CB-09)."""
        if self.task is not None:
            result = await self._wait_for(self.task, result)
        if result.pair is None:
            return result
        latest = await self.coordinator.outcome(self.token)
        if isinstance(latest, Renewed):
            return replace(result, pair=latest.pair)
        return replace(result, pair=None, cookies=CookieAction.KEEP)

    async def _wait_for(self, task: asyncio.Task[FlightResult], result: AuthResult) -> AuthResult:
        now = asyncio.get_running_loop().time
        deadline = now() + _CONCURRENT_REFRESH_TIMEOUT
        done, _ = await asyncio.wait([task], timeout=_CONCURRENT_REFRESH_TIMEOUT)
        if not done or task.cancelled():  # it takes too long, or a shutdown has cancelled it
            return result
        outcome = task.result()
        if isinstance(outcome, SwitchFailed):
            return result
        finished = with_outcome(result, outcome)
        if finished.pair is None or not self.gate.hooks:
            return finished
        if await self._admits(finished.pair, wait_timeout=deadline - now()):
            return finished
        # The old session was admitted and is still valid. The next request gets the verdict on the new one.
        return replace(finished, session=result.session)

    async def _admits(self, pair: TokenPair, *, wait_timeout: float) -> bool:
        return await self.gate.check(pair.session_jwt, pair.session, wait_timeout=wait_timeout) is None


# The table of requirement 2.9: what an outcome means depends on whether the old session is still valid.
def with_outcome(result: AuthResult, outcome: Outcome) -> AuthResult:
    """Return ``result`` after a refresh with this outcome."""
    is_live = result.session is not None
    match outcome:
        case Renewed(pair):
            return replace(result, session=pair.session, pair=pair, cookies=CookieAction.WRITE)
        case Ended(superseded):
            action = CookieAction.KEEP if superseded else CookieAction.CLEAR
            return replace(result, error=None if is_live else SessionEnded(), cookies=action)
        case Unavailable(seconds):
            return replace(result, error=None if is_live else UpstreamUnavailable(seconds))
        case TooLarge():
            return replace(result, error=None if is_live else SessionTooLarge())
        case _:
            assert_never(outcome)
