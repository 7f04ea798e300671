"""Results expire in the whole fleet after a browser has presented their new refresh token (RF-04)."""

from collections.abc import AsyncIterator

import pytest

from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._refresh.store import Lease, RefreshResult
from tests.faults.redis_proxy import Lost, RedisProxy
from tests.helpers.event_loop import run_ready
from tests.helpers.redis_fleet import (
    FIRST,
    PREDECESSOR_KEY,
    PROJECT,
    RESULT_KEY,
    TOKEN,
    Fleet,
    acquire_lease,
)
from tests.helpers.redis_server import RedisServer
from tests.helpers.strict_upstream import StrictDescope

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

GRACE = 30


@pytest.fixture
async def fleet(redis_victim: RedisServer) -> AsyncIterator[Fleet]:
    """Processes that share a Redis, which a test may stop."""
    async with Fleet(redis_victim.url, timeout=1.0) as fleet:
        yield fleet


def pass_time(fleet: Fleet, server: RedisServer, seconds: float) -> None:
    """Let time pass in the processes and in Redis."""
    fleet.now += seconds
    server.elapse(seconds)


async def test_rf04_old_token_is_refused_in_every_process_after_the_grace(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """Also in the process that refreshed, although the browser presented the new token to another one."""
    descope = StrictDescope()
    old, refreshing, other = (
        descope.sign_in(),
        descope.coordinator(fleet.store(), grace=GRACE),
        descope.coordinator(fleet.store(), grace=GRACE),
    )
    renewed = await refreshing.refresh(old)
    assert isinstance(renewed, Renewed)
    pass_time(fleet, redis_victim, 300)
    other.mark_presented(renewed.pair.refresh.text)
    await other.drain(10)

    pass_time(fleet, redis_victim, GRACE - 1)
    assert await refreshing.refresh(old) == renewed
    pass_time(fleet, redis_victim, 1.1)
    assert await refreshing.refresh(old) == Ended()
    assert descope.calls == [old.text, old.text]


async def test_rf04_chain_of_lost_responses_ends_with_the_last_delivery(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A browser got neither the second nor the third token; each came from another process.

    It presents the fourth one to a process that has refreshed nothing. The older three work for the grace.
    """
    descope = StrictDescope()
    descope.lifetime = 100
    old = descope.sign_in()
    one, two, three = (descope.coordinator(fleet.store(), grace=GRACE) for _ in range(3))
    assert isinstance(await one.refresh(old), Renewed)
    for coordinator in (two, one):
        pass_time(fleet, redis_victim, descope.lifetime + 1)
        descope.now += descope.lifetime + 1
        newest = await coordinator.refresh(old)
        assert isinstance(newest, Renewed)
    assert descope.calls == [old.text, "ada/1/acme", "ada/2/acme"]
    three.mark_presented("ada/3/acme")
    await three.drain(10)

    pass_time(fleet, redis_victim, GRACE - 1)
    for coordinator in (one, two, three):
        for spent in (
            old,
            descope.latest_pair("ada/1/acme").refresh,
            descope.latest_pair("ada/2/acme").refresh,
        ):
            assert await coordinator.refresh(spent) == newest
    pass_time(fleet, redis_victim, 1.1)
    assert await two.refresh(old) == Ended()


async def test_rf04_logout_ends_a_chain_of_lost_responses(fleet: Fleet, redis_victim: RedisServer) -> None:
    """The browser still has the first token, and logs out at another process. No token works in any."""
    descope = StrictDescope()
    descope.lifetime = 100
    old = descope.sign_in()
    one, two = (descope.coordinator(fleet.store(), grace=GRACE) for _ in range(2))
    await one.refresh(old)
    pass_time(fleet, redis_victim, descope.lifetime + 1)
    descope.now += descope.lifetime + 1
    await two.refresh(old)
    assert await one.revoke(old, wait_timeout=1) == "ada/2/acme"

    for coordinator in (one, two):
        for number in range(3):
            token = old if number == 0 else descope.latest_pair(f"ada/{number}/acme").refresh
            assert isinstance(await coordinator.refresh(token), Ended)
    assert len(descope.calls) == 2


async def test_cb09_token_from_before_a_login_gets_nothing(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Its successor was lost, and the browser signed in again. No process returns either session."""
    descope = StrictDescope()
    old = descope.sign_in()
    one, two = (descope.coordinator(fleet.store(), grace=GRACE) for _ in range(2))
    await one.refresh(old)
    await two.supersede(old)

    for coordinator in (one, two):
        assert await coordinator.refresh(old) == Ended(superseded=True)
        assert await coordinator.refresh(descope.latest_pair("ada/1/acme").refresh) == Ended(superseded=True)


async def test_rf04_token_before_a_tenant_switch_is_refused_after_the_grace(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """The browser presented the new token to another process than the one that switched."""
    descope = StrictDescope()
    old = descope.sign_in()
    switching, other = (descope.coordinator(fleet.store(), grace=GRACE) for _ in range(2))
    pair = await switching.switch(old, *descope.select_tenant("globex"))
    other.mark_presented(pair.refresh.text)
    await other.drain(10)

    pass_time(fleet, redis_victim, GRACE - 1)
    assert await switching.refresh(old) == Renewed(pair)
    pass_time(fleet, redis_victim, 1.1)
    assert await switching.refresh(old) == Ended()


async def test_rf04_grace_may_be_shorter_than_results_are_cached(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A process that has read a result from Redis does not use it after the grace."""
    store, reader = fleet.store(), fleet.store()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
    assert await reader.get(TOKEN) == FIRST
    await store.mark_presented("canary-refresh", 5)
    pass_time(fleet, redis_victim, 6)
    assert await reader.get(TOKEN) is None
    assert isinstance(await reader.acquire(TOKEN), Lease)


async def test_rf04_undelivered_result_survives_data_loss(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Redis is flushed minutes after the refresh. The process that refreshed still has the result."""
    store = fleet.store()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
    pass_time(fleet, redis_victim, 300)
    redis_victim.command("FLUSHALL")
    assert await store.acquire(TOKEN) == FIRST


async def test_rf04_undelivered_result_survives_its_eviction(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Redis still knows that no browser has presented the new token."""
    store = fleet.store()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
    pass_time(fleet, redis_victim, 300)
    redis_victim.command("DEL", RESULT_KEY)
    assert await store.acquire(TOKEN) == FIRST


async def test_result_without_rotation_survives_data_loss(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Nothing is known about its delivery."""
    store = fleet.store()
    for refresh_jwt in (TOKEN, None):
        result = RefreshResult("session", refresh_jwt)
        lease = await acquire_lease(store, ignore_cached=True)
        await store.complete(TOKEN, lease, result, 600)
        redis_victim.command("FLUSHALL")
        assert await store.get(TOKEN) == result


async def test_rf04_presentation_during_an_outage_is_local(fleet: Fleet, redis_victim: RedisServer) -> None:
    """It raises nothing. Elsewhere the old token works until its result expires."""
    store, other = fleet.store(), fleet.store()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
    assert await other.get(TOKEN) == FIRST
    redis_victim.suspend()
    await store.mark_presented("canary-refresh", GRACE)
    fleet.now += GRACE
    assert isinstance(await store.acquire(TOKEN), Lease)
    redis_victim.resume()
    assert await other.get(TOKEN) == FIRST


async def test_rf04_presentation_after_an_outage_reaches_all_processes(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """A presentation during the outage reached one process only. The first one in another is a new one."""
    store, other = fleet.store(), fleet.store()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
    redis_victim.suspend()
    await store.mark_presented("canary-refresh", GRACE)
    redis_victim.resume()
    assert await other.get(TOKEN) == FIRST

    await other.mark_presented("canary-refresh", GRACE)
    pass_time(fleet, redis_victim, GRACE + 1)
    assert await other.get(TOKEN) is None
    await fleet.recover()
    assert await store.get(TOKEN) is None


async def test_rf04_result_of_an_outage_expires_after_its_delivery(
    fleet: Fleet, redis_victim: RedisServer
) -> None:
    """Redis gets the result and its predecessor when it is back."""
    store, other = fleet.store(), fleet.store()
    await store.get("connect")
    redis_victim.stop()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
    redis_victim.start()
    await fleet.recover()
    assert await other.get(TOKEN) == FIRST

    await other.mark_presented("canary-refresh", GRACE)
    pass_time(fleet, redis_victim, GRACE + 1)
    assert await store.get(TOKEN) is None


@pytest.mark.parametrize("lost", [Lost.FORGOTTEN, Lost.RESET])
async def test_rd07_repeated_presentation_expires_all_results(
    fleet: Fleet, redis_victim: RedisServer, lost: Lost
) -> None:
    """Each of its replies is lost once."""
    async with RedisProxy(redis_victim.port) as proxy:
        store, other = fleet.store(), fleet.store(url=proxy.url)
        for old, new in (("zero", "one"), ("one", "two")):
            lease = await store.acquire(old)
            assert isinstance(lease, Lease)
            await store.complete(old, lease, RefreshResult("session", new), 600)
        await other.get("connect")
        proxy.lose_replies(lost, None, lost, None, lost)
        await other.mark_presented("two", GRACE)
        await other.aclose()
    pass_time(fleet, redis_victim, GRACE + 1)
    assert await store.get("zero") is None
    assert await store.get("one") is None
    assert fleet.events == []


@pytest.mark.parametrize("value", [b"", b".", b".\xff" * 40, b"." + b"G" * 64, b"." + b"0" * 64, None])
async def test_rd03_invalid_predecessor_is_ignored(
    fleet: Fleet, redis_victim: RedisServer, value: bytes | None
) -> None:
    """A list, garbage, or the hash of a token without a result. The next refresh works."""
    if value is None:
        redis_victim.command("LPUSH", PREDECESSOR_KEY, "canary")
    else:
        redis_victim.command("SET", PREDECESSOR_KEY, value)
    store = fleet.store()
    await store.mark_presented("canary-refresh", GRACE)
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
    assert await store.get(TOKEN) == FIRST
    assert fleet.events == []


async def test_rd03_predecessors_in_a_circle_do_not_hang(fleet: Fleet, redis_victim: RedisServer) -> None:
    """An attacker who can write to Redis gains nothing from them."""
    store = fleet.store()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
    names = {key.partition("{")[2].rstrip("}") for key in redis_victim.keys()}  # noqa: SIM118 - no dict
    assert len(names) == 2
    for one, two in (sorted(names), sorted(names, reverse=True)):
        redis_victim.command("SET", f"fastapi-descope:{PROJECT}:predecessor:{{{one}}}", f".{two}")
        redis_victim.command("SET", f"fastapi-descope:{PROJECT}:refresh:{{{one}}}", "x", "PX", 60_000)
    await store.mark_presented("canary-refresh", GRACE)
    await run_ready()
