"""Processes that share a Redis: a store for each, and the events of all of them."""

import asyncio
from typing import Self

from pydantic import SecretStr

from fastapi_descope._refresh.redis.encryption import ResultCipher
from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.events import Event, EventBus

PROJECT = "P2abcdefghijklmnopqrstuvwxyz"
TOKEN = "canary-header.canary-payload.canary-signature"
FIRST = RefreshResult("canary-session", "canary-refresh", 1_800_000_000.0)
SECOND = RefreshResult("second-session", "second-refresh")

CIPHER = ResultCipher(PROJECT)
RESULT_KEY = f"fastapi-descope:{PROJECT}:refresh:{{{CIPHER.token_hash(TOKEN)}}}"
LEASE_KEY = f"fastapi-descope:{PROJECT}:lease:{{{CIPHER.token_hash(TOKEN)}}}"
REPLACED_KEY = f"fastapi-descope:{PROJECT}:replaced:{{{CIPHER.token_hash(TOKEN)}}}"
PREDECESSOR_KEY = f"fastapi-descope:{PROJECT}:predecessor:{{{CIPHER.token_hash('canary-refresh')}}}"
"""The key of the new refresh token of ``FIRST``."""


class Fleet:
    """Creates stores, closes them and records their events. ``now`` is their monotonic clock.

    ``timeout`` is long by default, so that a busy machine does not look like an outage. ``probe_delay`` is
    short, so that the end of one is soon noticed.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, probe_delay: float = 0.05) -> None:
        self._url = url
        self._timeout = timeout
        self._probe_delay = probe_delay
        self._stores: list[RedisRefreshStore] = []
        self._bus = EventBus()
        self.events: list[Event] = []
        self._bus.subscribe(self.events.append)
        self.now = 1000.0

    def store(self, *, url: str | None = None, lease_seconds: float = 10.0) -> RedisRefreshStore:
        """Return the store of one more process."""
        store = RedisRefreshStore(
            SecretStr(url or self._url),
            project_id=PROJECT,
            events=self._bus,
            monotonic=lambda: self.now,
            lease_seconds=lease_seconds,
            timeout=self._timeout,
            probe_delay=self._probe_delay,
        )
        self._stores.append(store)
        return store

    async def recover(self) -> None:
        """Wait until every outage has ended, and every process has sent the writes that it kept."""
        await asyncio.wait_for(asyncio.gather(*probing()), 60)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for store in self._stores:
            await store.aclose()


def probing() -> set[asyncio.Task[object]]:
    """Return the tasks of all processes that wait for the end of an outage."""
    return {task for task in asyncio.all_tasks() if "_probe_until_recovered" in repr(task)}


async def acquire_lease(store: RedisRefreshStore, *, ignore_cached: bool = False) -> Lease:
    """Acquire the lease for TOKEN, which must be free."""
    lease = await store.acquire(TOKEN, ignore_cached=ignore_cached)
    assert isinstance(lease, Lease)
    return lease
