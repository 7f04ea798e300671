"""A Descope double with strict reuse detection, for tests of the refresh coordinator.

Each refresh token can be exchanged once; a second exchange ends the family for good. Tokens are short strings
and verification is a lookup, so tests see who calls when and with which token.
"""

import asyncio

from typing_extensions import override

from fastapi_descope._refresh.coordinator import RefreshCoordinator
from fastapi_descope._refresh.leased_exchange import Exchange, Verify
from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope._refresh.store import Lease, RefreshResult, RefreshStore
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
    """A Descope with a clock and a record of its calls.

    ``rotates`` switches rotation on or off. ``scripted_errors`` are raised by the next calls. While
    ``keys_available`` is False, no token can be verified. A call takes effect at once even if its response is
    held back, which is the worst case for a client that loses the response.
    """

    def __init__(self) -> None:
        self.now = NOW
        self.rotates = True
        self.lifetime = LIFETIME
        self.keys_available = True
        self.calls: list[str] = []
        self.scripted_errors: list[DescopeError] = []
        self.recorded_events: list[Event] = []
        self.store = MemoryRefreshStore(self.clock)
        self._pairs: dict[str, TokenPair] = {}
        self._spent: set[str] = set()
        self._ended_users: set[str] = set()
        self._gate = asyncio.Event()
        self._gate.set()

    def clock(self) -> float:
        """Return the time, as epoch seconds and as monotonic seconds. Tests set ``now``."""
        return self.now

    def sign_in(self, user: str = "ada", tenant: str = "acme") -> RefreshToken:
        """Return the first refresh token of a new session."""
        return self._issue(f"{user}/0/{tenant}", tenant).refresh

    def coordinator(
        self, store: RefreshStore | None = None, *, grace: float = 30, wait_timeout: float = 6
    ) -> RefreshCoordinator:
        """Return the coordinator of one process. Pass ``store`` for processes that share a store."""
        events = EventBus()
        events.subscribe(self.recorded_events.append)
        return RefreshCoordinator(
            store=self.store if store is None else store,
            exchange=self.refresh,
            verify=self.verify,
            events=events,
            clock=self.clock,
            grace=grace,
            wait_timeout=wait_timeout,
        )

    def hold_responses(self) -> asyncio.Event:
        """Hold back the responses to calls from now on until the returned event is set."""
        self._gate = asyncio.Event()
        return self._gate

    def stop_holding(self) -> None:
        """Respond to calls from now on. Responses that are held back stay so."""
        self.hold_responses().set()

    def latest_pair(self, refresh_jwt: str) -> TokenPair:
        """Return the pair that was issued last with a refresh token."""
        return [pair for pair in self._pairs.values() if pair.refresh.text == refresh_jwt][-1]

    async def refresh(self, token: str) -> RefreshResult:
        """Return a new pair in the same tenant."""
        return await self._respond(token, None)

    def select_tenant(self, tenant: str) -> tuple[Exchange, Verify]:
        """Return the arguments of ``RefreshCoordinator.switch`` for a tenant."""

        async def exchange(token: str) -> RefreshResult:
            return await self._respond(token, tenant)

        return exchange, self.verify

    async def verify(self, result: RefreshResult, refresh_token: RefreshToken) -> TokenPair:
        """Return the pair if it was issued here to the user of the refresh token and has not expired."""
        await run_ready()
        if not self.keys_available:
            raise UpstreamUnavailable(7)
        pair = self._pairs.get(result.session_jwt or "")
        if pair is None or (pair.refresh.text, pair.refresh.subject) != (
            result.refresh_jwt,
            refresh_token.subject,
        ):
            raise InvalidUpstreamResponse("signature")
        if self.clock() >= pair.session.expires_at:
            raise InvalidUpstreamResponse("expired")
        return pair

    def end_session(self, token: str) -> None:
        """End the family of a refresh token."""
        self._ended_users.add(_user(token))

    async def _respond(self, token: str, tenant: str | None) -> RefreshResult:
        self.calls.append(token)
        gate = self._gate
        response = self.scripted_errors.pop(0) if self.scripted_errors else self._exchange(token, tenant)
        await run_ready()
        await gate.wait()
        if isinstance(response, DescopeError):
            raise response
        return response

    def _exchange(self, token: str, tenant: str | None) -> RefreshResult | DescopeError:
        user = _user(token)
        if user in self._ended_users:
            return UpstreamRejected(401, "E064001")
        if token in self._spent:
            self._ended_users.add(user)
            return UpstreamRejected(400, "E064006")
        _, number, current_tenant = token.split("/")
        new_token = f"{user}/{int(number) + 1}/{tenant or current_tenant}"
        if self.rotates:
            self._spent.add(token)
        pair = self._issue(new_token if self.rotates or tenant else token, tenant or current_tenant)
        return RefreshResult(pair.session_jwt, pair.refresh.text)

    def _issue(self, refresh_jwt: str, tenant: str) -> TokenPair:
        now, user = int(self.clock()), _user(refresh_jwt)
        session = AuthSession(User(user), Tenant(tenant), {}, now, now + self.lifetime)
        refresh = RefreshToken(refresh_jwt, user, now, now + 86400)
        pair = TokenPair(f"session of {refresh_jwt} since {now}", session, refresh)
        self._pairs[pair.session_jwt] = pair
        return pair


class RemoteStore(MemoryRefreshStore):
    """An in-memory store with the timing of a remote one: other tasks run before each result."""

    @override
    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """Do as the in-memory store does, after other tasks have run."""
        await run_ready()
        return await super().acquire(token, ignore_cached=ignore_cached)

    @override
    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """Do as the in-memory store does, after other tasks have run."""
        await run_ready()
        return await super().complete(token, lease, result, ttl)

    @override
    async def get(self, token: str) -> RefreshResult | None:
        """Do as the in-memory store does, after other tasks have run."""
        await run_ready()
        return await super().get(token)

    @override
    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """Do as the in-memory store does, after other tasks have run."""
        await run_ready()
        return await super().force_set(token, result, ttl)

    @override
    async def mark_presented(self, token: str, ttl: float) -> None:
        """Do as the in-memory store does, after other tasks have run."""
        await run_ready()
        await super().mark_presented(token, ttl)


def _user(token: str) -> str:
    return token.partition("/")[0]
