"""A ``StrictDescope`` with injected faults, behind a network that loses responses.

It runs in the virtual time of an event loop and records every exchange, so that a model test can check
afterwards that no call broke a rule.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum

from typing_extensions import override

from fastapi_descope._refresh.leased_exchange import Exchange
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.errors import DescopeError, InvalidUpstreamResponse, RateLimited, UpstreamUnavailable
from tests.helpers.event_loop import run_ready
from tests.helpers.strict_upstream import NOW, StrictDescope

CALL_SECONDS = 5.0
"""Seconds that the client waits for a response; the default of the real client."""


class Fault(Enum):
    """A failure of one call."""

    RATE_LIMITED = "a 429 without effect"
    UNAVAILABLE = "a 503 without effect"
    INVALID_RESPONSE = "a proxy's error page without effect"
    RESPONSE_LOST = "an exchange whose response is lost"
    REVOKED = "an administrator ends the session before the call"


_ERRORS: dict[Fault | None, DescopeError] = {
    Fault.RATE_LIMITED: RateLimited(20),
    Fault.UNAVAILABLE: UpstreamUnavailable(),
    Fault.INVALID_RESPONSE: InvalidUpstreamResponse("html"),
}


@dataclass(eq=False, slots=True)
class ExchangeRecord:
    """A refresh token that was exchanged for ``issued``. ``tenant`` is None for a plain refresh.

    ``lost``: no process knows ``issued``, because the response or the process that received it was lost.
    """

    token: str
    tenant: str | None
    process: object
    at: float
    issued: str = ""
    lost: bool = False


class FaultyDescope(StrictDescope):
    """A ``StrictDescope`` with faults.

    Each entry of ``faults`` affects one call. A second use of a token within ``reuse_grace`` seconds is
    allowed.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, rotates: bool, reuse_grace: float, lifetime: int
    ) -> None:
        self._loop = loop
        super().__init__()
        self.rotates = rotates
        self.lifetime = lifetime
        self.reuse_grace = reuse_grace
        self.faults: list[Fault] = []
        self.exchanges: list[ExchangeRecord] = []
        self.switches: list[ExchangeRecord] = []
        """The switches whose response was delivered."""
        self.reused_tokens: list[str] = []
        self.max_concurrent_calls = 0
        self._concurrent_calls = 0
        self._spent_at: dict[str, float] = {}

    @override
    def clock(self) -> float:
        """Return the time of the loop as epoch seconds."""
        return NOW + self._loop.time()

    @property
    def family_ended(self) -> bool:
        """Whether a session has ended, by a logout, an administrator or reuse detection."""
        return bool(self._ended_users)

    def exchange_for(self, process: object, tenant: str | None = None) -> Exchange:
        """Return the exchange function of a process, for a refresh or for a switch to ``tenant``."""

        async def exchange(token: str) -> RefreshResult:
            return await self._with_timeout(ExchangeRecord(token, tenant, process, self.clock()))

        return exchange

    @property
    def replaced_tokens(self) -> frozenset[str]:
        """The tokens that have a successor which some process knows."""
        return frozenset(
            record.token for record in self.exchanges if not record.lost and record.token != record.issued
        )

    def tenants(self, since: int = 0) -> list[str]:
        """Return the tenants of the session since switch number ``since``, the login's first."""
        tenants = [record.tenant for record in self.switches if record.tenant and not record.lost]
        return ["acme", *tenants][since:]

    async def _with_timeout(self, record: ExchangeRecord) -> RefreshResult:
        self._concurrent_calls += 1
        self.max_concurrent_calls = max(self._concurrent_calls, self.max_concurrent_calls)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await self._respond_to(record)
        except TimeoutError:
            raise UpstreamUnavailable from None
        finally:
            self._concurrent_calls -= 1

    async def _respond_to(self, record: ExchangeRecord) -> RefreshResult:
        gate, fault = self._gate, self.faults.pop(0) if self.faults else None
        if fault is Fault.REVOKED:
            self.end_session(record.token)
        response = _ERRORS.get(fault) or self._record_exchange(record)
        try:
            await run_ready()
            await gate.wait()
        except asyncio.CancelledError:
            record.lost = True
            raise
        if fault is Fault.RESPONSE_LOST:
            record.lost = True
            raise UpstreamUnavailable
        if isinstance(response, DescopeError):
            raise response
        if record.tenant is not None:
            self.switches.append(record)
        return response

    def _record_exchange(self, record: ExchangeRecord) -> RefreshResult | DescopeError:
        strict = self.rotates and not self.family_ended
        self.reused_tokens += [
            earlier.token
            for earlier in self.exchanges
            if strict and earlier.token == record.token and not earlier.lost
        ]
        response = self._exchange(record.token, record.tenant)
        if isinstance(response, RefreshResult):
            record.issued = response.refresh_jwt or ""
            self.exchanges.append(record)
        return response

    @override
    def _exchange(self, token: str, tenant: str | None) -> RefreshResult | DescopeError:
        now = self.clock()
        if now < self._spent_at.setdefault(token, now) + self.reuse_grace:
            self._spent.discard(token)
        return super()._exchange(token, tenant)
