"""A Redis that answers, but has lost or spoilt what it was given (RD-02, RD-03, RD-05)."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fastapi_descope._refresh.store import Lease, RefreshResult
from tests.helpers.redis_fleet import CIPHER, FIRST, LEASE_KEY, RESULT_KEY, SECOND, TOKEN, Fleet, lease_of
from tests.helpers.redis_server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

Spoil = Callable[[RedisServer], object]


@pytest.fixture
async def fleet(redis_server: RedisServer) -> AsyncIterator[Fleet]:
    """Processes on one Redis, which none of the tests takes for an outage."""
    async with Fleet(redis_server.url) as fleet:
        yield fleet
        assert fleet.happened == []


async def test_rd05_a_lease_that_vanished_still_counts(fleet: Fleet, redis_server: RedisServer) -> None:
    """Flushed while the call ran, and nobody came in between: the result is kept and shared."""
    store = fleet.store()
    lease = await lease_of(store)
    redis_server.command("FLUSHALL")
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await fleet.store().get(TOKEN) == FIRST


async def test_rd05_an_older_result_does_not_count_as_newer(fleet: Fleet, redis_server: RedisServer) -> None:
    """A switch passes over a result and loses its lease to an eviction: it replaces that result even so."""
    store = fleet.store()
    await fleet.store().force_set(TOKEN, FIRST, 600)
    lease = await lease_of(store, anew=True)
    redis_server.command("DEL", LEASE_KEY)
    assert await store.complete(TOKEN, lease, SECOND, 60) is True
    assert await fleet.store().get(TOKEN) == SECOND


async def test_rd05_an_older_result_may_end_meanwhile(fleet: Fleet, redis_server: RedisServer) -> None:
    """If the result that was passed over is gone as well, nothing newer stands."""
    store = fleet.store()
    await store.force_set(TOKEN, FIRST, 600)
    lease = await lease_of(store, anew=True)
    redis_server.command("FLUSHALL")
    assert await store.complete(TOKEN, lease, SECOND, 60) is True
    assert await fleet.store().get(TOKEN) == SECOND


async def test_rd05_one_extra_call_at_most(fleet: Fleet, redis_server: RedisServer) -> None:
    """After a flush one other process may begin; the first is told that it lost, whoever finishes first."""
    store, other = fleet.store(), fleet.store()
    late = await lease_of(store)
    redis_server.command("FLUSHALL")
    newer = await lease_of(other)
    assert await store.acquire(TOKEN) is None
    assert await fleet.store().acquire(TOKEN) is None
    assert await store.complete(TOKEN, late, FIRST, 60) is False
    assert await store.get(TOKEN) is None
    assert await other.complete(TOKEN, newer, SECOND, 60) is True
    assert await store.get(TOKEN) == SECOND


async def test_rd05_a_newer_result_stands(fleet: Fleet, redis_server: RedisServer) -> None:
    """The other has finished already: its result is everybody's, the late one nobody's."""
    store, other = fleet.store(), fleet.store()
    late = await lease_of(store)
    redis_server.command("FLUSHALL")
    await other.complete(TOKEN, await lease_of(other), SECOND, 60)
    assert await store.complete(TOKEN, late, FIRST, 60) is False
    redis_server.command("FLUSHALL")
    assert await store.get(TOKEN) is None
    assert await other.get(TOKEN) == SECOND


async def test_a_flush_takes_nothing_from_who_refreshed(fleet: Fleet, redis_server: RedisServer) -> None:
    """The process that brought a result still hands it to late twins; no token is refreshed twice there."""
    store = fleet.store()
    await store.complete(TOKEN, await lease_of(store), FIRST, 60)
    redis_server.command("FLUSHALL")
    assert await store.acquire(TOKEN) == FIRST
    assert await store.get(TOKEN) == FIRST
    assert await fleet.store().get(TOKEN) is None


async def test_the_fleet_knows_better(fleet: Fleet) -> None:
    """What another process has decided since goes before this one's own memory."""
    store, other = fleet.store(), fleet.store()
    await store.force_set(TOKEN, FIRST, 600)
    await other.force_set(TOKEN, RefreshResult.ended(), 600)
    assert await store.get(TOKEN) == RefreshResult.ended()
    assert await store.acquire(TOKEN) == RefreshResult.ended()


async def test_rd05_evicted_while_it_worked(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A full Redis evicts lease and results: the holder's result is kept, a late twin's is at hand."""
    store = fleet.store(url=redis_victim.url)
    await store.force_set("another token", SECOND, 60)
    lease = await lease_of(store)
    redis_victim.evict_everything()
    assert redis_victim.keys() == []
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await fleet.store(url=redis_victim.url).get(TOKEN) == FIRST
    assert await store.get("another token") == SECOND


def transplant(server: RedisServer) -> object:
    """The result of another token, put under the name of this one."""
    return server.command("SET", RESULT_KEY, CIPHER.encrypt("another token", SECOND), "PX", 60_000)


def garbage(server: RedisServer) -> object:
    """Not a sealed result."""
    return server.command("SET", RESULT_KEY, b"\x00\xffcanary" * 9, "PX", 60_000)


def cut_off(server: RedisServer) -> object:
    """The beginning of one."""
    return server.command("SET", RESULT_KEY, CIPHER.encrypt(TOKEN, SECOND)[:30])


def wrong_type(server: RedisServer) -> object:
    """A list."""
    return server.command("LPUSH", RESULT_KEY, "canary")


SPOILT_RESULTS = pytest.mark.parametrize("spoil", [transplant, garbage, cut_off, wrong_type])


@SPOILT_RESULTS
async def test_rd03_what_is_not_a_result_is_nothing(
    fleet: Fleet, redis_server: RedisServer, spoil: Spoil
) -> None:
    """It is not believed, it stops nobody from refreshing, and the next result replaces it."""
    spoil(redis_server)
    store, other = fleet.store(), fleet.store()
    assert await store.get(TOKEN) is None
    lease = await lease_of(store)
    assert await other.acquire(TOKEN) is None
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.get(TOKEN) == FIRST
    assert redis_server.command("PTTL", RESULT_KEY) in range(59_000, 60_001)


@SPOILT_RESULTS
async def test_a_spoilt_result_hides_no_other(fleet: Fleet, redis_server: RedisServer, spoil: Spoil) -> None:
    """The process that brought the true one still knows it; shortening and overruling work as ever."""
    store = fleet.store()
    await store.force_set(TOKEN, FIRST, 60)
    redis_server.command("DEL", RESULT_KEY)
    spoil(redis_server)
    assert await store.get(TOKEN) == FIRST
    assert await store.acquire(TOKEN) == FIRST
    await store.reduce_ttl(TOKEN, 30)
    assert redis_server.command("PTTL", RESULT_KEY) in range(29_000, 30_001)
    await fleet.store().force_set(TOKEN, SECOND, 60)
    assert await store.get(TOKEN) == SECOND


def without_end(server: RedisServer) -> object:
    """A lease that never ends."""
    return server.command("SET", LEASE_KEY, "canary")


def too_long(server: RedisServer) -> object:
    """A lease for a day."""
    return server.command("SET", LEASE_KEY, "canary", "PX", 86_400_000)


def list_of_leases(server: RedisServer) -> object:
    """A list without an end."""
    return server.command("LPUSH", LEASE_KEY, "canary")


def short_list(server: RedisServer) -> object:
    """A list that ends when a lease may end."""
    server.command("LPUSH", LEASE_KEY, "canary")
    return server.command("PEXPIRE", LEASE_KEY, 5_000)


@pytest.mark.parametrize("spoil", [without_end, too_long, list_of_leases, short_list])
async def test_a_false_lease_blocks_nobody(fleet: Fleet, redis_server: RedisServer, spoil: Spoil) -> None:
    """What no process of ours can have written is taken away: no deadlock, and one lease again."""
    spoil(redis_server)
    store = fleet.store()
    begun = await asyncio.gather(*(each.acquire(TOKEN) for each in (store, fleet.store(), fleet.store())))
    leases = [each for each in begun if isinstance(each, Lease)]
    assert len(leases) == 1
    assert redis_server.command("PTTL", LEASE_KEY) in range(9_000, 10_001)


async def test_rd05_a_spoilt_lease_still_counts(fleet: Fleet, redis_server: RedisServer) -> None:
    """A lease key of a wrong type is nobody's: what its holder brings is kept, or a rotated token is lost."""
    store = fleet.store()
    lease = await lease_of(store)
    redis_server.command("DEL", LEASE_KEY)
    redis_server.command("LPUSH", LEASE_KEY, "canary")
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await fleet.store().get(TOKEN) == FIRST
