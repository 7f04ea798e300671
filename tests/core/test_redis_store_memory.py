"""What a process remembers for when Redis is away, or has not heard everything (RD-02, RF-04, LO-03)."""

from collections.abc import AsyncIterator

import pytest

from fastapi_descope.core.refresh_store import Lease, RefreshResult
from tests.support.redis_fleet import FIRST, SECOND, TOKEN, Fleet, lease_of
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def fleet(redis_victim: RedisServer) -> AsyncIterator[Fleet]:
    """Processes on a Redis that the test may stop."""
    async with Fleet(redis_victim.url) as fleet:
        yield fleet


async def test_rf04_another_processs_result_outlives_redis_for_half_a_minute(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A response is under way with it, and twins come with the old token, which is spent."""
    store, other = fleet.store(), fleet.store()
    await other.overrule(TOKEN, FIRST, 600)
    assert await store.begin(TOKEN) == FIRST
    redis_victim.stop()

    assert await store.recall(TOKEN) == FIRST
    assert await store.begin(TOKEN) == FIRST
    await lease_of(store, anew=True)
    fleet.now += 30
    assert await store.recall(TOKEN) is None


async def test_what_was_heard_gives_way_to_what_was_done_since(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A switch of our own, without rotation under the same token, is newer than what Redis said before."""
    store, other = fleet.store(), fleet.store()
    await other.overrule(TOKEN, FIRST, 600)
    lease = await lease_of(store, anew=True)
    assert await store.recall(TOKEN) == FIRST
    redis_victim.stop()
    await store.finish(TOKEN, lease, SECOND, 600)
    assert await store.recall(TOKEN) == SECOND


async def test_lo03_an_end_that_was_heard_is_not_undone_by_what_was_heard_before(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """Somebody signed out elsewhere; then Redis goes away."""
    store, other = fleet.store(), fleet.store()
    await other.overrule(TOKEN, FIRST, 600)
    assert await store.recall(TOKEN) == FIRST
    await other.overrule(TOKEN, RefreshResult.over(), 600)
    assert await store.recall(TOKEN) == RefreshResult.over()
    redis_victim.stop()
    assert await store.recall(TOKEN) is None


async def test_a_logout_without_redis_follows_what_was_heard(fleet: Fleet, redis_victim: RedisServer) -> None:
    """It replaces the other process's result, whose token is the newest."""
    store, other = fleet.store(), fleet.store()
    await other.overrule(TOKEN, FIRST, 600)
    await store.recall(TOKEN)
    redis_victim.stop()
    assert await store.overrule(TOKEN, RefreshResult.over(), 600) == FIRST
    assert await store.recall(TOKEN) == RefreshResult.over()


async def test_lo03_a_logout_stands_whatever_redis_says(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Redis missed it, or another process was late: in the process that signed out the session is over."""
    store, other = fleet.store(), fleet.store()
    await store.overrule(TOKEN, RefreshResult.over(), 600)
    redis_victim.command("FLUSHALL")
    await other.overrule(TOKEN, FIRST, 600)
    assert await store.recall(TOKEN) == RefreshResult.over()
    assert await store.begin(TOKEN) == RefreshResult.over()


async def test_rf05_the_refusal_of_a_late_loser_is_forgotten(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Its lease was lost: when Redis goes away, its own memory does not end the winner's session either."""
    store, other = fleet.store(), fleet.store()
    late = await lease_of(store)
    redis_victim.command("FLUSHALL")
    await other.finish(TOKEN, await lease_of(other), SECOND, 600)
    assert await store.finish(TOKEN, late, RefreshResult.over(), 30) is False
    redis_victim.stop()
    assert isinstance(await store.begin(TOKEN), Lease)
