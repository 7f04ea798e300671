"""Build the objects of a ``Core`` from the settings, each one once."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from .._refresh.coordinator import RefreshCoordinator
from .._refresh.memory_store import MemoryRefreshStore
from .._refresh.store import SHARED_LEASE_SECONDS, RefreshStore
from .._revocation.deny_list import DenyList, Forget
from .._revocation.revocations import RevocationLog, Revocations
from .._telemetry.recorder import Recorder
from .._tokens.verifier import TokenVerifier
from .._upstream.api import DescopeApi
from ..callers import Delegate, Machine
from ..events import EventBus
from ..session import AuthSession
from ..settings import DescopeSettings
from .access_keys import AccessKeys
from .attempt_limits import AttemptLimits
from .authenticator import Authenticator
from .browser_tokens import BrowserTokens
from .clients import build_api, build_redis_store, build_verifier
from .completed_logins import CompletedLogins
from .core import Core
from .handover import SessionHandover
from .login import LoginFlow
from .magic_link import MagicLinkFlow
from .notp import NotpFlow
from .project_cookies import CookieComparison
from .session_gate import CallerHook, SessionGate, SessionHook
from .session_service import SessionService
from .token_service import TokenService

if TYPE_CHECKING:
    from .._upstream.transport import Transport

__all__ = ["CoreBuilder", "monotonic_clock"]

_DRAIN_SECONDS = 10.0
"""How long a shutdown waits for refreshes in flight, unless a call may take longer."""


def monotonic_clock(clock: Callable[[], float]) -> Callable[[], float]:
    """Return the clock for ages and durations: one that cannot be set back (RF-17).

    For an injected ``clock`` it is that clock itself, so that a test moves a single one.
    """
    return time.monotonic if clock is time.time else clock


@dataclass(frozen=True)
class CoreBuilder:
    """Builds the objects of a ``Core``. Each attribute is built when it is first read; none connects.

    Attributes:
        settings: The settings.
        events: The event bus.
        clock: Returns epoch seconds.
        transport: Replaces the connections to Descope.
        refresh_store: Replaces the refresh store of the settings.
        session_hooks: The ``on_session`` hooks.
        caller_hooks: The ``on_caller`` hooks.
        forget: Functions that remove what is cached for the users of a revocation.
        recorder: Measures calls, refreshes and callbacks.
    """

    settings: DescopeSettings
    events: EventBus
    clock: Callable[[], float] = time.time
    transport: "Transport | None" = None
    refresh_store: RefreshStore | None = None
    session_hooks: Sequence[SessionHook] = ()
    caller_hooks: Sequence[CallerHook] = ()
    forget: Sequence[Forget] = ()
    recorder: Recorder = field(default_factory=Recorder)

    def build(self) -> Core:
        """Return all objects. Opens no connection.

        Raises:
            ConfigurationError: A setting is malformed, or names a Redis that cannot be used.
        """
        return Core(
            clock=self.clock,
            api=self.api,
            verifier=self.verifier,
            store=self.store,
            revocations=self.revocations,
            coordinator=self.coordinator,
            access_keys=self.access_keys,
            session_gate=self.session_gate,
            caller_gate=self.caller_gate,
            authenticator=self.authenticator,
            browser_tokens=self.browser_tokens,
            login_flow=self.login_flow,
            handover=self.handover,
            magic_link_flow=self.magic_link_flow,
            notp_flow=self.notp_flow,
            session_service=self.session_service,
            drain_seconds=max(_DRAIN_SECONDS, self.settings.upstream_timeout + 1),
        )

    @property
    def monotonic(self) -> Callable[[], float]:
        """The clock for ages and durations, in seconds."""
        return monotonic_clock(self.clock)

    @cached_property
    def api(self) -> DescopeApi:
        """The client of Descope's API."""
        return build_api(
            self.settings,
            self.events,
            transport=self.transport,
            monotonic=self.monotonic,
            recorder=self.recorder,
        )

    @cached_property
    def verifier(self) -> TokenVerifier:
        """The verifier of session and refresh tokens."""
        return build_verifier(
            self.settings, self.events, self.api.fetch_jwks, clock=self.clock, monotonic=self.monotonic
        )

    @cached_property
    def tokens(self) -> TokenService:
        """Descope's token responses, verified."""
        cookies = CookieComparison(self.settings)
        return TokenService(self.api, self.verifier, cookies=cookies, events=self.events, clock=self.clock)

    @cached_property
    def store(self) -> RefreshStore:
        """The store of refresh results: the app's own, Redis, or the memory of this process."""
        if self.refresh_store is not None:
            return self.refresh_store
        if self.settings.redis_url is not None:
            return build_redis_store(
                self.settings.redis_url, self.settings, self.events, monotonic=self.monotonic
            )
        # Longer than any refresh with its verification takes: no other process could take over the lease.
        lease_seconds = 2 * self.settings.upstream_timeout + _DRAIN_SECONDS
        return MemoryRefreshStore(self.monotonic, lease_seconds=lease_seconds)

    @cached_property
    def revocations(self) -> Revocations:
        """The revocations, shared through Redis if the store is there."""
        ttl = self.settings.revocation_ttl
        return Revocations(self.clock, ttl=ttl, forget=self.forget, log=self._revocation_log)

    @property
    def _revocation_log(self) -> Callable[[DenyList], RevocationLog] | None:
        """The factory of the log in the Redis that ``store`` uses, or None if it uses none."""
        if self.settings.redis_url is None:
            return None
        from .._refresh.redis.store import RedisRefreshStore  # noqa: PLC0415 - needs an optional package
        from .._revocation.redis_log import RedisRevocationLog  # noqa: PLC0415

        store = self.store
        if not isinstance(store, RedisRefreshStore):
            return None
        return lambda deny_list: RedisRevocationLog(
            store.client,
            prefix=store.prefix,
            deny_list=deny_list,
            clock=self.clock,
            ttl=self.settings.revocation_ttl,
            events=self.events,
        )

    @cached_property
    def coordinator(self) -> RefreshCoordinator:
        """The coordinator, which runs one refresh per token family."""
        return RefreshCoordinator(
            store=self.store,
            exchange=self.tokens.refresh,
            verify=self.tokens.verify,
            events=self.events,
            clock=self.clock,
            recorder=self.recorder,
            is_stale=self.revocations.is_stale,
            denies=self.revocations.denies_refresh_token,
            grace=self.settings.refresh_grace,
            # Long enough for the call of another process, and for the lease of a crashed one.
            wait_timeout=max(self.settings.upstream_timeout, SHARED_LEASE_SECONDS) + 1,
        )

    @cached_property
    def session_gate(self) -> SessionGate[AuthSession]:
        """The verdicts of the ``on_session`` hooks."""
        cache_size = self.settings.token_cache_size
        return SessionGate(self.session_hooks, events=self.events, cache_size=cache_size)

    @cached_property
    def caller_gate(self) -> SessionGate[Delegate | Machine]:
        """The verdicts of the ``on_caller`` hooks."""
        cache_size = self.settings.token_cache_size
        return SessionGate(self.caller_hooks, events=self.events, cache_size=cache_size)

    @cached_property
    def access_keys(self) -> AccessKeys:
        """The exchanges of access keys."""
        return AccessKeys(
            self.api,
            self.tokens,
            self.verifier,
            events=self.events,
            clock=self.clock,
            monotonic=self.monotonic,
            leeway=self.settings.leeway,
        )

    @cached_property
    def authenticator(self) -> Authenticator:
        """The authenticator, which turns credentials into an identity."""
        return Authenticator(
            verifier=self.verifier,
            coordinator=self.coordinator,
            revocations=self.revocations,
            gate=self.session_gate,
            caller_gate=self.caller_gate,
            access_keys=self.access_keys if self.settings.access_keys else None,
            events=self.events,
            clock=self.clock,
            refresh_ahead=self.settings.refresh_ahead,
        )

    @cached_property
    def browser_tokens(self) -> BrowserTokens:
        """The tokens in a browser's cookies."""
        return BrowserTokens(self.authenticator, self.coordinator)

    @cached_property
    def login_flow(self) -> LoginFlow:
        """Logins with a code."""
        return LoginFlow(
            self.api,
            self.tokens,
            self.browser_tokens,
            self.coordinator,
            CompletedLogins(self.store, self.coordinator, self.tokens),
            self.session_gate,
            self.events,
            self.recorder,
            sign_up=self.settings.sign_up,
        )

    @cached_property
    def handover(self) -> SessionHandover:
        """Sessions that begin with tokens of a page or of the app."""
        return SessionHandover(
            self.authenticator,
            self.browser_tokens,
            self.coordinator,
            self.login_flow,
            self.events,
        )

    @cached_property
    def magic_link_flow(self) -> MagicLinkFlow:
        """Logins with a link by e-mail."""
        limits = AttemptLimits(self.monotonic)
        return MagicLinkFlow(self.api, self.events, limits, sign_up=self.settings.sign_up)

    @cached_property
    def notp_flow(self) -> NotpFlow:
        """Logins with nOTP."""
        return NotpFlow(self.api, self.login_flow, self.events, self.monotonic)

    @cached_property
    def session_service(self) -> SessionService:
        """Tenant switch, logout and profile."""
        return SessionService(
            self.api,
            self.tokens,
            self.browser_tokens,
            self.coordinator,
            self.revocations,
            self.events,
        )
