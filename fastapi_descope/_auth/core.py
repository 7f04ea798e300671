"""Build the objects behind the web layer: those that call Descope or read the clock."""

import asyncio
import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from pydantic import SecretStr

from .._refresh.coordinator import RefreshCoordinator
from .._refresh.memory_store import MemoryRefreshStore
from .._refresh.store import SHARED_LEASE_SECONDS, RefreshStore
from .._revocation.deny_list import DenyList, Forget
from .._revocation.revocations import RevocationLog, Revocations
from .._telemetry.recorder import Recorder
from .._tokens.claims import TokenPolicy
from .._tokens.verifier import TokenVerifier
from .._upstream.api import DescopeApi
from ..callers import Delegate, Machine
from ..errors import ConfigurationError
from ..events import EventBus
from ..session import AuthSession
from ..settings import DescopeSettings
from .access_keys import AccessKeys
from .attempt_limits import AttemptLimits
from .authenticator import Authenticator
from .browser_tokens import BrowserTokens
from .completed_logins import CompletedLogins
from .handover import SessionHandover
from .login import LoginFlow
from .magic_link import MagicLinkFlow
from .notp import NotpFlow
from .project_cookies import CookieComparison
from .session_gate import CallerHook, SessionGate, SessionHook
from .session_service import SessionService
from .token_service import TokenService

if TYPE_CHECKING:
    from .._refresh.redis.store import RedisRefreshStore
    from .._tokens.jwks_cache import Fetch
    from .._upstream.transport import Transport

__all__ = [
    "Core",
    "build_api",
    "build_core",
    "build_policy",
    "build_redis_store",
    "build_verifier",
    "monotonic_clock",
]

_DRAIN_SECONDS = 10.0
"""How long a shutdown waits for refreshes in flight, unless a call may take longer."""


@dataclass(slots=True)
class Core:
    """The objects that call Descope or read the clock.

    The web layer keeps the ``Core`` and never its parts, so ``replace`` takes effect everywhere at once.
    """

    clock: Callable[[], float]
    api: DescopeApi
    verifier: TokenVerifier
    store: RefreshStore
    revocations: Revocations
    tokens: TokenService
    coordinator: RefreshCoordinator
    access_keys: AccessKeys
    session_gate: SessionGate[AuthSession]
    caller_gate: SessionGate[Delegate | Machine]
    authenticator: Authenticator
    browser_tokens: BrowserTokens
    login_flow: LoginFlow
    handover: SessionHandover
    magic_link_flow: MagicLinkFlow
    notp_flow: NotpFlow
    session_service: SessionService
    drain_seconds: float

    def replace(self, other: "Core") -> "Core":
        """Take over the objects of ``other``, and return a ``Core`` with the former ones."""
        former = copy.copy(self)
        for field in fields(self):
            setattr(self, field.name, getattr(other, field.name))
        return former

    async def drain(self, seconds: float) -> None:
        """Wait at most ``seconds`` for calls to Descope and the app's hooks in flight."""
        flights = (
            self.access_keys,
            self.coordinator,
            self.login_flow,
            self.notp_flow,
            self.session_service,
            self.session_gate,
            self.caller_gate,
        )
        await asyncio.gather(*(each.drain(seconds) for each in flights))

    async def aclose(self) -> None:
        """Drain, then close all connections. The objects can be used again afterwards."""
        await self.drain(self.drain_seconds)
        await self.verifier.aclose()
        await self.api.aclose()
        await self.revocations.aclose()
        await self.store.aclose()


def monotonic_clock(clock: Callable[[], float]) -> Callable[[], float]:
    """Return the clock for ages and durations: one that cannot be set back (RF-17).

    For an injected ``clock`` it is that clock itself, so that a test moves a single one.
    """
    return time.monotonic if clock is time.time else clock


def build_core(
    settings: DescopeSettings,
    events: EventBus,
    *,
    clock: Callable[[], float] = time.time,
    transport: "Transport | None" = None,
    store: RefreshStore | None = None,
    session_hooks: Sequence[SessionHook] = (),
    caller_hooks: Sequence[CallerHook] = (),
    forget: Sequence[Forget] = (),
    recorder: Recorder | None = None,
) -> Core:
    """Return all objects, built from the settings. Opens no connection.

    ``clock`` returns epoch seconds. ``transport`` replaces the connections to Descope, and ``store`` the
    refresh store of the settings. ``session_hooks`` are the ``on_session`` hooks, ``caller_hooks`` the
    ``on_caller`` hooks. ``forget`` are functions that remove what is cached for the users of a revocation.
    ``recorder`` measures calls, refreshes and callbacks.

    Raises:
        ConfigurationError: The settings name a Redis that cannot be used.
    """
    monotonic = monotonic_clock(clock)
    recorder = recorder or Recorder()
    api = build_api(settings, events, transport=transport, monotonic=monotonic, recorder=recorder)
    verifier = build_verifier(settings, events, api.fetch_jwks, clock=clock, monotonic=monotonic)
    if store is None:
        store = _build_store(settings, events, monotonic)
    revocations = Revocations(
        clock,
        ttl=settings.revocation_ttl,
        forget=forget,
        log=_revocation_log(store, settings, events, clock),
    )
    tokens = TokenService(api, verifier, cookies=CookieComparison(settings), events=events, clock=clock)
    coordinator = _build_coordinator(settings, events, store, tokens, clock, recorder, revocations)
    gate = SessionGate(session_hooks, events=events, cache_size=settings.token_cache_size)
    caller_gate = SessionGate(caller_hooks, events=events, cache_size=settings.token_cache_size)
    access_keys = AccessKeys(
        api, tokens, verifier, events=events, clock=clock, monotonic=monotonic, leeway=settings.leeway
    )
    authenticator = Authenticator(
        verifier=verifier,
        coordinator=coordinator,
        revocations=revocations,
        gate=gate,
        caller_gate=caller_gate,
        access_keys=access_keys if settings.access_keys else None,
        events=events,
        clock=clock,
        refresh_ahead=settings.refresh_ahead,
    )
    browser_tokens = BrowserTokens(authenticator, coordinator)
    completed = CompletedLogins(store, coordinator, tokens, revocations)
    login_flow = LoginFlow(
        api,
        tokens,
        browser_tokens,
        coordinator,
        completed,
        gate,
        events,
        recorder,
        sign_up=settings.sign_up,
    )
    return Core(
        clock=clock,
        api=api,
        verifier=verifier,
        store=store,
        revocations=revocations,
        tokens=tokens,
        coordinator=coordinator,
        access_keys=access_keys,
        session_gate=gate,
        caller_gate=caller_gate,
        authenticator=authenticator,
        browser_tokens=browser_tokens,
        login_flow=login_flow,
        handover=SessionHandover(authenticator, browser_tokens, coordinator, revocations, login_flow, events),
        magic_link_flow=MagicLinkFlow(api, events, AttemptLimits(monotonic), sign_up=settings.sign_up),
        notp_flow=NotpFlow(api, login_flow, events, monotonic),
        session_service=SessionService(api, tokens, browser_tokens, coordinator, revocations, events),
        drain_seconds=max(_DRAIN_SECONDS, settings.upstream_timeout + 1),
    )


def build_api(
    settings: DescopeSettings,
    events: EventBus,
    *,
    transport: "Transport | None" = None,
    monotonic: Callable[[], float] = time.monotonic,
    recorder: Recorder | None = None,
) -> DescopeApi:
    """Return the client of Descope's API. Opens no connection.

    Raises:
        ConfigurationError: The project id or the management key is malformed.
    """
    return DescopeApi(
        base_url=settings.base_url,
        project_id=settings.project_id,
        management_key=settings.auth_management_key,
        timeout=settings.upstream_timeout,
        transport=transport,
        monotonic=monotonic,
        events=events,
        recorder=recorder,
    )


def build_redis_store(
    url: SecretStr,
    settings: DescopeSettings,
    events: EventBus,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    timeout: float = 0.25,
) -> "RedisRefreshStore":
    """Return the refresh store in the Redis at ``url``. Opens no connection.

    Args:
        url: ``DESCOPE_REDIS_URL``.
        settings: The other settings.
        events: Receives an event when Redis becomes unavailable.
        monotonic: Returns seconds.
        timeout: Seconds for one command.

    Raises:
        ConfigurationError: The redis package is not installed, or the URL is malformed.
    """
    try:
        from .._refresh.redis.store import RedisRefreshStore  # noqa: PLC0415 - needs an optional package
    except ModuleNotFoundError:
        raise ConfigurationError(
            "DESCOPE_REDIS_URL is set, and the redis package is not installed:"
            " pip install 'fastapi-descope[redis]'"
        ) from None
    return RedisRefreshStore(
        url,
        project_id=settings.project_id,
        events=events,
        monotonic=monotonic,
        timeout=timeout,
    )


def _build_coordinator(
    settings: DescopeSettings,
    events: EventBus,
    store: RefreshStore,
    tokens: TokenService,
    clock: Callable[[], float],
    recorder: Recorder,
    revocations: Revocations,
) -> RefreshCoordinator:
    return RefreshCoordinator(
        store=store,
        exchange=tokens.refresh,
        verify=tokens.verify,
        events=events,
        clock=clock,
        recorder=recorder,
        is_stale=revocations.is_stale,
        grace=settings.refresh_grace,
        # Long enough for the call of another process, and for the lease of a crashed one.
        wait_timeout=max(settings.upstream_timeout, SHARED_LEASE_SECONDS) + 1,
    )


def _revocation_log(
    store: RefreshStore, settings: DescopeSettings, events: EventBus, clock: Callable[[], float]
) -> Callable[[DenyList], RevocationLog] | None:
    """Return what builds the log of the Redis that ``store`` uses, or None if it uses none."""
    if settings.redis_url is None:
        return None
    from .._refresh.redis.store import RedisRefreshStore  # noqa: PLC0415 - needs an optional package
    from .._revocation.redis_log import RedisRevocationLog  # noqa: PLC0415

    if not isinstance(store, RedisRefreshStore):
        return None
    return lambda deny_list: RedisRevocationLog(
        store.client,
        prefix=store.prefix,
        deny_list=deny_list,
        clock=clock,
        ttl=settings.revocation_ttl,
        events=events,
    )


def _build_store(settings: DescopeSettings, events: EventBus, monotonic: Callable[[], float]) -> RefreshStore:
    if settings.redis_url is not None:
        return build_redis_store(settings.redis_url, settings, events, monotonic=monotonic)
    # Longer than any refresh takes, its verification included: no other process could take over the lease.
    lease_seconds = 2 * settings.upstream_timeout + _DRAIN_SECONDS
    return MemoryRefreshStore(monotonic, lease_seconds=lease_seconds)


def build_verifier(
    settings: DescopeSettings,
    events: EventBus,
    fetch: "Fetch",
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> TokenVerifier:
    """Return the verifier of session and refresh tokens. ``fetch`` gets the key set, when it is needed."""
    return TokenVerifier(
        fetch,
        policy=build_policy(settings),
        clock=clock,
        monotonic=monotonic,
        events=events,
        max_stale=settings.jwks_max_stale,
        cache_size=settings.token_cache_size,
    )


def build_policy(settings: DescopeSettings) -> TokenPolicy:
    """Return what tokens must contain."""
    # A project that renames its cookies names them in the tokens too (wire contract 3.2, ``drn``). Only that
    # name can have a prefix.
    session = {settings.session_cookie_name, settings.session_cookie}
    refresh = {settings.refresh_cookie_name, settings.refresh_cookie}
    return TokenPolicy(
        project_id=settings.project_id,
        issuers=settings.issuers,
        audience=settings.audience,
        session_names=frozenset({"DS", *session}) - refresh,
        refresh_names=frozenset({"DSR", *refresh}) - session,
        clients=frozenset(settings.first_party_clients),
        app_issuers=settings.app_issuers,
        resource=settings.resource,
        leeway=settings.leeway,
    )
