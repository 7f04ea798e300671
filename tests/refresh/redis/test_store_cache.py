"""The local cache while Redis is unavailable, or after Redis has lost data (RD-02, RF-04, LO-03)."""

from collections.abc import AsyncIterator, Callable

import pytest

from fastapi_descope._refresh.outcome import Renewed
from fastapi_descope._refresh.store import Lease, RefreshResult
from tests.helpers.redis_fleet import FIRST, SECOND, TOKEN, Fleet, acquire_lease
from tests.helpers.redis_server import RedisServer
from tests.helpers.strict_upstream import StrictDescope

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def fleet(redis_victim: RedisServer) -> AsyncIterator[Fleet]:
    """Processes that share a Redis, which the test may stop."""
    async with Fleet(redis_victim.url) as fleet:
        yield fleet


async def test_rf04_result_of_another_process_survives_an_outage_for_30_seconds(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A response is carrying it, and concurrent requests still send the old token, which is spent."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.acquire(TOKEN) == FIRST
    redis_victim.stop()

    assert await store.get(TOKEN) == FIRST
    assert await store.acquire(TOKEN) == FIRST
    await acquire_lease(store, ignore_cached=True)
    fleet.now += 30
    assert await store.get(TOKEN) is None


def flush(server: RedisServer) -> None:
    """Delete all data."""
    server.command("FLUSHALL")


def evict(server: RedisServer) -> None:
    """Evict all data."""
    server.evict_everything()


LOSSES = pytest.mark.parametrize("lose", [flush, evict])


@LOSSES
async def test_rf04_response_in_progress_survives_data_loss(
    fleet: Fleet, redis_victim: RedisServer, lose: Callable[[RedisServer], None]
) -> None:
    """Another process rotated the token and no browser has the new one yet. No token is spent twice."""
    descope = StrictDescope()
    refresh_token, refreshing = descope.sign_in(), descope.coordinator(fleet.store())
    responding = descope.coordinator(fleet.store())
    await refreshing.refresh(refresh_token)
    pair = await responding.refresh(refresh_token)
    lose(redis_victim)  # while the handler runs

    assert isinstance(pair, Renewed)
    assert await responding.outcome(refresh_token) == pair
    assert await responding.refresh(refresh_token) == pair
    assert await responding.current_token(refresh_token) == pair.pair.refresh.text
    assert descope.calls == [refresh_token.text]


@LOSSES
async def test_rf04_lost_result_stays_cached_for_30_seconds(
    fleet: Fleet, redis_victim: RedisServer, lose: Callable[[RedisServer], None]
) -> None:
    """A caller that ignores it still gets the lease. After 30 seconds the token is unknown."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    lose(redis_victim)

    assert await store.acquire(TOKEN) == FIRST
    lease = await acquire_lease(store, ignore_cached=True)
    assert await store.acquire(TOKEN) == FIRST
    await store.complete(TOKEN, lease, None, 0)
    fleet.now += 30
    assert await store.get(TOKEN) is None
    await acquire_lease(store)


async def test_rf04_cached_result_survives_a_restart_of_redis(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """Redis was unavailable for a second and is empty now."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.acquire(TOKEN) == FIRST
    redis_victim.stop()
    assert await store.get(TOKEN) == FIRST
    redis_victim.start()
    fleet.now += 1.1
    await fleet.recover()

    assert await store.get(TOKEN) == FIRST
    assert await store.acquire(TOKEN) == FIRST


async def test_cached_result_expires_when_it_would_in_redis(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A result stays in the local cache for at most its TTL in Redis."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 10)
    assert await store.get(TOKEN) == FIRST
    fleet.now += 9
    flush(redis_victim)
    assert await store.get(TOKEN) == FIRST
    fleet.now += 1
    assert await store.get(TOKEN) is None
    await acquire_lease(store)


async def test_presented_token_reduces_the_ttl_of_the_cached_result(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A browser has presented the new refresh token, so only the grace period is left."""
    store, other = fleet.store(), fleet.store()
    await other.complete(TOKEN, await acquire_lease(other), FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    await store.mark_presented("canary-refresh", 5)
    flush(redis_victim)
    fleet.now += 5
    assert await store.get(TOKEN) is None


async def test_tn09_data_loss_does_not_restore_an_older_result(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """The newest result that Redis returned counts, here that of a tenant switch."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    await other.force_set(TOKEN, SECOND, 600)
    assert await store.get(TOKEN) == SECOND
    flush(redis_victim)
    assert await store.get(TOKEN) == SECOND


async def test_lo03_data_loss_does_not_restore_a_logged_out_session(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """Neither an older result of another process nor one of this process counts again."""
    store, other, third = fleet.store(), fleet.store(), fleet.store()
    await store.force_set(TOKEN, FIRST, 600)
    assert await third.get(TOKEN) == FIRST
    await other.force_set(TOKEN, RefreshResult.ended(), 600)
    for each in (store, third):
        assert await each.get(TOKEN) == RefreshResult.ended()
    flush(redis_victim)
    for each in (store, third):
        assert await each.get(TOKEN) is None


async def test_rf04_backoff_hides_a_session_only_while_it_lasts(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """After a flush, a process without the result stored a backoff. The new tokens stay cached."""
    store, other, third = fleet.store(), fleet.store(), fleet.store()
    await store.force_set(TOKEN, FIRST, 600)
    assert await third.get(TOKEN) == FIRST
    flush(redis_victim)
    backoff = RefreshResult.backoff(2e9)
    await other.force_set(TOKEN, backoff, 5)
    for each in (store, third):
        assert await each.get(TOKEN) == backoff
    redis_victim.elapse(5)
    fleet.now += 5
    for each in (store, third):
        assert await each.get(TOKEN) == FIRST


async def test_lo03_logout_returns_the_result_that_redis_lost(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """The token of the other process is current, and only this process still has it."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    flush(redis_victim)
    assert await store.force_set(TOKEN, RefreshResult.ended(), 600) == FIRST
    assert await store.get(TOKEN) == RefreshResult.ended()


async def test_own_result_replaces_the_cached_one(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A tenant switch of this process, without rotation, is newer than the result that Redis returned."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    lease = await acquire_lease(store, ignore_cached=True)
    assert await store.get(TOKEN) == FIRST
    redis_victim.stop()
    await store.complete(TOKEN, lease, SECOND, 600)
    assert await store.get(TOKEN) == SECOND


async def test_lo03_ended_session_is_not_restored_from_the_cache(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """The session was ended in another process; then Redis becomes unavailable."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    await other.force_set(TOKEN, RefreshResult.ended(), 600)
    assert await store.get(TOKEN) == RefreshResult.ended()
    redis_victim.stop()
    assert await store.get(TOKEN) is None


async def test_logout_during_an_outage_returns_the_cached_result(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """It replaces the result of the other process, which has the current token."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    await store.get(TOKEN)
    redis_victim.stop()
    assert await store.force_set(TOKEN, RefreshResult.ended(), 600) == FIRST
    assert await store.get(TOKEN) == RefreshResult.ended()


async def test_lo03_logout_overrides_redis(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Redis lost it, or another process overwrote it: in the process of the logout the session has ended."""
    store, other = fleet.store(), fleet.store()
    await store.force_set(TOKEN, RefreshResult.ended(), 600)
    redis_victim.command("FLUSHALL")
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == RefreshResult.ended()
    assert await store.acquire(TOKEN) == RefreshResult.ended()


async def test_rf05_rejection_after_a_lost_lease_is_dropped(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A process that lost its lease does not end the session later, when Redis is unavailable."""
    store, other = fleet.store(), fleet.store()
    late = await acquire_lease(store)
    redis_victim.command("FLUSHALL")
    await other.complete(TOKEN, await acquire_lease(other), SECOND, 600)
    assert await store.complete(TOKEN, late, RefreshResult.ended(), 30) is False
    redis_victim.stop()
    assert isinstance(await store.acquire(TOKEN), Lease)
