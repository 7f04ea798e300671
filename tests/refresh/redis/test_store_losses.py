"""A Redis that replies, but has lost or corrupted data (RD-02, RD-03, RD-05)."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fastapi_descope._refresh.store import Lease, RefreshResult
from tests.helpers.redis_fleet import (
    CIPHER,
    FIRST,
    LEASE_KEY,
    RESULT_KEY,
    SECOND,
    TOKEN,
    Fleet,
    acquire_lease,
)
from tests.helpers.redis_server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

Corrupt = Callable[[RedisServer], object]


@pytest.fixture
async def fleet(redis_server: RedisServer) -> AsyncIterator[Fleet]:
    """Processes that share a Redis. No test causes an outage."""
    async with Fleet(redis_server.url) as fleet:
        yield fleet
        assert fleet.events == []


async def test_rd05_flushed_lease_still_counts(fleet: Fleet, redis_server: RedisServer) -> None:
    """Flushed during the call, and not acquired by another process: the result is kept and shared."""
    store = fleet.store()
    lease = await acquire_lease(store)
    redis_server.command("FLUSHALL")
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await fleet.store().get(TOKEN) == FIRST


async def test_rd05_ignored_result_is_replaced_after_a_lost_lease(
    fleet: Fleet, redis_server: RedisServer
) -> None:
    """A tenant switch ignores a cached result and its lease is evicted. It still replaces that result."""
    store = fleet.store()
    await fleet.store().force_set(TOKEN, FIRST, 600)
    lease = await acquire_lease(store, ignore_cached=True)
    redis_server.command("DEL", LEASE_KEY)
    assert await store.complete(TOKEN, lease, SECOND, 60) is True
    assert await fleet.store().get(TOKEN) == SECOND


async def test_rd05_ignored_result_may_be_lost_too(fleet: Fleet, redis_server: RedisServer) -> None:
    """If the ignored result is lost as well, no newer one is stored."""
    store = fleet.store()
    await store.force_set(TOKEN, FIRST, 600)
    lease = await acquire_lease(store, ignore_cached=True)
    redis_server.command("FLUSHALL")
    assert await store.complete(TOKEN, lease, SECOND, 60) is True
    assert await fleet.store().get(TOKEN) == SECOND


async def test_rd05_one_extra_call_at_most(fleet: Fleet, redis_server: RedisServer) -> None:
    """After a flush one other process can acquire the lease. The first one has then lost it."""
    store, other = fleet.store(), fleet.store()
    late = await acquire_lease(store)
    redis_server.command("FLUSHALL")
    newer = await acquire_lease(other)
    assert await store.acquire(TOKEN) is None
    assert await fleet.store().acquire(TOKEN) is None
    assert await store.complete(TOKEN, late, FIRST, 60) is False
    assert await store.get(TOKEN) is None
    assert await other.complete(TOKEN, newer, SECOND, 60) is True
    assert await store.get(TOKEN) == SECOND


async def test_rd05_newer_result_is_kept(fleet: Fleet, redis_server: RedisServer) -> None:
    """If the other process has finished already, the late result is dropped in all processes."""
    store, other = fleet.store(), fleet.store()
    late = await acquire_lease(store)
    redis_server.command("FLUSHALL")
    await other.complete(TOKEN, await acquire_lease(other), SECOND, 60)
    assert await store.complete(TOKEN, late, FIRST, 60) is False
    redis_server.command("FLUSHALL")
    assert await store.get(TOKEN) is None
    assert await other.get(TOKEN) == SECOND


async def test_process_that_refreshed_keeps_its_result_after_a_flush(
    fleet: Fleet, redis_server: RedisServer
) -> None:
    """It still returns the result to late requests, and refreshes no token twice."""
    store = fleet.store()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 60)
    redis_server.command("FLUSHALL")
    assert await store.acquire(TOKEN) == FIRST
    assert await store.get(TOKEN) == FIRST
    assert await fleet.store().get(TOKEN) is None


async def test_redis_takes_precedence_over_the_local_result(fleet: Fleet) -> None:
    """A newer result of another process wins over the local cache."""
    store, other = fleet.store(), fleet.store()
    await store.force_set(TOKEN, FIRST, 600)
    await other.force_set(TOKEN, RefreshResult.ended(), 600)
    assert await store.get(TOKEN) == RefreshResult.ended()
    assert await store.acquire(TOKEN) == RefreshResult.ended()


async def test_rd05_eviction_during_a_refresh_loses_nothing(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A full Redis evicts lease and results. The holder's result is kept, and older ones stay cached."""
    store = fleet.store(url=redis_victim.url)
    await store.force_set("another token", SECOND, 60)
    lease = await acquire_lease(store)
    redis_victim.evict_everything()
    assert redis_victim.keys() == []
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await fleet.store(url=redis_victim.url).get(TOKEN) == FIRST
    assert await store.get("another token") == SECOND


def moved_value(server: RedisServer) -> object:
    """Store the result of another token under this one."""
    return server.command("SET", RESULT_KEY, CIPHER.encrypt("another token", SECOND), "PX", 60_000)


def garbage(server: RedisServer) -> object:
    """Store random bytes."""
    return server.command("SET", RESULT_KEY, b"\x00\xffcanary" * 9, "PX", 60_000)


def truncated(server: RedisServer) -> object:
    """Store the start of a result, without a TTL."""
    return server.command("SET", RESULT_KEY, CIPHER.encrypt(TOKEN, SECOND)[:30])


def wrong_type(server: RedisServer) -> object:
    """Store a list."""
    return server.command("LPUSH", RESULT_KEY, "canary")


INVALID_VALUES = pytest.mark.parametrize("corrupt", [moved_value, garbage, truncated, wrong_type])


@INVALID_VALUES
async def test_rd03_invalid_value_counts_as_absent(
    fleet: Fleet, redis_server: RedisServer, corrupt: Corrupt
) -> None:
    """It is ignored, a refresh runs, and the next result replaces it."""
    corrupt(redis_server)
    store, other = fleet.store(), fleet.store()
    assert await store.get(TOKEN) is None
    lease = await acquire_lease(store)
    assert await other.acquire(TOKEN) is None
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.get(TOKEN) == FIRST
    assert redis_server.command("PTTL", RESULT_KEY) in range(59_000, 60_001)


@INVALID_VALUES
async def test_invalid_value_does_not_hide_the_local_result(
    fleet: Fleet, redis_server: RedisServer, corrupt: Corrupt
) -> None:
    """The process with the valid result still returns it. The other operations still work."""
    store = fleet.store()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 60)
    redis_server.command("DEL", RESULT_KEY)
    corrupt(redis_server)
    assert await store.get(TOKEN) == FIRST
    assert await store.acquire(TOKEN) == FIRST
    await fleet.store().mark_presented("canary-refresh", 30)
    assert await store.acquire(TOKEN, ignore_cached=True) is not None
    await fleet.store().force_set(TOKEN, SECOND, 60)
    assert await store.get(TOKEN) == SECOND


def without_ttl(server: RedisServer) -> object:
    """Store a lease without a TTL."""
    return server.command("SET", LEASE_KEY, "canary")


def too_long(server: RedisServer) -> object:
    """Store a lease for a day."""
    return server.command("SET", LEASE_KEY, "canary", "PX", 86_400_000)


def list_of_leases(server: RedisServer) -> object:
    """Store a list without a TTL."""
    return server.command("LPUSH", LEASE_KEY, "canary")


def short_list(server: RedisServer) -> object:
    """Store a list with the TTL of a lease."""
    server.command("LPUSH", LEASE_KEY, "canary")
    return server.command("PEXPIRE", LEASE_KEY, 5_000)


@pytest.mark.parametrize("corrupt", [without_ttl, too_long, list_of_leases, short_list])
async def test_invalid_lease_is_overwritten(
    fleet: Fleet, redis_server: RedisServer, corrupt: Corrupt
) -> None:
    """A lease that no process can have written is overwritten: no deadlock, and one lease again."""
    corrupt(redis_server)
    store = fleet.store()
    acquired = await asyncio.gather(*(each.acquire(TOKEN) for each in (store, fleet.store(), fleet.store())))
    leases = [each for each in acquired if isinstance(each, Lease)]
    assert len(leases) == 1
    assert redis_server.command("PTTL", LEASE_KEY) in range(9_000, 10_001)


async def test_rd05_lease_key_of_wrong_type_still_counts(fleet: Fleet, redis_server: RedisServer) -> None:
    """No process holds such a lease. The result is kept, because a rotated token would be lost otherwise."""
    store = fleet.store()
    lease = await acquire_lease(store)
    redis_server.command("DEL", LEASE_KEY)
    redis_server.command("LPUSH", LEASE_KEY, "canary")
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await fleet.store().get(TOKEN) == FIRST
