"""What Redis missed it is told later: a bad connection loses no result and no logout (RF-03, LO-03)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from fastapi_descope._concurrency.circuit_breaker import CircuitBreaker
from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._refresh.redis.client import ResilientRedis
from fastapi_descope._refresh.redis.outbox import Outbox
from fastapi_descope._refresh.redis.scripts import FORCE_SET, GET
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.events import EventBus
from tests.faults.redis_proxy import RedisProxy
from tests.helpers.event_loop import run_ready
from tests.helpers.redis_fleet import FIRST, RESULT_KEY, SECOND, TOKEN, Fleet, lease_of
from tests.helpers.redis_server import RedisServer as RealRedis
from tests.helpers.strict_upstream import StrictDescope

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def fleet(redis_server: RealRedis) -> AsyncIterator[Fleet]:
    """Processes on one Redis, which is well throughout."""
    async with Fleet(redis_server.url) as fleet:
        yield fleet


@pytest.fixture
async def line(redis_server: RealRedis) -> AsyncIterator[RedisProxy]:
    """The line of one process, which breaks."""
    async with RedisProxy(redis_server.port) as line:
        yield line


async def told(fleet: Fleet) -> None:
    """Let the longest wait pass, and wait until everything is told."""
    fleet.now += 31
    telling = [task for task in asyncio.all_tasks() if "_flush_until_empty" in repr(task)]
    assert len(telling) == 1
    await asyncio.wait_for(telling[0], 20)


async def test_rf03_a_result_that_was_lost_on_the_way_arrives_later(
    fleet: Fleet, line: RedisProxy, redis_server: RealRedis
) -> None:
    """Others wait for the lease meanwhile, and are given the result; for what is left of its time."""
    store, other = fleet.store(url=line.url), fleet.store()
    lease = await lease_of(store)
    line.cut()
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.acquire(TOKEN) is None

    line.heal()
    await told(fleet)

    assert await other.acquire(TOKEN) == FIRST
    assert redis_server.command("PTTL", RESULT_KEY) in range(28_000, 29_001)


async def test_lo03_a_logout_that_was_lost_on_the_way_arrives_later(fleet: Fleet, line: RedisProxy) -> None:
    """Late twins in other processes learn that the session is over."""
    store, other = fleet.store(url=line.url), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    line.cut()
    await store.force_set(TOKEN, RefreshResult.ended(), 600)
    assert await other.get(TOKEN) == FIRST

    line.heal()
    await told(fleet)

    assert await other.get(TOKEN) == RefreshResult.ended()


async def test_lo03_a_logout_that_arrives_late_ends_what_became_of_the_session(
    fleet: Fleet, line: RedisProxy
) -> None:
    """The others have rotated the token twice by then, and whoever has one of theirs is signed out too."""
    descope = StrictDescope()
    held = descope.sign_in()
    cut_off, others = descope.coordinator(fleet.store(url=line.url)), descope.coordinator(fleet.store())
    line.cut()
    tokens = [held]
    for _ in range(2):
        renewed = await others.refresh(tokens[-1])
        assert isinstance(renewed, Renewed)
        tokens.append(renewed.pair.refresh)
    await cut_off.revoke(held, wait_timeout=1)

    line.heal()
    await told(fleet)

    for token in tokens:
        assert await others.refresh(token) == Ended()
        assert await cut_off.refresh(token) == Ended()
    assert len(descope.calls) == 2


async def test_lo03_a_logout_that_arrives_late_ends_a_session_without_rotation(
    fleet: Fleet, line: RedisProxy
) -> None:
    """What the others have made of the token leads to the token itself."""
    store, other = fleet.store(url=line.url), fleet.store()
    line.cut()
    await other.force_set(TOKEN, RefreshResult("their session", TOKEN), 600)
    await store.force_set(TOKEN, RefreshResult.ended(), 600)

    line.heal()
    await told(fleet)

    assert await other.get(TOKEN) == RefreshResult.ended()


async def test_the_newest_word_on_a_token_is_told(fleet: Fleet, line: RedisProxy) -> None:
    """And that alone, of as many tokens as there are; Redis is asked once in vain for all of them."""
    store, other = fleet.store(url=line.url), fleet.store()
    line.cut()
    await store.force_set("another token", FIRST, 600)
    for result in (FIRST, SECOND):
        await store.complete(TOKEN, await lease_of(store, anew=True), result, 600)

    line.heal()
    await told(fleet)

    assert await other.get(TOKEN) == SECOND
    assert await other.get("another token") == FIRST


async def test_what_somebody_brought_meanwhile_stands(fleet: Fleet, line: RedisProxy) -> None:
    """The lease ran out while the line was broken: a result that comes too late overwrites nothing."""
    store, other = fleet.store(url=line.url), fleet.store()
    lease = await lease_of(store)
    line.cut()
    await store.complete(TOKEN, lease, FIRST, 600)
    await other.force_set(TOKEN, SECOND, 600)

    line.heal()
    await told(fleet)

    assert await other.get(TOKEN) == SECOND


async def test_what_is_past_its_time_is_not_told(fleet: Fleet, line: RedisProxy) -> None:
    """It would be of no use to anybody."""
    store, other = fleet.store(url=line.url), fleet.store()
    line.cut()
    await store.force_set(TOKEN, FIRST, 20)

    line.heal()
    await told(fleet)

    assert isinstance(await other.acquire(TOKEN), Lease)


async def test_closing_tells_once_more(fleet: Fleet, line: RedisProxy) -> None:
    """A deploy right after the blip: nobody waits for a trial to be due."""
    store, other = fleet.store(url=line.url), fleet.store()
    lease = await lease_of(store)
    line.cut()
    await store.complete(TOKEN, lease, FIRST, 600)
    line.heal()

    await store.aclose()

    assert await other.get(TOKEN) == FIRST


async def test_closing_does_not_wait_for_a_redis_that_is_away(fleet: Fleet, line: RedisProxy) -> None:
    """One try; what was not told is told by whoever goes on."""
    store, other = fleet.store(url=line.url), fleet.store()
    line.cut()
    await store.force_set(TOKEN, FIRST, 600)
    await store.aclose()
    line.heal()
    await store.force_set("another token", FIRST, 600)
    await told(fleet)
    assert await other.get(TOKEN) == FIRST


async def test_a_long_outage_does_not_fill_the_memory(redis_victim: RealRedis) -> None:
    """Ten thousand messages are kept, the oldest go."""
    async with left_behind(redis_victim, 10_001) as (backlog, _):
        await backlog.aclose()

    assert redis_victim.command("DBSIZE") == 10_000
    assert redis_victim.command("EXISTS", "result 0") == 0


async def test_nobody_queues_behind_a_long_backlog(redis_victim: RealRedis) -> None:
    """It is told in portions: whoever asks meanwhile is answered before most of it is told."""
    async with left_behind(redis_victim, 2_000) as (backlog, server):
        telling = asyncio.create_task(backlog.flush())
        while redis_victim.command("DBSIZE") in {0, 1}:
            await run_ready()
        await server.eval(GET, ("result", "lease"), ())

        assert redis_victim.command("DBSIZE") in range(2, 1_000)
        await telling
        assert redis_victim.command("DBSIZE") == 2_000


async def test_a_newer_word_while_others_are_told_is_the_last(redis_victim: RealRedis) -> None:
    """It takes the place of one whose turn has not come: that is not told after it."""
    async with left_behind(redis_victim, 2) as (backlog, _):
        telling = asyncio.create_task(backlog.flush())
        await asyncio.sleep(0)
        await backlog.send(FORCE_SET, ("result 1", "lease 1"), (b"newer",), 60)
        await telling

    assert redis_victim.command("GET", "result 0") == b"sealed"
    assert redis_victim.command("GET", "result 1") == b"newer"


@asynccontextmanager
async def left_behind(redis: RealRedis, messages: int) -> AsyncGenerator[tuple[Outbox, ResilientRedis]]:
    """A backlog of so many messages when an outage is over."""
    breaker = CircuitBreaker(lambda: 0.0)
    url = SecretStr(redis.url)
    server = ResilientRedis(url, probe_key="probe", timeout=10.0, breaker=breaker, events=EventBus())
    backlog = Outbox(server, lambda: 0.0)
    breaker.record_failure()
    for number in range(messages):
        await backlog.send(FORCE_SET, (f"result {number}", f"lease {number}"), (b"sealed",), 60)
    breaker.record_success()
    yield backlog, server
    await server.aclose()
