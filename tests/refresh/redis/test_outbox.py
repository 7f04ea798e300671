"""Writes that failed are sent later: a broken connection loses no result and no logout (RF-03, LO-03)."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._refresh.redis.client import ResilientRedis
from fastapi_descope._refresh.redis.outbox import Outbox
from fastapi_descope._refresh.redis.scripts import FORCE_SET, GET
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.events import EventBus
from tests.faults.redis_proxy import RedisProxy
from tests.helpers.event_loop import IterationCounter, run_ready
from tests.helpers.redis_fleet import FIRST, RESULT_KEY, SECOND, TOKEN, Fleet, acquire_lease
from tests.helpers.redis_server import RedisServer
from tests.helpers.strict_upstream import StrictDescope

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def fleet(redis_server: RedisServer) -> AsyncIterator[Fleet]:
    """Processes that share a Redis, which works throughout."""
    async with Fleet(redis_server.url) as fleet:
        yield fleet


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[RedisProxy]:
    """The connection of one process, which a test can break."""
    async with RedisProxy(redis_server.port) as proxy:
        yield proxy


async def test_rf03_lost_result_is_sent_later(
    fleet: Fleet, proxy: RedisProxy, redis_server: RedisServer
) -> None:
    """Until then others wait for the lease; then they get the result, for the rest of its TTL."""
    store, other = fleet.store(url=proxy.url), fleet.store()
    lease = await acquire_lease(store)
    proxy.cut()
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.acquire(TOKEN) is None

    fleet.now += 31
    proxy.restore()
    await fleet.recover()

    assert await other.acquire(TOKEN) == FIRST
    assert redis_server.command("PTTL", RESULT_KEY) in range(28_000, 29_001)


async def test_lo03_lost_logout_is_sent_later(fleet: Fleet, proxy: RedisProxy) -> None:
    """Late requests in other processes then see that the session has ended."""
    store, other = fleet.store(url=proxy.url), fleet.store()
    await other.force_set(TOKEN, FIRST, 600)
    proxy.cut()
    await store.force_set(TOKEN, RefreshResult.ended(), 600)
    assert await other.get(TOKEN) == FIRST

    proxy.restore()
    await fleet.recover()

    assert await other.get(TOKEN) == RefreshResult.ended()


async def test_lo03_late_logout_ends_the_successors(fleet: Fleet, proxy: RedisProxy) -> None:
    """Other processes have rotated the token twice in the meantime. Their tokens end too."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    disconnected, others = descope.coordinator(fleet.store(url=proxy.url)), descope.coordinator(fleet.store())
    proxy.cut()
    tokens = [refresh_token]
    for _ in range(2):
        renewed = await others.refresh(tokens[-1])
        assert isinstance(renewed, Renewed)
        tokens.append(renewed.pair.refresh)
    await disconnected.revoke(refresh_token, wait_timeout=1)

    proxy.restore()
    await fleet.recover()

    for token in tokens:
        assert await others.refresh(token) == Ended()
        assert await disconnected.refresh(token) == Ended()
    assert len(descope.calls) == 2


async def test_lo03_late_logout_ends_a_session_without_rotation(fleet: Fleet, proxy: RedisProxy) -> None:
    """The result of the others has the same refresh token again."""
    store, other = fleet.store(url=proxy.url), fleet.store()
    proxy.cut()
    await other.force_set(TOKEN, RefreshResult("their session", TOKEN), 600)
    await store.force_set(TOKEN, RefreshResult.ended(), 600)

    proxy.restore()
    await fleet.recover()

    assert await other.get(TOKEN) == RefreshResult.ended()


async def test_newest_write_per_token_is_sent(fleet: Fleet, proxy: RedisProxy) -> None:
    """Only the newest is, for each of several tokens."""
    store, other = fleet.store(url=proxy.url), fleet.store()
    proxy.cut()
    await store.force_set("another token", FIRST, 600)
    for result in (FIRST, SECOND):
        await store.complete(TOKEN, await acquire_lease(store, ignore_cached=True), result, 600)

    proxy.restore()
    await fleet.recover()

    assert await other.get(TOKEN) == SECOND
    assert await other.get("another token") == FIRST


async def test_late_result_does_not_overwrite_a_newer_one(fleet: Fleet, proxy: RedisProxy) -> None:
    """The lease expired while the connection was broken, and another process stored a result."""
    store, other = fleet.store(url=proxy.url), fleet.store()
    lease = await acquire_lease(store)
    proxy.cut()
    await store.complete(TOKEN, lease, FIRST, 600)
    await other.force_set(TOKEN, SECOND, 600)

    proxy.restore()
    await fleet.recover()

    assert await other.get(TOKEN) == SECOND


async def test_expired_write_is_not_sent(fleet: Fleet, proxy: RedisProxy) -> None:
    """Its TTL ended during the outage."""
    store, other = fleet.store(url=proxy.url), fleet.store()
    proxy.cut()
    await store.force_set(TOKEN, FIRST, 20)

    fleet.now += 21
    proxy.restore()
    await fleet.recover()

    assert isinstance(await other.acquire(TOKEN), Lease)


async def test_aclose_sends_pending_writes(fleet: Fleet, proxy: RedisProxy) -> None:
    """A deploy right after a short outage does not wait until a probe is due."""
    store, other = fleet.store(url=proxy.url), fleet.store()
    lease = await acquire_lease(store)
    proxy.cut()
    await store.complete(TOKEN, lease, FIRST, 600)
    proxy.restore()

    await store.aclose()

    assert await other.get(TOKEN) == FIRST


async def test_aclose_does_not_wait_for_an_unavailable_redis(fleet: Fleet, proxy: RedisProxy) -> None:
    """It tries once. Writes that failed stay in the outbox, and are sent if the store is used again."""
    store, other = fleet.store(url=proxy.url), fleet.store()
    proxy.cut()
    await store.force_set(TOKEN, FIRST, 600)
    await store.aclose()
    proxy.restore()
    await store.get("another token")
    async with asyncio.timeout(60):
        while await other.get(TOKEN) != FIRST:
            pass


async def test_outbox_is_bounded(redis_victim: RedisServer) -> None:
    """Ten thousand writes are kept; the oldest are dropped."""
    async with pending_outbox(redis_victim, 10_001) as (outbox, _):
        await outbox.flush()

    assert redis_victim.command("DBSIZE") == 10_000
    assert redis_victim.command("EXISTS", "result 0") == 0


async def test_flush_does_not_block_other_commands(redis_victim: RedisServer) -> None:
    """Writes are sent one after the other, so a command runs before most of them are sent."""
    async with pending_outbox(redis_victim, 2_000) as (outbox, client):
        flushing = asyncio.create_task(outbox.flush())
        while redis_victim.command("DBSIZE") in {0, 1}:
            await run_ready()
        await client.eval(GET, ("result", "lease"), ())

        assert redis_victim.command("DBSIZE") in range(2, 1_000)
        await flushing
        assert redis_victim.command("DBSIZE") == 2_000


async def test_flush_during_an_outage_keeps_the_writes(redis_victim: RedisServer) -> None:
    """They are sent by the next flush. Other tasks run between them, although nothing is sent."""
    async with pending_outbox(redis_victim, 3) as (outbox, client):
        redis_victim.command("CONFIG", "SET", "maxmemory", "1")
        assert await client.eval(FORCE_SET, ("result", "lease", "replaced"), (b"value", 60)) is None
        iterations = IterationCounter()
        await outbox.flush()
        assert (redis_victim.command("DBSIZE"), iterations.number) == (0, 4)

        redis_victim.command("CONFIG", "SET", "maxmemory", "0")
        await client.probe()
        await outbox.flush()
        assert redis_victim.command("DBSIZE") == 3


@pytest.mark.parametrize("replaced", [0, 1])
async def test_newer_write_during_a_flush_is_the_last(redis_victim: RedisServer, replaced: int) -> None:
    """It replaces the write that is being sent, or one that is not sent any more."""
    async with pending_outbox(redis_victim, 2) as (outbox, _):
        flushing = asyncio.create_task(outbox.flush())
        await asyncio.sleep(0)
        keys = (f"result {replaced}", f"lease {replaced}", f"replaced {replaced}")
        await outbox.send(FORCE_SET, keys, (b"newer",), 60)
        await flushing

    assert redis_victim.command("GET", f"result {replaced}") == b"newer"
    assert redis_victim.command("GET", f"result {1 - replaced}") == b"value"


@asynccontextmanager
async def pending_outbox(server: RedisServer, writes: int) -> AsyncGenerator[tuple[Outbox, ResilientRedis]]:
    """Return an outbox with that many pending writes, at the end of an outage."""

    async def flush() -> None:
        """Leave that to the test."""

    url = SecretStr(server.url)
    client = ResilientRedis(url, timeout=10.0, events=EventBus(), on_recovery=flush, probe_delay=60.0)
    outbox = Outbox(client, lambda: 0.0)
    server.command("CONFIG", "SET", "maxmemory", "1")
    for number in range(writes):
        await outbox.send(
            FORCE_SET, (f"result {number}", f"lease {number}", f"replaced {number}"), (b"value",), 60
        )
    server.command("CONFIG", "SET", "maxmemory", "0")
    await client.probe()
    yield outbox, client
    await client.aclose()
