"""Parts of a worker's ``Descope`` that a fleet scenario replaces, as environment variables say.

TESTBED_KILL_POINTS     directory of the armed kill points, see ``kill_points``
TESTBED_LEASE_SECONDS   TTL of a lease in Redis
TESTBED_REDIS_TIMEOUT   timeout of Redis in seconds
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

import httpx
from pydantic import SecretStr

from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import RefreshStore
from fastapi_descope._upstream.transport import Transport
from fastapi_descope.events import EventBus

from .kill_points import KillableStore, KillableTransport, KillPoints

__all__ = ["Overrides", "descope_overrides"]

_CONNECTIONS = 20  # like the plugin's own transport


class Overrides(TypedDict, total=False):
    """Keyword arguments of ``Descope``."""

    transport: Transport
    refresh_store: RefreshStore


def descope_overrides(clock: Callable[[], float], environment: Mapping[str, str] = os.environ) -> Overrides:
    """Return the parts to replace; none unless the environment sets a variable."""
    if not environment.keys() & {"TESTBED_KILL_POINTS", "TESTBED_LEASE_SECONDS", "TESTBED_REDIS_TIMEOUT"}:
        return {}
    store = _store(clock, environment)
    if "TESTBED_KILL_POINTS" not in environment:
        return {"refresh_store": store}
    points = KillPoints(Path(environment["TESTBED_KILL_POINTS"]))
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    pool = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
    return {"refresh_store": KillableStore(store, points), "transport": KillableTransport(pool, points)}


def _store(clock: Callable[[], float], environment: Mapping[str, str]) -> RefreshStore:
    """Create the store that the plugin would create, with the lease TTL and timeout of the testbed."""
    if "DESCOPE_REDIS_URL" not in environment:
        return MemoryRefreshStore(clock)
    overrides = {
        keyword: float(environment[name])
        for keyword, name in (
            ("lease_seconds", "TESTBED_LEASE_SECONDS"),
            ("timeout", "TESTBED_REDIS_TIMEOUT"),
        )
        if name in environment
    }
    return RedisRefreshStore(
        SecretStr(environment["DESCOPE_REDIS_URL"]),
        project_id=environment["DESCOPE_PROJECT_ID"],
        events=EventBus(),
        monotonic=clock,
        **overrides,
    )
