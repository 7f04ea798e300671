"""One refresh per session, however many requests, tabs and processes want it at once.

A browser that comes back after lunch fires a dozen requests with the same dead session. One of them
refreshes; the others wait for its result; those that arrive later, still carrying the old refresh token,
are handed the result from memory. Refresh, tenant switch and logout of one session run one after the
other, so a slow refresh never undoes a switch (TN-09) and never revives what a logout ended (LO-03).

What upstream's answer means is decided here once, by the table of requirement 2.9:

    answer of Descope                      outcome      cookies
    200, both tokens verified              Renewed      both written
    400, 401, 403 with a Descope error     Ended        cleared
    anything else                          NoVerdict    kept
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import assert_never

from ..errors import (
    DescopeError,
    SessionEnded,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnavailable,
)
from ..events import Events, RefreshFailed, RefreshRefused, SessionRefreshed
from .refresh_store import Lease, RefreshResult, RefreshStore
from .session import RefreshToken, TokenPair
from .single_flight import SingleFlight

__all__ = [
    "Call",
    "Ended",
    "Landing",
    "NoVerdict",
    "NotReplaced",
    "Outcome",
    "Refresher",
    "Renewed",
    "Verify",
]

_OVER = frozenset({400, 401, 403})
"""The statuses with which Descope, in a well-formed error, says that a session is over."""

_UNCLAIMED_SECONDS = 600.0
"""How long a result is kept that no response has carried to the browser yet (RF-06)."""

_REFUSED_SECONDS = 30.0
"""How long a refusal is remembered, so that a dead token costs one call in that time (RF-16)."""

_RETRY_SECONDS = 5
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Renewed:
    """The session goes on with a new pair of tokens, both verified and of the same user."""

    pair: TokenPair


@dataclass(frozen=True, slots=True)
class Ended:
    """Descope, or a logout here, ended the session."""


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """Nothing is known: an outage, a rate limit, nonsense. ``retry_after`` is in seconds."""

    retry_after: int


Outcome = Renewed | Ended | NoVerdict


@dataclass(frozen=True, slots=True)
class NotReplaced:
    """A tenant switch failed; whoever waited behind it for a refresh has to refresh after all."""

    error: DescopeError


Landing = Outcome | NotReplaced

Call = Callable[[str], Awaitable[RefreshResult]]
"""Asks Descope for a new pair with the text of a refresh token; raises the ``UpstreamError`` family."""

Verify = Callable[[RefreshResult, RefreshToken], Awaitable[TokenPair]]
"""Verifies a result for the user of a refresh token; raises ``UpstreamError`` and its kin."""


class Refresher:
    """Renews, replaces and ends sessions; one at a time for each refresh token.

    ``grace``: for how many seconds late twins are served from memory after the first response has carried
    a result. ``patience``: for how many seconds one waits for another process. ``clock``: epoch seconds.
    """

    def __init__(
        self,
        *,
        store: RefreshStore,
        call: Call,
        verify: Verify,
        events: Events,
        clock: Callable[[], float],
        grace: float = 30.0,
        patience: float = 6.0,
    ) -> None:
        self._store = store
        self._call = call
        self._verify = verify
        self._events = events
        self._clock = clock
        self._grace = grace
        self._patience = patience
        self._flights: SingleFlight[bytes, Landing] = SingleFlight()

    async def refresh(self, held: RefreshToken) -> Outcome:
        """What became of the session of ``held``: from memory, from a refresh in flight, or from Descope.

        Never raises, and calls upstream at most once per token whoever asks. A caller that is cancelled
        leaves the refresh running (RF-06).
        """
        while True:
            landing = await asyncio.shield(self.start(held))
            if not isinstance(landing, NotReplaced):
                return landing

    def start(self, held: RefreshToken) -> asyncio.Task[Landing]:
        """The flight of ``refresh``, begun now or joined, for those who have something else to do.

        It lands on ``NotReplaced`` if it was a tenant switch that failed; then nothing is known.
        """
        return self._flights.start(_key(held.text), lambda: self._refresh(held))

    async def replace(self, held: RefreshToken, call: Call) -> TokenPair:
        """Trade the session for the pair that ``call`` brings, after whatever is running for it.

        ``call`` gets the newest refresh token of the session, which a refresh that was under way may
        just have rotated. What it brings is what late twins of the old token get from now on. Raises what
        ``call`` and the verification raise, and ``SessionEnded``; the session is then as it was.
        """
        await self._flown(held.text)
        newest = await self._newest(held.text)
        await self._flown(newest)
        flight = self._flights.start(_key(newest), lambda: self._replace(held, newest, call))
        landing = await asyncio.shield(flight)
        if isinstance(landing, Renewed):
            return landing.pair
        raise landing.error if isinstance(landing, NotReplaced) else SessionEnded

    async def end(self, held: RefreshToken, *, patience: float) -> str:
        """Have nothing revive the session from now on, and return its newest refresh token.

        Waits at most ``patience`` seconds for a refresh under way, whose token would be the newest.
        """
        running = self._flights.current(_key(held.text))
        if running is not None:
            await asyncio.wait([running], timeout=patience)
        newest = await self._newest(held.text)
        for text in {held.text, newest}:
            await self._store.overrule(text, RefreshResult.over(), _UNCLAIMED_SECONDS)
        return newest

    async def delivered(self, held: RefreshToken) -> None:
        """A response is carrying the result to the browser: from now on only the grace time is left."""
        await self._store.shorten(held.text, self._grace)

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the refreshes in flight, so that a shutdown loses none."""
        await self._flights.drain(seconds)

    # What follows runs inside a flight: nobody's cancellation reaches it, and nothing is raised.

    async def _refresh(self, held: RefreshToken) -> Outcome:
        begun = await self._begin(held.text, anew=False)
        if isinstance(begun, RefreshResult):
            remembered = await self._remembered(held, begun)
            if remembered is not None:
                return remembered
            begun = await self._begin(held.text, anew=True)
        if not isinstance(begun, Lease):
            return self._outcome(UpstreamUnavailable())
        return await self._renew(held, begun)

    async def _renew(self, held: RefreshToken, lease: Lease) -> Outcome:
        traded, result = await self._trade(held, held.text, self._call)
        outcome = self._outcome(traded)
        if isinstance(outcome, Ended):
            result = RefreshResult.over()
        seconds = self._useful_seconds(outcome)
        if not await self._store.finish(held.text, lease, result, seconds):
            return await self._overruled(held) or outcome
        return outcome

    async def _replace(self, held: RefreshToken, newest: str, call: Call) -> Landing:
        lease = await self._begin(newest, anew=True)
        if not isinstance(lease, Lease):
            return NotReplaced(UpstreamUnavailable())
        traded, result = await self._trade(held, newest, call)
        if isinstance(traded, DescopeError):
            await self._store.finish(newest, lease, result, _UNCLAIMED_SECONDS)
            return NotReplaced(traded)
        renewed = Renewed(traded)
        seconds = self._useful_seconds(renewed)
        if not await self._store.finish(newest, lease, result, seconds):
            return Ended()
        if newest != held.text and result is not None:
            await self._store.overrule(held.text, result, seconds)
        return renewed

    async def _trade(
        self, held: RefreshToken, text: str, call: Call
    ) -> tuple[TokenPair | UpstreamError, RefreshResult | None]:
        """The verified pair, or the error in its place; and what there is to remember."""
        try:
            result = await call(text)
        except UpstreamError as error:
            return error, None
        try:
            return await self._verify(result, held), result
        except UpstreamUnavailable as error:
            # No keys to verify with. If Descope rotated, the old token is spent and this answer is the
            # only copy of the new one: it is kept, and verified when it is recalled.
            return error, result
        except UpstreamError as error:
            return error, None

    async def _begin(self, text: str, *, anew: bool) -> RefreshResult | Lease | None:
        """What the store says, after waiting out another process that is at it; None if it never ends."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while (  # noqa: ASYNC110 - another process holds the lease: there is no event of ours to await
            begun := await self._store.begin(text, anew=anew)
        ) is None and loop.time() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        return begun

    async def _remembered(self, held: RefreshToken, result: RefreshResult) -> Outcome | None:
        """The outcome that a remembered result leads to; None if it is of no use any more."""
        result = await self._latest(held.text, result)
        if result.ended:
            return Ended()
        try:
            return Renewed(await self._verify(result, held))
        except UpstreamUnavailable as error:
            return NoVerdict(error.retry_after)
        except UpstreamError:
            return None

    async def _overruled(self, held: RefreshToken) -> Outcome | None:
        """The outcome of whoever took the lease away: a logout, or a process that thought us dead."""
        winner = await self._store.recall(held.text)
        return None if winner is None else await self._remembered(held, winner)

    async def _latest(self, text: str, result: RefreshResult) -> RefreshResult:
        """The end of the chain: a result's refresh token may itself have been traded since."""
        seen = {text}
        while result.refresh_jwt is not None and result.refresh_jwt not in seen:
            seen.add(result.refresh_jwt)
            later = await self._store.recall(result.refresh_jwt)
            if later is None:
                break
            result = later
        return result

    async def _newest(self, text: str) -> str:
        result = await self._store.recall(text)
        return text if result is None else (await self._latest(text, result)).refresh_jwt or text

    async def _flown(self, text: str) -> None:
        key = _key(text)
        while (running := self._flights.current(key)) is not None:
            await asyncio.shield(running)

    def _outcome(self, traded: TokenPair | UpstreamError) -> Outcome:
        """The table of requirement 2.9."""
        match traded:
            case TokenPair(session=session):
                self._events.emit(SessionRefreshed(session.user.id, session.tenant_id))
                return Renewed(traded)
            case UpstreamRefused(upstream_status=status, upstream_code=code) if status in _OVER:
                self._events.emit(RefreshRefused(code))
                return Ended()
            case UpstreamUnavailable(retry_after=seconds):
                self._events.emit(RefreshFailed(traded.code))
                return NoVerdict(seconds)
            case UpstreamError():
                self._events.emit(RefreshFailed(traded.code))
                return NoVerdict(_RETRY_SECONDS)
            case _:
                assert_never(traded)

    def _useful_seconds(self, outcome: Outcome) -> float:
        """How long to remember an outcome: never so long that it would stand in for the next refresh."""
        match outcome:
            case Renewed(pair):
                return min(_UNCLAIMED_SECONDS, 0.75 * (pair.session.expires_at - self._clock()))
            case Ended():
                return _REFUSED_SECONDS
            case NoVerdict():
                return _UNCLAIMED_SECONDS
            case _:
                assert_never(outcome)


def _key(text: str) -> bytes:
    return sha256(text.encode()).digest()
