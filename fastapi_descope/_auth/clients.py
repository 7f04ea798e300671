"""Build what commands use on its own: the clients of Descope and of Redis, and the verifier of tokens."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import SecretStr

from .._telemetry.recorder import Recorder
from .._tokens.claims import TokenPolicy
from .._tokens.verifier import TokenVerifier
from .._upstream.api import DescopeApi
from ..errors import ConfigurationError
from ..events import EventBus
from ..settings import DescopeSettings

if TYPE_CHECKING:
    from .._refresh.redis.store import RedisRefreshStore
    from .._tokens.jwks_cache import Fetch
    from .._upstream.transport import Transport

__all__ = ["build_api", "build_policy", "build_redis_store", "build_verifier"]


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
