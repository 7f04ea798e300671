"""A Descope as strict as can be, for those who refresh: each refresh token is good for one use.

A second use ends the family, at once and for good. Tokens are short texts and verification is a look-up,
so that what is tested is who calls when, and with which token.
"""

import asyncio

from typing_extensions import override

from fastapi_descope._refresh.coordinator import Exchange, RefreshCoordinator, Verify
from fastapi_descope._refresh.store import Lease, MemoryRefreshStore, RefreshResult, RefreshStore
from fastapi_descope.errors import (
    DescopeError,
    InvalidUpstreamResponse,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.events import Event, EventBus
from fastapi_descope.session import AuthSession, RefreshToken, Tenant, TokenPair, User
from tests.helpers.event_loop import run_ready

NOW = 1_800_000_000.0
LIFETIME = 600


class StrictDescope:
    """Upstream, the clock that everybody around it reads, and what it was asked.

    ``rotates`` may be switched off. ``script`` holds errors to answer the next calls with instead.
    ``keys_known`` is whether anybody can verify anything. What is asked is done at once, even if the
    answer is held back: the worst for whoever loses it.
    """

    def __init__(self) -> None:
        self.now = NOW
        self.rotates = True
        self.lifetime = LIFETIME
        self.keys_known = True
        self.calls: list[str] = []
        self.script: list[DescopeError] = []
        self.told: list[Event] = []
        self.store = MemoryRefreshStore(self.clock)
        self._pairs: dict[str, TokenPair] = {}
        self._spent: set[str] = set()
        self._over: set[str] = set()
        self._gate = asyncio.Event()
        self._gate.set()

    def clock(self) -> float:
        """Epoch seconds and monotonic seconds at once; moved by the test."""
        return self.now

    def sign_in(self, user: str = "ada", tenant: str = "acme") -> RefreshToken:
        """The first refresh token of a user's session."""
        return self._issue(f"{user}/0/{tenant}", tenant).refresh

    def coordinator(
        self, store: RefreshStore | None = None, *, grace: float = 30, patience: float = 6
    ) -> RefreshCoordinator:
        """One process that refreshes here; with ``store``, one of a fleet."""
        events = EventBus()
        events.subscribe(self.told.append)
        return RefreshCoordinator(
            store=self.store if store is None else store,
            exchange=self.refresh,
            verify=self.verify,
            events=events,
            clock=self.clock,
            grace=grace,
            wait_timeout=patience,
        )

    def hold(self) -> asyncio.Event:
        """Hold back the answers to what is asked from now on, until the event is set."""
        self._gate = asyncio.Event()
        return self._gate

    def serve(self) -> None:
        """Answer what is asked from now on; what was held back stays so."""
        self.hold().set()

    def pair_of(self, refresh_jwt: str) -> TokenPair:
        """The pair that was issued last with a refresh token."""
        return [pair for pair in self._pairs.values() if pair.refresh.text == refresh_jwt][-1]

    async def refresh(self, text: str) -> RefreshResult:
        """A new pair in the same tenant."""
        return await self._answer(text, None)

    def select(self, tenant: str) -> tuple[Exchange, Verify]:
        """A switch to another tenant, as ``replace`` takes it."""

        async def call(text: str) -> RefreshResult:
            return await self._answer(text, tenant)

        return call, self.verify

    async def verify(self, result: RefreshResult, held: RefreshToken) -> TokenPair:
        """The pair, if it was issued here to that user and still holds."""
        await run_ready()
        if not self.keys_known:
            raise UpstreamUnavailable(7)
        pair = self._pairs.get(result.session_jwt or "")
        if pair is None or (pair.refresh.text, pair.refresh.subject) != (result.refresh_jwt, held.subject):
            raise InvalidUpstreamResponse("signature")
        if self.clock() >= pair.session.expires_at:
            raise InvalidUpstreamResponse("expired")
        return pair

    def log_out(self, text: str) -> None:
        """End the family of a refresh token."""
        self._over.add(_user(text))

    async def _answer(self, text: str, tenant: str | None) -> RefreshResult:
        self.calls.append(text)
        gate = self._gate
        answer = self.script.pop(0) if self.script else self._trade(text, tenant)
        await run_ready()
        await gate.wait()
        if isinstance(answer, DescopeError):
            raise answer
        return answer

    def _trade(self, text: str, tenant: str | None) -> RefreshResult | DescopeError:
        user = _user(text)
        if user in self._over:
            return UpstreamRejected(401, "E064001")
        if text in self._spent:
            self._over.add(user)
            return UpstreamRejected(400, "E064006")
        _, number, current = text.split("/")
        fresh = f"{user}/{int(number) + 1}/{tenant or current}"
        if self.rotates:
            self._spent.add(text)
        pair = self._issue(fresh if self.rotates or tenant else text, tenant or current)
        return RefreshResult(pair.session_jwt, pair.refresh.text)

    def _issue(self, refresh_jwt: str, tenant: str) -> TokenPair:
        now, user = int(self.clock()), _user(refresh_jwt)
        session = AuthSession(User(user), Tenant(tenant), {}, now, now + self.lifetime)
        refresh = RefreshToken(refresh_jwt, user, now, now + 86400)
        pair = TokenPair(f"session of {refresh_jwt} since {now}", session, refresh)
        self._pairs[pair.session_jwt] = pair
        return pair


class DistantStore(MemoryRefreshStore):
    """A store behind a network, as far as time goes: others get their turn before it answers."""

    @override
    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """As in memory, later."""
        await run_ready()
        return await super().acquire(token, ignore_cached=ignore_cached)

    @override
    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """As in memory, later."""
        await run_ready()
        return await super().complete(token, lease, result, ttl)

    @override
    async def get(self, token: str) -> RefreshResult | None:
        """As in memory, later."""
        await run_ready()
        return await super().get(token)

    @override
    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """As in memory, later."""
        await run_ready()
        return await super().force_set(token, result, ttl)


def _user(text: str) -> str:
    return text.partition("/")[0]
