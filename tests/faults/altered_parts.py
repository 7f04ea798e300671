"""The parts of a worker's ``Descope`` that a scenario of the fleet needs to be other than they are.

RIG_KILL_POINTS     a directory: the process may be told to die there, see ``kill_points``
RIG_LEASE_SECONDS   how long a lease in Redis lasts
RIG_REDIS_TIMEOUT   how many seconds Redis has for an answer
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

import httpx
from pydantic import SecretStr

from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import MemoryRefreshStore, RefreshStore
from fastapi_descope._upstream.api import Transport
from fastapi_descope.events import EventBus

from .kill_points import KillPoints, MortalStore, MortalTransport

__all__ = ["Parts", "altered_parts"]

_CONNECTIONS = 20  # as the plugin's own transport has


class Parts(TypedDict, total=False):
    """Keywords of ``Descope``."""

    transport: Transport
    refresh_store: RefreshStore


def altered_parts(clock: Callable[[], float], environment: Mapping[str, str] = os.environ) -> Parts:
    """What to build ``Descope`` with; nothing unless the environment asks for it."""
    if not environment.keys() & {"RIG_KILL_POINTS", "RIG_LEASE_SECONDS", "RIG_REDIS_TIMEOUT"}:
        return {}
    store = _store(clock, environment)
    if "RIG_KILL_POINTS" not in environment:
        return {"refresh_store": store}
    points = KillPoints(Path(environment["RIG_KILL_POINTS"]))
    limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    pool = httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
    return {"refresh_store": MortalStore(store, points), "transport": MortalTransport(pool, points)}


def _store(clock: Callable[[], float], environment: Mapping[str, str]) -> RefreshStore:
    """The store that the plugin would have made, but for what the rig says of it."""
    if "DESCOPE_REDIS_URL" not in environment:
        return MemoryRefreshStore(clock)
    said = {
        keyword: float(environment[name])
        for keyword, name in (("lease_seconds", "RIG_LEASE_SECONDS"), ("timeout", "RIG_REDIS_TIMEOUT"))
        if name in environment
    }
    return RedisRefreshStore(
        SecretStr(environment["DESCOPE_REDIS_URL"]),
        project_id=environment["DESCOPE_PROJECT_ID"],
        events=EventBus(),
        monotonic=clock,
        **said,
    )
