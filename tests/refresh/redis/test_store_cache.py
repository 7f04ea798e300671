"""What a process remembers for when Redis is away, has lost or has not heard it (RD-02, RF-04, LO-03)."""

from collections.abc import AsyncIterator, Callable

import pytest

from fastapi_descope._refresh.outcome import Renewed
from fastapi_descope._refresh.store import Lease, RefreshResult
from tests.helpers.redis_fleet import FIRST, SECOND, TOKEN, Fleet, lease_of
from tests.helpers.redis_server import RedisServer
from tests.helpers.strict_upstream import StrictDescope

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
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.acquire(TOKEN) == FIRST
    redis_victim.stop()

    assert await store.get(TOKEN) == FIRST
    assert await store.acquire(TOKEN) == FIRST
    await lease_of(store, anew=True)
    fleet.now += 30
    assert await store.get(TOKEN) is None


def flush(server: RedisServer) -> None:
    """Somebody empties it."""
    server.command("FLUSHALL")


def evict(server: RedisServer) -> None:
    """It is full for a moment."""
    server.evict_everything()


LOSSES = pytest.mark.parametrize("lose", [flush, evict])


@LOSSES
async def test_rf04_a_response_under_way_outlives_what_redis_loses(
    fleet: Fleet, redis_victim: RedisServer, lose: Callable[[RedisServer], None]
) -> None:
    """Another process rotated the token, and nobody has the new one yet: nothing is spent twice."""
    descope = StrictDescope()
    held, refreshed = descope.sign_in(), descope.coordinator(fleet.store())
    answering = descope.coordinator(fleet.store())
    await refreshed.refresh(held)
    pair = await answering.refresh(held)
    lose(redis_victim)  # while the handler runs

    assert isinstance(pair, Renewed)
    assert await answering.outcome(held) == pair
    assert await answering.refresh(held) == pair
    assert await answering.current_token(held) == pair.pair.refresh.text
    assert descope.calls == [held.text]


@LOSSES
async def test_rf04_what_redis_lost_is_known_for_half_a_minute(
    fleet: Fleet, redis_victim: RedisServer, lose: Callable[[RedisServer], None]
) -> None:
    """Whoever wants a newer result gets the lease all the same; then the token is as good as new."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    lose(redis_victim)

    assert await store.acquire(TOKEN) == FIRST
    lease = await lease_of(store, anew=True)
    assert await store.acquire(TOKEN) == FIRST
    await store.complete(TOKEN, lease, None, 0)
    fleet.now += 30
    assert await store.get(TOKEN) is None
    await lease_of(store)


async def test_rf04_what_was_heard_outlives_a_restart(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Redis was away for a second and is back, empty."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.acquire(TOKEN) == FIRST
    redis_victim.stop()
    assert await store.get(TOKEN) == FIRST
    redis_victim.start()
    await fleet.heal(store, after=1.1)

    assert await store.get(TOKEN) == FIRST
    assert await store.acquire(TOKEN) == FIRST


async def test_what_redis_let_go_of_in_time_is_not_lost(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A result counts here for as long as it would have counted there."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 10)
    assert await store.get(TOKEN) == FIRST
    fleet.now += 9
    flush(redis_victim)
    assert await store.get(TOKEN) == FIRST
    fleet.now += 1
    assert await store.get(TOKEN) is None
    await lease_of(store)


async def test_what_was_heard_is_shortened_too(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A response has carried it: from then on only the grace is left."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    await store.reduce_ttl(TOKEN, 5)
    flush(redis_victim)
    fleet.now += 5
    assert await store.get(TOKEN) is None


async def test_tn09_what_redis_loses_brings_no_older_result_back(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A switch was heard of after it: that is what was lost."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    await other.force_set(TOKEN, SECOND, 600)
    assert await store.get(TOKEN) == SECOND
    flush(redis_victim)
    assert await store.get(TOKEN) == SECOND


async def test_lo03_a_logout_that_redis_loses_brings_no_session_back(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """Neither what another process brought before it, nor what this one did."""
    store, other, third = fleet.store(), fleet.store(), fleet.store()
    await store.force_set(TOKEN, FIRST, 600)
    assert await third.get(TOKEN) == FIRST
    await other.force_set(TOKEN, RefreshResult.ended(), 600)
    for each in (store, third):
        assert await each.get(TOKEN) == RefreshResult.ended()
    flush(redis_victim)
    for each in (store, third):
        assert await each.get(TOKEN) is None


async def test_rf04_a_pause_hides_no_session_for_longer_than_it_lasts(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """After a flush somebody who knew nothing was told to wait by Descope: the new tokens are still known."""
    store, other, third = fleet.store(), fleet.store(), fleet.store()
    await store.force_set(TOKEN, FIRST, 600)
    assert await third.get(TOKEN) == FIRST
    flush(redis_victim)
    pause = RefreshResult.backoff(2e9)
    await other.force_set(TOKEN, pause, 5)
    for each in (store, third):
        assert await each.get(TOKEN) == pause
    redis_victim.elapse(5)
    fleet.now += 5
    for each in (store, third):
        assert await each.get(TOKEN) == FIRST


async def test_lo03_a_logout_follows_what_redis_lost(fleet: Fleet, redis_victim: RedisServer) -> None:
    """The other process's token is the newest, and nobody else knows it any more."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    flush(redis_victim)
    assert await store.force_set(TOKEN, RefreshResult.ended(), 600) == FIRST
    assert await store.get(TOKEN) == RefreshResult.ended()


async def test_what_was_heard_gives_way_to_what_was_done_since(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A switch of our own, without rotation under the same token, is newer than what Redis said before."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    lease = await lease_of(store, anew=True)
    assert await store.get(TOKEN) == FIRST
    redis_victim.stop()
    await store.complete(TOKEN, lease, SECOND, 600)
    assert await store.get(TOKEN) == SECOND


async def test_lo03_an_end_that_was_heard_is_not_undone_by_what_was_heard_before(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """Somebody signed out elsewhere; then Redis goes away."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    await other.force_set(TOKEN, RefreshResult.ended(), 600)
    assert await store.get(TOKEN) == RefreshResult.ended()
    redis_victim.stop()
    assert await store.get(TOKEN) is None


async def test_a_logout_without_redis_follows_what_was_heard(fleet: Fleet, redis_victim: RedisServer) -> None:
    """It replaces the other process's result, whose token is the newest."""
    store, other = fleet.store(), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    await store.get(TOKEN)
    redis_victim.stop()
    assert await store.force_set(TOKEN, RefreshResult.ended(), 600) == FIRST
    assert await store.get(TOKEN) == RefreshResult.ended()


async def test_lo03_a_logout_stands_whatever_redis_says(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Redis missed it, or another process was late: in the process that signed out the session is over."""
    store, other = fleet.store(), fleet.store()
    await store.force_set(TOKEN, RefreshResult.ended(), 600)
    redis_victim.command("FLUSHALL")
    await other.force_set(TOKEN, FIRST, 600)
    assert await store.get(TOKEN) == RefreshResult.ended()
    assert await store.acquire(TOKEN) == RefreshResult.ended()


async def test_rf05_the_refusal_of_a_late_loser_is_forgotten(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Its lease was lost: when Redis goes away, its own memory does not end the winner's session either."""
    store, other = fleet.store(), fleet.store()
    late = await lease_of(store)
    redis_victim.command("FLUSHALL")
    await other.complete(TOKEN, await lease_of(other), SECOND, 600)
    assert await store.complete(TOKEN, late, RefreshResult.ended(), 30) is False
    redis_victim.stop()
    assert isinstance(await store.acquire(TOKEN), Lease)
