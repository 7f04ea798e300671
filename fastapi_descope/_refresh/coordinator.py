"""One refresh per session, however many requests, tabs and processes want it at once.

A browser that comes back after lunch fires a dozen requests with the same dead session. One of them
refreshes; the others wait for its result; those that arrive later, still carrying the old refresh token,
are handed the result from memory. Refresh, tenant switch and logout of one session run one after the
other, so a slow refresh never undoes a switch (TN-09) and never revives what a logout ended (LO-03).
What upstream's answer means is for ``outcomes`` to say.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from math import ceil
from typing import cast

from .._concurrency.single_flight import SingleFlight
from ..errors import (
    InvalidUpstreamResponse,
    SessionEnded,
    TokenError,
    TokenReason,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from ..events import EventBus
from ..session import RefreshToken, TokenPair
from .family import TokenFamily
from .outcome import Ended, FlightResult, Outcome, Renewed, SwitchFailed, Unavailable, classify
from .result_ttl import NEGATIVE_TTL, UNDELIVERED_TTL, ResultTtl
from .store import Lease, RefreshResult, RefreshStore

__all__ = ["Call", "RefreshCoordinator", "Verify"]

Call = Callable[[str], Awaitable[RefreshResult]]
"""Asks Descope for a new pair with the text of a refresh token; raises the ``UpstreamError`` family."""

Verify = Callable[[RefreshResult, RefreshToken], Awaitable[TokenPair]]
"""Verifies a result for the user of a refresh token.

Raises ``InvalidUpstreamResponse`` for a bad one, with the reason ``expired`` if nothing but its time is over,
and ``UpstreamUnavailable`` while that cannot be told.
"""


class RefreshCoordinator:
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
        events: EventBus,
        clock: Callable[[], float],
        grace: float = 30.0,
        wait_timeout: float = 6.0,
    ) -> None:
        self._store = store
        self._family = TokenFamily(store)
        self._call = call
        self._verify = verify
        self._events = events
        self._clock = clock
        self._ttl = ResultTtl(clock)
        self._grace = grace
        self._wait_timeout = wait_timeout
        self._flights: SingleFlight[bytes, FlightResult] = SingleFlight()
        self._revocations: SingleFlight[bytes, str] = SingleFlight()
        self._idle_waits: SingleFlight[bytes, str | None] = SingleFlight()

    async def refresh(self, held: RefreshToken) -> Outcome:
        """What became of the session of ``held``: from memory, from a refresh in flight, or from Descope.

        Never raises, and calls upstream at most once per token whoever asks (RF-02). A caller that is
        cancelled leaves the refresh running (RF-06).
        """
        while True:
            landing = await _join(self.start(held))
            if not isinstance(landing, SwitchFailed):
                return landing

    def start(self, held: RefreshToken) -> asyncio.Task[FlightResult]:
        """The flight of ``refresh``, begun now or joined, for those who have something else to do.

        It lands on ``SwitchFailed`` if it was a tenant switch that failed; then nothing is known.
        """
        return self._flights.start(_key(held.text), lambda: self._refresh(held))

    async def switch(self, held: RefreshToken, call: Call, verify: Verify) -> TokenPair:
        """Trade the session for the pair that ``call`` brings, after whatever is running for it.

        ``call`` gets the newest refresh token of the session, which a refresh that was under way may
        just have rotated. What it brings is what late twins of the old token get from now on. Raises what
        ``call`` and ``verify`` raise, and ``SessionEnded``; the session is then as it was, unless the
        new pair was good but for keys or clock: then it is remembered, and becomes the session later.
        """
        newest = await self.current_token(held)
        flight = self._flights.start(_key(newest), lambda: self._switch(held, newest, call, verify))
        landing = await _join(flight)
        if isinstance(landing, Renewed):
            return landing.pair
        if isinstance(landing, SwitchFailed):
            raise landing.error
        raise SessionEnded if isinstance(landing, Ended) else UpstreamUnavailable(landing.retry_after)

    async def current_token(self, held: RefreshToken) -> str:
        """The session's newest refresh token, at a moment when nothing is running for it in this process.

        Any other may be spent: with rotation, Descope takes a second use of one for a theft.
        """
        text = held.text
        while True:
            while (running := self._flights.current(_key(text))) is not None:
                await asyncio.wait((running,))
            later = await self._family.current_token(text)
            if later == text and self._flights.current(_key(text)) is None:
                return text
            text = later

    async def wait_idle(self, text: str) -> str | None:
        """The newest token that follows ``text`` once nobody is at it, in no process; None if it is over.

        Raises ``UpstreamUnavailable`` if that takes too long. A caller that is cancelled leaves no lease
        behind.
        """
        return await self._idle_waits.run(_key(text), lambda: self._wait_idle(text))

    async def revoke(self, held: RefreshToken, *, wait_timeout: float) -> str:
        """Have nothing revive the session from now on, and return its newest refresh token.

        Waits at most ``patience`` seconds for whatever is under way, whose token would be the newest; what
        takes longer is cut off. One that lands just now is followed: each step tells what it replaced.
        A caller that is cancelled leaves it running: a logout that was begun counts.
        """
        return await self._revocations.run(_key(held.text), lambda: self._revoke(held.text, wait_timeout))

    async def supersede(self, held: RefreshToken) -> None:
        """Have nothing bring the session back to its browser, which has just signed in anew.

        Other than by ``end``, nobody's cookies are cleared for it. Waits for nobody.
        """
        await self._force_set(held.text, RefreshResult.ended(superseded=True), set())

    async def outcome(self, held: RefreshToken) -> Outcome | None:
        """What is remembered of the session by now, tenant switches and logouts included; None if nothing.

        Never calls Descope to refresh.
        """
        return await self._known(held, held.text)

    async def mark_delivered(self, held: RefreshToken) -> None:
        """A response is carrying the result to the browser: from now on only the grace time is left."""
        await self._store.reduce_ttl(held.text, self._grace)

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the refreshes in flight, so that a shutdown loses none."""
        flights = (self._flights, self._revocations, self._idle_waits)
        await asyncio.gather(*(each.drain(seconds) for each in flights))

    # The flights: nobody's cancellation reaches one, and none raises.

    async def _refresh(self, held: RefreshToken) -> Outcome:
        text = held.text
        begun = await self._family.acquire_lease(text, self._wait_timeout)
        while isinstance(begun, RefreshResult):
            remembered = await self._remembered(held, begun)
            if not isinstance(remembered, str):
                return remembered
            if remembered == text:
                begun = await self._family.reacquire_lease(text, self._wait_timeout, stale=begun)
            else:
                text, begun = remembered, await self._family.acquire_lease(remembered, self._wait_timeout)
        if begun is None:
            return self._outcome(UpstreamUnavailable())
        return await self._renew(held, text, begun)

    async def _renew(self, held: RefreshToken, text: str, lease: Lease) -> Outcome:
        traded, result = await self._exchange(held, text, self._call, self._verify)
        outcome = self._outcome(traded)
        result = self._ttl.of(traded, result, outcome)
        seconds = self._ttl.seconds(text, result, outcome)
        if await self._store.complete(text, lease, result, seconds):
            return outcome
        # The lease was taken away: by a logout, or by a process that thought us dead, whose word counts
        # (RF-05).
        known = await self._known(held, text)
        if known is None and isinstance(outcome, Renewed):
            known = await self._winner_outcome(held, text, result, seconds)
        if isinstance(known, Ended):
            return Ended(superseded=True)  # whose response has cleared the cookies; a login may have followed
        return known or (Unavailable() if isinstance(outcome, Ended) else outcome)

    async def _winner_outcome(
        self, held: RefreshToken, text: str, result: RefreshResult | None, seconds: float
    ) -> Outcome | None:
        """What whoever took the lease away brings, who is still at it.

        None if that comes to nothing: ours is remembered then, or no response would carry it (RF-04).
        """
        lease = await self._family.acquire_lease(text, self._wait_timeout, ignore_cached=True)
        known = await self._known(held, text)
        if isinstance(lease, Lease):
            await self._store.complete(text, lease, None if known else result, seconds)
        return known

    async def _switch(self, held: RefreshToken, newest: str, call: Call, verify: Verify) -> FlightResult:
        leased = await self._family.acquire_current(newest, self._wait_timeout)
        if not isinstance(leased, tuple):
            return leased
        text, lease = leased
        traded, result = await self._exchange(held, text, call, verify)
        landing = Renewed(traded) if isinstance(traded, TokenPair) else SwitchFailed(traded)
        kept = await self._store.complete(text, lease, result, self._ttl.seconds(text, result, landing))
        if kept:
            return landing
        if isinstance(landing, SwitchFailed):
            # Without the lease, a refusal may only mean that the winner has spent the token (RF-05).
            is_refusal = isinstance(landing.error, UpstreamRejected)
            return SwitchFailed(UpstreamUnavailable()) if is_refusal else landing
        winner = await self._family.latest_result(text)
        return Ended() if winner is not None and winner.is_ended else landing

    async def _revoke(self, text: str, wait_timeout: float) -> str:
        # What is overruled tells what it was, so that nothing lands unseen; where that word is lost, what was
        # the newest a moment before is still known.
        tokens, newest, seen = [text], text, set[str]()
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_timeout):  # the store may be slow too
                leased = await self._family.acquire_current(text, wait_timeout)
                tokens += [leased[0]] if isinstance(leased, tuple) else []
        for token in tokens:
            newest = await self._force_set(token, RefreshResult.ended(), seen) or newest
        return newest

    async def _force_set(self, token: str, result: RefreshResult, seen: set[str]) -> str | None:
        """Put ``result`` in the place of what ``token`` was traded for, and of all that followed.

        Returns the newest of them that is not in ``seen``, where all of them are afterwards.
        """
        newest, later = None, cast("str | None", token)
        while later is not None and later not in seen:
            newest = later
            seen.add(newest)
            replaced = await self._store.force_set(newest, result, UNDELIVERED_TTL)
            later = replaced.refresh_jwt if replaced else None
        return newest

    async def _wait_idle(self, text: str) -> str | None:
        leased = await self._family.acquire_current(text, self._wait_timeout)
        if isinstance(leased, tuple):
            newest, lease = leased
            await self._store.complete(newest, lease, None, 0.0)
            return newest
        if isinstance(leased, SwitchFailed):
            raise leased.error
        return None

    async def _exchange(
        self, held: RefreshToken, text: str, call: Call, verify: Verify
    ) -> tuple[TokenPair | UpstreamError, RefreshResult | None]:
        """The verified pair, or the error in its place; and what there is to remember."""
        try:
            result = await call(text)
        except UpstreamError as error:
            return error, None
        except TokenError:  # a remembered token, kept unverified, that no header can carry
            return InvalidUpstreamResponse("refresh_token"), None
        try:
            pair = await verify(result, held)
            is_late = self._ttl.is_nearly_over(pair.session)
            return pair, self._ttl.until_later(result) if is_late else result
        except (InvalidUpstreamResponse, UpstreamUnavailable) as error:
            # There are no keys to judge by, or our clock is wrong. If Descope rotated, the old token is
            # spent and this answer is the only copy of the new one: kept, and verified when recalled.
            if isinstance(error, UpstreamUnavailable):
                return error, result
            return error, self._ttl.until_later(result) if _is_late(error) else None

    async def _remembered(self, held: RefreshToken, result: RefreshResult) -> Outcome | str:
        """The outcome that a remembered result leads to, or the token to refresh with if it is of no use.

        That is the newest token if the session ran out while the result waited: others may be spent.
        """
        if result.retry_at is not None:
            return Unavailable(max(1, ceil(result.retry_at - self._clock())))
        if result.refresh_jwt and result.refresh_jwt != held.text:
            result = await self._family.latest_result(result.refresh_jwt) or result
        if result.is_ended:
            return Ended(result.superseded)
        try:
            return Renewed(await self._verify(result, held))
        except UpstreamUnavailable as error:
            return Unavailable(error.retry_after)
        except InvalidUpstreamResponse as error:
            wait = (result.refresh_at or 0) - self._clock()
            if _is_late(error) and 0 < wait <= NEGATIVE_TTL:  # expired on arrival: see ``until_later``
                return Unavailable(ceil(wait))
            return (_is_late(error) and result.refresh_jwt) or held.text

    async def _known(self, held: RefreshToken, text: str) -> Outcome | None:
        last = await self._family.latest_result(text)
        remembered = None if last is None else await self._remembered(held, last)
        return None if isinstance(remembered, str) else remembered

    def _outcome(self, traded: TokenPair | UpstreamError) -> Outcome:
        outcome, event = classify(traded)
        self._events.emit(event)
        return outcome


async def _join(flight: asyncio.Task[FlightResult]) -> FlightResult:
    """Where a flight landed; a waiter that is cancelled leaves it alone.

    A flight that a shutdown cut off has decided nothing.
    """
    await asyncio.wait((flight,))
    return Unavailable() if flight.cancelled() else flight.result()


def _is_late(error: InvalidUpstreamResponse) -> bool:
    return error.reason == TokenReason.EXPIRED


def _key(text: str) -> bytes:
    return sha256(text.encode()).digest()
