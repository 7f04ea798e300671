"""The memory that Redis needs for refreshed sessions."""

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from typing import cast

from pydantic import SecretStr

from fastapi_descope._refresh.cache_policy import UNDELIVERED_TTL
from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator, JwtPair
from fastapi_descope.events import EventBus
from tests.helpers.redis_server import RedisServer

from ..memory import project_with_users

__all__ = ["SessionMemory", "measure_redis_memory", "token_lengths"]

_CONCURRENT = 16
_BATCH = 1000
"""Sessions of one store: it keeps its results in memory, too."""

_Act = Callable[[RedisRefreshStore, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SessionMemory:
    """The growth of ``used_memory`` for a number of sessions, in bytes for each session.

    Attributes:
        sessions: the number of sessions.
        refreshed: after a refresh, until a browser has presented the new token and its grace is over.
        presented: after that, until ten minutes after the refresh.
        resident: the growth of the process of Redis, after the refreshes.
        per_second: how many sessions were written in a second.
    """

    sessions: int
    refreshed: float
    presented: float
    resident: float
    per_second: float


def measure_redis_memory(sessions: int) -> SessionMemory:
    """Write the results of ``sessions`` refreshes through the store, then present each new token."""
    pair = _issue()
    with TemporaryDirectory() as directory:
        redis = RedisServer(Path(directory))
        try:
            before, resident = _used(redis), _used(redis, "used_memory_rss")
            started = time.perf_counter()
            asyncio.run(_refresh_all(redis.url, pair, sessions))
            seconds = time.perf_counter() - started
            after, resident = _used(redis), _used(redis, "used_memory_rss") - resident
            asyncio.run(_present_all(redis.url, pair, sessions))
            left = _used(redis)
        finally:
            redis.stop()
    return SessionMemory(
        sessions,
        (after - before) / sessions,
        (left - before) / sessions,
        resident / sessions,
        sessions / seconds,
    )


def token_lengths() -> tuple[int, int]:
    """Return the length of the session token and of the refresh token."""
    pair = _issue()
    return len(pair.session_jwt), len(pair.refresh_jwt)


def _issue() -> JwtPair:
    emulator = Emulator(project_with_users(1))
    (user,) = emulator.project.users
    return emulator.issue(user.user_id, next(iter(user.tenants)))


async def _refresh_all(url: str, pair: JwtPair, sessions: int) -> None:
    async def refresh(store: RedisRefreshStore, number: int) -> None:
        lease = await store.acquire(_token(pair.refresh_jwt, number))
        assert isinstance(lease, Lease)
        refresh_jwt = _token(pair.refresh_jwt, number + sessions)
        result = RefreshResult(_signed_anew(pair.session_jwt), refresh_jwt, time.time() + UNDELIVERED_TTL)
        assert await store.complete(_token(pair.refresh_jwt, number), lease, result, UNDELIVERED_TTL)

    await _for_each(url, sessions, refresh)


async def _present_all(url: str, pair: JwtPair, sessions: int) -> None:
    async def present(store: RedisRefreshStore, number: int) -> None:
        await store.mark_presented(_token(pair.refresh_jwt, number + sessions), 0)

    await _for_each(url, sessions, present)


async def _for_each(url: str, sessions: int, act: _Act) -> None:
    for first in range(0, sessions, _BATCH):
        store = RedisRefreshStore(
            SecretStr(url), project_id=DEFAULT_PROJECT_ID, events=EventBus(), timeout=30
        )
        numbers = iter(range(first, min(first + _BATCH, sessions)))
        await asyncio.gather(*(_act_in_turn(store, numbers, act) for _ in range(_CONCURRENT)))
        await store.aclose()


async def _act_in_turn(store: RedisRefreshStore, numbers: Iterator[int], act: _Act) -> None:
    for number in numbers:
        await act(store, number)


def _token(jwt: str, number: int) -> str:
    """Return the refresh token with this number, as long as ``jwt``. Its signature compresses no better."""
    text = f"{number:012}"
    return jwt[: -len(text)] + text


def _signed_anew(jwt: str) -> str:
    text, _, signature = jwt.rpartition(".")
    return f"{text}.{urlsafe_b64encode(token_bytes(len(signature))).decode()[: len(signature)]}"


def _used(redis: RedisServer, name: str = "used_memory") -> int:
    return cast("int", redis.info("memory")[name])
