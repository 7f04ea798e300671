"""The strict Descope on its bad days, behind a network that loses answers.

For those who search through orders of events: it lives in the time of an event loop, and keeps a list of
whatever it was asked, so that they can tell afterwards whether anybody asked for what they must not.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum

from typing_extensions import override

from fastapi_descope._refresh.coordinator import Exchange
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.errors import DescopeError, InvalidUpstreamResponse, RateLimited, UpstreamUnavailable
from tests.helpers.event_loop import run_ready
from tests.helpers.strict_upstream import NOW, StrictDescope

CALL_SECONDS = 5.0
"""How long the client waits for an answer, as the real one does by default."""


class Fault(Enum):
    """What may go wrong with one call."""

    LIMITED = "429, and nothing done"
    FAILED = "503, and nothing done"
    NONSENSE = "a page of some proxy, and nothing done"
    LOST = "done, and the connection is reset before the answer"
    REVOKED = "an administrator was there before"


_INSTEAD: dict[Fault | None, DescopeError] = {
    Fault.LIMITED: RateLimited(20),
    Fault.FAILED: UpstreamUnavailable(),
    Fault.NONSENSE: InvalidUpstreamResponse("html"),
}


@dataclass(eq=False, slots=True)
class Trade:
    """A refresh token that was traded for ``issued``; ``tenant`` is None for a plain refresh.

    ``lost``: nobody knows of ``issued``, because the answer, or the process that had it, was lost.
    """

    text: str
    tenant: str | None
    process: object
    at: float
    issued: str = ""
    lost: bool = False


class FaultyDescope(StrictDescope):
    """``faults`` befall the next calls, one each. A ``reuse_grace`` forgives a second use so many seconds."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, rotates: bool, reuse_grace: float, lifetime: int
    ) -> None:
        self._loop = loop
        super().__init__()
        self.rotates = rotates
        self.lifetime = lifetime
        self.reuse_grace = reuse_grace
        self.faults: list[Fault] = []
        self.trades: list[Trade] = []
        self.switches: list[Trade] = []
        """Those that were answered."""
        self.presented_twice: list[str] = []
        self.most_under_way = 0
        self._under_way = 0
        self._spent_at: dict[str, float] = {}

    @override
    def clock(self) -> float:
        """The time of the loop, as epoch seconds."""
        return NOW + self._loop.time()

    @property
    def family_is_over(self) -> bool:
        """Whether any session was ended here, by a sign-out, an administrator or a reuse."""
        return bool(self._over)

    def asks(self, process: object, tenant: str | None = None) -> Exchange:
        """How a process asks for a refresh, or for a switch."""

        async def call(text: str) -> RefreshResult:
            return await self._in_time(Trade(text, tenant, process, self.clock()))

        return call

    @property
    def retired(self) -> frozenset[str]:
        """The tokens in whose place there is a newer one, known to somebody."""
        return frozenset(trade.text for trade in self.trades if not trade.lost and trade.text != trade.issued)

    def tenants(self, since: int = 0) -> list[str]:
        """Which tenants the session was in, from ``since``: the sign-in's, and those of the switches."""
        kept = [trade.tenant for trade in self.switches if trade.tenant and not trade.lost]
        return ["acme", *kept][since:]

    async def _in_time(self, trade: Trade) -> RefreshResult:
        self._under_way += 1
        self.most_under_way = max(self._under_way, self.most_under_way)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._serve(trade)
        except TimeoutError:
            raise UpstreamUnavailable from None
        finally:
            self._under_way -= 1

    async def _serve(self, trade: Trade) -> RefreshResult:
        gate, fault = self._gate, self.faults.pop(0) if self.faults else None
        if fault is Fault.REVOKED:
            self.log_out(trade.text)
        answer = _INSTEAD.get(fault) or self._traded(trade)
        try:
            await run_ready()
            await gate.wait()
        except asyncio.CancelledError:
            trade.lost = True
            raise
        if fault is Fault.LOST:
            trade.lost = True
            raise UpstreamUnavailable
        if isinstance(answer, DescopeError):
            raise answer
        if trade.tenant is not None:
            self.switches.append(trade)
        return answer

    def _traded(self, trade: Trade) -> RefreshResult | DescopeError:
        strict = self.rotates and not self.family_is_over
        self.presented_twice += [
            earlier.text
            for earlier in self.trades
            if strict and earlier.text == trade.text and not earlier.lost
        ]
        answer = self._trade(trade.text, trade.tenant)
        if isinstance(answer, RefreshResult):
            trade.issued = answer.refresh_jwt or ""
            self.trades.append(trade)
        return answer

    @override
    def _trade(self, text: str, tenant: str | None) -> RefreshResult | DescopeError:
        now = self.clock()
        if now < self._spent_at.setdefault(text, now) + self.reuse_grace:
            self._spent.discard(text)
        return super()._trade(text, tenant)
