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
    SessionEnded,
    TokenError,
    TokenReason,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRefused,
    UpstreamUnavailable,
)
from ..events import Events
from ..session import RefreshToken, TokenPair
from .family import TokenChain
from .outcome import Ended, Landing, NotReplaced, NoVerdict, Outcome, Renewed, judge
from .result_ttl import REFUSED_SECONDS, UNCLAIMED_SECONDS, Retention
from .store import Lease, RefreshResult, RefreshStore

__all__ = ["Call", "Refresher", "Verify"]

Call = Callable[[str], Awaitable[RefreshResult]]
"""Asks Descope for a new pair with the text of a refresh token; raises the ``UpstreamError`` family."""

Verify = Callable[[RefreshResult, RefreshToken], Awaitable[TokenPair]]
"""Verifies a result for the user of a refresh token.

Raises ``UpstreamNonsense`` for a bad one, with the reason ``expired`` if nothing but its time is over,
and ``UpstreamUnavailable`` while that cannot be told.
"""


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
        self._chain = TokenChain(store)
        self._call = call
        self._verify = verify
        self._events = events
        self._clock = clock
        self._retention = Retention(clock)
        self._grace = grace
        self._patience = patience
        self._flights: SingleFlight[bytes, Landing] = SingleFlight()
        self._endings: SingleFlight[bytes, str] = SingleFlight()
        self._settlings: SingleFlight[bytes, str | None] = SingleFlight()

    async def refresh(self, held: RefreshToken) -> Outcome:
        """What became of the session of ``held``: from memory, from a refresh in flight, or from Descope.

        Never raises, and calls upstream at most once per token whoever asks (RF-02). A caller that is
        cancelled leaves the refresh running (RF-06).
        """
        while True:
            landing = await _landed(self.start(held))
            if not isinstance(landing, NotReplaced):
                return landing

    def start(self, held: RefreshToken) -> asyncio.Task[Landing]:
        """The flight of ``refresh``, begun now or joined, for those who have something else to do.

        It lands on ``NotReplaced`` if it was a tenant switch that failed; then nothing is known.
        """
        return self._flights.start(_key(held.text), lambda: self._refresh(held))

    async def replace(self, held: RefreshToken, call: Call, verify: Verify) -> TokenPair:
        """Trade the session for the pair that ``call`` brings, after whatever is running for it.

        ``call`` gets the newest refresh token of the session, which a refresh that was under way may
        just have rotated. What it brings is what late twins of the old token get from now on. Raises what
        ``call`` and ``verify`` raise, and ``SessionEnded``; the session is then as it was, unless the
        new pair was good but for keys or clock: then it is remembered, and becomes the session later.
        """
        newest = await self.newest(held)
        flight = self._flights.start(_key(newest), lambda: self._replace(held, newest, call, verify))
        landing = await _landed(flight)
        if isinstance(landing, Renewed):
            return landing.pair
        if isinstance(landing, NotReplaced):
            raise landing.error
        raise SessionEnded if isinstance(landing, Ended) else UpstreamUnavailable(landing.retry_after)

    async def newest(self, held: RefreshToken) -> str:
        """The session's newest refresh token, at a moment when nothing is running for it in this process.

        Any other may be spent: with rotation, Descope takes a second use of one for a theft.
        """
        text = held.text
        while True:
            while (running := self._flights.current(_key(text))) is not None:
                await asyncio.wait((running,))
            later = await self._chain.newest(text)
            if later == text and self._flights.current(_key(text)) is None:
                return text
            text = later

    async def settled(self, text: str) -> str | None:
        """The newest token that follows ``text`` once nobody is at it, in no process; None if it is over.

        Raises ``UpstreamUnavailable`` if that takes too long. A caller that is cancelled leaves no lease
        behind.
        """
        return await self._settlings.run(_key(text), lambda: self._settled(text))

    async def end(self, held: RefreshToken, *, patience: float) -> str:
        """Have nothing revive the session from now on, and return its newest refresh token.

        Waits at most ``patience`` seconds for whatever is under way, whose token would be the newest; what
        takes longer is cut off. One that lands just now is followed: each step tells what it replaced.
        A caller that is cancelled leaves it running: a logout that was begun counts.
        """
        return await self._endings.run(_key(held.text), lambda: self._end(held.text, patience))

    async def supersede(self, held: RefreshToken) -> None:
        """Have nothing bring the session back to its browser, which has just signed in anew.

        Other than by ``end``, nobody's cookies are cleared for it. Waits for nobody.
        """
        await self._overrule(held.text, RefreshResult.over(superseded=True), set())

    async def latest(self, held: RefreshToken) -> Outcome | None:
        """What is remembered of the session by now, tenant switches and logouts included; None if nothing.

        Never calls Descope to refresh.
        """
        return await self._known(held, held.text)

    async def delivered(self, held: RefreshToken) -> None:
        """A response is carrying the result to the browser: from now on only the grace time is left."""
        await self._store.shorten(held.text, self._grace)

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the refreshes in flight, so that a shutdown loses none."""
        flights = (self._flights, self._endings, self._settlings)
        await asyncio.gather(*(each.drain(seconds) for each in flights))

    # The flights: nobody's cancellation reaches one, and none raises.

    async def _refresh(self, held: RefreshToken) -> Outcome:
        text = held.text
        begun = await self._chain.begin(text, self._patience)
        while isinstance(begun, RefreshResult):
            remembered = await self._remembered(held, begun)
            if not isinstance(remembered, str):
                return remembered
            if remembered == text:
                begun = await self._chain.begin_again(text, self._patience, stale=begun)
            else:
                text, begun = remembered, await self._chain.begin(remembered, self._patience)
        if begun is None:
            return self._outcome(UpstreamUnavailable())
        return await self._renew(held, text, begun)

    async def _renew(self, held: RefreshToken, text: str, lease: Lease) -> Outcome:
        traded, result = await self._trade(held, text, self._call, self._verify)
        outcome = self._outcome(traded)
        result = self._retention.of(traded, result, outcome)
        seconds = self._retention.seconds(text, result, outcome)
        if await self._store.finish(text, lease, result, seconds):
            return outcome
        # The lease was taken away: by a logout, or by a process that thought us dead, whose word counts
        # (RF-05).
        known = await self._known(held, text)
        if known is None and isinstance(outcome, Renewed):
            known = await self._word_of_winner(held, text, result, seconds)
        if isinstance(known, Ended):
            return Ended(superseded=True)  # whose response has cleared the cookies; a login may have followed
        return known or (NoVerdict() if isinstance(outcome, Ended) else outcome)

    async def _word_of_winner(
        self, held: RefreshToken, text: str, result: RefreshResult | None, seconds: float
    ) -> Outcome | None:
        """What whoever took the lease away brings, who is still at it.

        None if that comes to nothing: ours is remembered then, or no response would carry it (RF-04).
        """
        lease = await self._chain.begin(text, self._patience, anew=True)
        known = await self._known(held, text)
        if isinstance(lease, Lease):
            await self._store.finish(text, lease, None if known else result, seconds)
        return known

    async def _replace(self, held: RefreshToken, newest: str, call: Call, verify: Verify) -> Landing:
        leased = await self._chain.lease_newest(newest, self._patience)
        if not isinstance(leased, tuple):
            return leased
        text, lease = leased
        traded, result = await self._trade(held, text, call, verify)
        landing = Renewed(traded) if isinstance(traded, TokenPair) else NotReplaced(traded)
        kept = await self._store.finish(text, lease, result, self._retention.seconds(text, result, landing))
        if kept:
            return landing
        if isinstance(landing, NotReplaced):
            # Without the lease, a refusal may only mean that the winner has spent the token (RF-05).
            is_refusal = isinstance(landing.error, UpstreamRefused)
            return NotReplaced(UpstreamUnavailable()) if is_refusal else landing
        winner = await self._chain.last(text)
        return Ended() if winner is not None and winner.ended else landing

    async def _end(self, text: str, patience: float) -> str:
        # What is overruled tells what it was, so that nothing lands unseen; where that word is lost, what was
        # the newest a moment before is still known.
        tokens, newest, seen = [text], text, set[str]()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):  # the store may be slow too
                leased = await self._chain.lease_newest(text, patience)
                tokens += [leased[0]] if isinstance(leased, tuple) else []
        for token in tokens:
            newest = await self._overrule(token, RefreshResult.over(), seen) or newest
        return newest

    async def _overrule(self, token: str, result: RefreshResult, seen: set[str]) -> str | None:
        """Put ``result`` in the place of what ``token`` was traded for, and of all that followed.

        Returns the newest of them that is not in ``seen``, where all of them are afterwards.
        """
        newest, later = None, cast("str | None", token)
        while later is not None and later not in seen:
            newest = later
            seen.add(newest)
            replaced = await self._store.overrule(newest, result, UNCLAIMED_SECONDS)
            later = replaced.refresh_jwt if replaced else None
        return newest

    async def _settled(self, text: str) -> str | None:
        leased = await self._chain.lease_newest(text, self._patience)
        if isinstance(leased, tuple):
            newest, lease = leased
            await self._store.finish(newest, lease, None, 0.0)
            return newest
        if isinstance(leased, NotReplaced):
            raise leased.error
        return None

    async def _trade(
        self, held: RefreshToken, text: str, call: Call, verify: Verify
    ) -> tuple[TokenPair | UpstreamError, RefreshResult | None]:
        """The verified pair, or the error in its place; and what there is to remember."""
        try:
            result = await call(text)
        except UpstreamError as error:
            return error, None
        except TokenError:  # a remembered token, kept unverified, that no header can carry
            return UpstreamNonsense("refresh_token"), None
        try:
            pair = await verify(result, held)
            is_late = self._retention.is_nearly_over(pair.session)
            return pair, self._retention.until_later(result) if is_late else result
        except (UpstreamNonsense, UpstreamUnavailable) as error:
            # There are no keys to judge by, or our clock is wrong. If Descope rotated, the old token is
            # spent and this answer is the only copy of the new one: kept, and verified when recalled.
            if isinstance(error, UpstreamUnavailable):
                return error, result
            return error, self._retention.until_later(result) if _is_late(error) else None

    async def _remembered(self, held: RefreshToken, result: RefreshResult) -> Outcome | str:
        """The outcome that a remembered result leads to, or the token to refresh with if it is of no use.

        That is the newest token if the session ran out while the result waited: others may be spent.
        """
        if result.pauses_until is not None:
            return NoVerdict(max(1, ceil(result.pauses_until - self._clock())))
        if result.refresh_jwt and result.refresh_jwt != held.text:
            result = await self._chain.last(result.refresh_jwt) or result
        if result.ended:
            return Ended(result.superseded)
        try:
            return Renewed(await self._verify(result, held))
        except UpstreamUnavailable as error:
            return NoVerdict(error.retry_after)
        except UpstreamNonsense as error:
            wait = (result.refresh_at or 0) - self._clock()
            if _is_late(error) and 0 < wait <= REFUSED_SECONDS:  # expired on arrival: see ``until_later``
                return NoVerdict(ceil(wait))
            return (_is_late(error) and result.refresh_jwt) or held.text

    async def _known(self, held: RefreshToken, text: str) -> Outcome | None:
        last = await self._chain.last(text)
        remembered = None if last is None else await self._remembered(held, last)
        return None if isinstance(remembered, str) else remembered

    def _outcome(self, traded: TokenPair | UpstreamError) -> Outcome:
        outcome, event = judge(traded)
        self._events.emit(event)
        return outcome


async def _landed(flight: asyncio.Task[Landing]) -> Landing:
    """Where a flight landed; a waiter that is cancelled leaves it alone.

    A flight that a shutdown cut off has decided nothing.
    """
    await asyncio.wait((flight,))
    return NoVerdict() if flight.cancelled() else flight.result()


def _is_late(error: UpstreamNonsense) -> bool:
    return error.reason == TokenReason.EXPIRED


def _key(text: str) -> bytes:
    return sha256(text.encode()).digest()
