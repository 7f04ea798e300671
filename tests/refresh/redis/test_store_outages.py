"""A Redis that is down, hangs, rejects commands or sends invalid replies (RD-01, RD-02, RD-09, fault F7)."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.events import StoreDegraded, StoreRecovered
from tests.faults.redis_proxy import RedisProxy
from tests.helpers.redis_fleet import (
    FIRST,
    LEASE_KEY,
    SECOND,
    TOKEN,
    Fleet,
    acquire_lease,
    probing,
)
from tests.helpers.redis_server import CountingProxy, RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

_TIMEOUT = 1.0
"""Longer than a busy machine keeps a process waiting, so that a Redis that answers is never an outage."""


@pytest.fixture
async def fleet(redis_victim: RedisServer) -> AsyncIterator[Fleet]:
    """Processes that share a Redis, which the test may break."""
    async with Fleet(redis_victim.url, timeout=_TIMEOUT) as fleet:
        yield fleet


async def refresh(fleet: Fleet) -> None:
    """Refresh the token in two processes, each alone, and read both results."""
    store, other = fleet.store(), fleet.store()
    first, second = await acquire_lease(store), await acquire_lease(other)
    assert await store.acquire(TOKEN) is None
    assert await store.complete(TOKEN, first, FIRST, 60) is True
    assert await other.complete(TOKEN, second, SECOND, 60) is True
    assert await store.acquire(TOKEN) == FIRST
    assert await other.get(TOKEN) == SECOND
    await store.mark_presented("canary-refresh", 30)
    await other.force_set(TOKEN, RefreshResult.ended(), 60)
    assert await store.get(TOKEN) == FIRST
    assert await other.get(TOKEN) == RefreshResult.ended()


async def test_redis_down_from_the_start(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Each process goes on alone and emits one event."""
    redis_victim.stop()
    await refresh(fleet)
    assert fleet.events == [StoreDegraded("ConnectionError")] * 2


async def test_rd02_hanging_redis_costs_two_timeouts(fleet: Fleet, redis_victim: RedisServer) -> None:
    """All concurrent commands wait for the same timeout, twice; later commands do not wait.

    If they waited one after the other, sixteen at a time, each step would take 26 seconds.
    """
    store, loop = fleet.store(), asyncio.get_running_loop()
    await store.get(TOKEN)
    redis_victim.suspend()
    start = loop.time()
    acquired = await asyncio.gather(*(store.acquire(f"token-{number}") for number in range(200)))
    degraded = loop.time()
    late = [await store.acquire(f"late-{number}") for number in range(200)]
    ended = loop.time()
    assert all(isinstance(each, Lease) for each in acquired + late)
    assert 1.9 * _TIMEOUT <= degraded - start < 13
    assert ended - degraded < 13
    assert fleet.events == [StoreDegraded("TimeoutError")]


async def test_rd02_hanging_cluster_costs_two_timeouts() -> None:
    """However many nodes the URL names, and however often redis-py would try each of them."""
    async with contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(replying(b"")) for _ in range(3)]
        url = "redis+cluster://" + ",".join(url.removeprefix("redis://") for url, _ in nodes)
        fleet = await stack.enter_async_context(Fleet(url, timeout=0.25, probe_delay=60.0))
        assert await fleet.store().get(TOKEN) is None
        assert fleet.events == [StoreDegraded("TimeoutError")]


async def test_rf03_many_concurrent_commands_are_no_outage(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Each reply is fast. The last command waits in the queue for longer than the timeout, and succeeds."""
    async with RedisProxy(redis_victim.port) as proxy:
        proxy.latency = 0.12
        store = fleet.store(url=proxy.url)
        acquired = await asyncio.gather(*(store.acquire(f"token-{number}") for number in range(200)))
        await store.aclose()
    assert all(isinstance(each, Lease) for each in acquired)
    assert fleet.events == []


async def test_rd09_blocked_process_is_no_outage(redis_victim: RedisServer) -> None:
    """Synchronous code holds the event loop while a reply arrives, for longer than both attempts may take."""
    async with CountingProxy(redis_victim.port) as proxy, Fleet(redis_victim.url, timeout=0.5) as fleet:
        await fleet.store().force_set(TOKEN, FIRST, 60)
        store = fleet.store(url=proxy.url)
        await store.get("another-token")
        reading = asyncio.create_task(store.get(TOKEN))
        await proxy.until(proxy.round_trips + 1)
        redis_victim.command("BLPOP", "nothing", "1.3")  # returns after 1.3 seconds
        assert await reading == FIRST
        await store.aclose()
        assert fleet.events == []


async def test_nothing_is_sent_during_an_outage(fleet: Fleet) -> None:
    """Until a probe is due, no byte is sent."""
    async with replying(b"") as (url, requests):
        store = fleet.store(url=url)
        await store.get(TOKEN)
        sent = len(requests)
        for _ in range(100):
            await store.get(TOKEN)
        assert len(requests) == sent


async def test_probes_run_in_the_background(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Requests during an outage neither wait for a probe nor cause one."""
    async with CountingProxy(redis_victim.port) as proxy:
        store = fleet.store(url=proxy.url)
        redis_victim.suspend()
        await store.get(TOKEN)
        for probes in range(2, 4):
            await asyncio.wait_for(proxy.until(proxy.round_trips + 2 * probes), 60)
            for _ in range(20):
                await store.get(TOKEN)
            assert len(probing()) == 1
        assert fleet.events == [StoreDegraded("TimeoutError")]
        redis_victim.resume()
        await fleet.recover()
        await store.aclose()


async def test_store_recovers_by_itself(fleet: Fleet, redis_victim: RedisServer) -> None:
    """After a restart the next probe succeeds, and leases hold for the fleet again."""
    store, other = fleet.store(), fleet.store()
    await store.get(TOKEN)
    await other.get(TOKEN)
    redis_victim.stop()
    await store.get(TOKEN)
    await other.get(TOKEN)
    redis_victim.start()
    await fleet.recover()
    assert fleet.events == [StoreDegraded("ConnectionError")] * 2 + [StoreRecovered()] * 2
    await acquire_lease(store)
    assert await other.acquire(TOKEN) is None


async def test_late_replies_are_not_mixed_up(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A reply that arrives after its timeout is not taken for that of a later command."""
    store = fleet.store()
    await store.force_set("one", FIRST, 60)
    redis_victim.suspend()
    await asyncio.gather(*(store.get("one") for _ in range(8)))
    redis_victim.resume()
    await fleet.recover()
    other = fleet.store()
    await other.force_set("two", SECOND, 60)
    assert await store.get("two") == SECOND
    assert await store.get("one") == FIRST
    assert await store.get("three") is None


async def test_outage_during_a_refresh_loses_nothing(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Redis granted the lease and stopped before the refresh ended. The result is kept in the process."""
    store = fleet.store()
    lease = await acquire_lease(store)
    redis_victim.stop()
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await store.acquire(TOKEN) == FIRST
    assert await store.complete(TOKEN, lease, SECOND, 60) is False


async def test_outage_that_ends_during_a_refresh(fleet: Fleet, redis_victim: RedisServer) -> None:
    """The lease was granted without Redis, which then recovers. The fleet gets the result."""
    store = fleet.store()
    redis_victim.stop()
    lease = await acquire_lease(store)
    redis_victim.start()
    await fleet.recover()
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await fleet.store().get(TOKEN) == FIRST


@pytest.mark.parametrize("finished", [False, True])
async def test_result_of_an_outage_overwrites_no_other_process(
    fleet: Fleet, redis_victim: RedisServer, *, finished: bool
) -> None:
    """If another process has the lease or a result, the result is kept in this process only."""
    store, other = fleet.store(), fleet.store()
    redis_victim.stop()
    lease = await acquire_lease(store)
    redis_victim.start()
    await fleet.recover()
    others_lease = await acquire_lease(other)
    if finished:
        assert await other.complete(TOKEN, others_lease, SECOND, 60) is True
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.get(TOKEN) == (SECOND if finished else None)
    assert (redis_victim.command("GET", LEASE_KEY) is None) == finished


async def test_logout_during_an_outage_is_kept(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A refresh that began before the outage does not revive the session after it (LO-03)."""
    store = fleet.store()
    lease = await acquire_lease(store)
    redis_victim.stop()
    await store.force_set(TOKEN, RefreshResult.ended(), 60)
    redis_victim.start()
    await fleet.recover()
    assert await store.complete(TOKEN, lease, FIRST, 60) is False
    assert await fleet.store().get(TOKEN) == RefreshResult.ended()
    assert await store.get(TOKEN) == RefreshResult.ended()


async def test_result_of_an_outage_is_kept_afterwards(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Late requests get a result of the outage after it."""
    store = fleet.store()
    redis_victim.stop()
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 60)
    redis_victim.start()
    await fleet.recover()
    assert await store.acquire(TOKEN) == FIRST


async def test_read_only_after_a_failover(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A replica replies to ``PING`` but rejects writes, so the probe fails until it is promoted."""
    async with CountingProxy(redis_victim.port) as proxy:
        store = fleet.store(url=proxy.url)
        redis_victim.command("REPLICAOF", "127.0.0.1", 1)
        await acquire_lease(store)
        await asyncio.wait_for(proxy.until(proxy.round_trips + 2), 60)
        assert fleet.events == [StoreDegraded("ReadOnlyError")]
        redis_victim.command("REPLICAOF", "NO", "ONE")
        await fleet.recover()
        await store.force_set(TOKEN, SECOND, 60)
        assert await fleet.store().get(TOKEN) == SECOND
        await store.aclose()


async def test_redis_out_of_memory_is_an_outage(fleet: Fleet, redis_victim: RedisServer) -> None:
    """It rejects writes and must not evict."""
    redis_victim.command("CONFIG", "SET", "maxmemory", "1")
    await refresh(fleet)
    assert fleet.events == [StoreDegraded("OutOfMemoryError")] * 2


async def test_redis_that_requires_a_password_is_an_outage(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A missing password is an outage, not an error of a request."""
    redis_victim.command("CONFIG", "SET", "requirepass", "canary")
    await refresh(fleet)
    assert fleet.events == [StoreDegraded("AuthenticationError")] * 2


async def test_cancelled_acquire_releases_the_lease(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A caller that is cancelled before the reply leaves no lease that blocks this process."""
    async with CountingProxy(redis_victim.port) as proxy:
        store = fleet.store(url=proxy.url)
        await store.get(TOKEN)
        redis_victim.suspend()
        acquiring = asyncio.create_task(store.acquire(TOKEN))
        await proxy.until(proxy.round_trips + 1)
        acquiring.cancel()
        await asyncio.wait([acquiring])
        redis_victim.resume()
        redis_victim.command("FLUSHALL")
        await acquire_lease(store)
        await store.aclose()


INVALID_REPLIES = [
    b"+OK\r\n",
    b":1\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*1\r\n$7\r\ngranted\r\n",
    b"*2\r\n:1\r\n:2\r\n",
    b"*3\r\n+a\r\n+b\r\n+c\r\n",
    b"*2\r\n$-1\r\n$-1\r\n",
    b":canary\r\n",
    b"$canary\r\n",
    b"$-7\r\ncanary\r\n",
    b"$99999999999\r\ncanary",
    b"-\xff\xfe\r\n",
    b"-MOVED canary\r\n",
    b"-ASK 1 canary:x\r\n",
    b"-NOSCRIPT canary\r\n",
    b"-LOADING canary\r\n",
    b"-WRONGTYPE canary\r\n",
    b"\r\n",
    b"\x00\xff\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"*1\r\n" * 5000,
]


@pytest.mark.parametrize("response", INVALID_REPLIES, ids=lambda response: repr(response[:20]))
async def test_invalid_reply_is_an_outage(response: bytes) -> None:
    """Another protocol, an error or a reply of the wrong type raises nothing and opens the breaker."""
    async with replying(response) as (url, _), Fleet(url, timeout=0.25, probe_delay=60.0) as fleet:
        await refresh(fleet)
        assert len(fleet.events) == 2
        for event in fleet.events:
            assert isinstance(event, StoreDegraded)
            assert re.fullmatch("[A-Z][A-Za-z]+", event.reason)
            assert "canary" not in event.reason


async def test_reply_of_a_later_protocol_is_an_outage() -> None:
    """No caller of fifteen hundred waits forever, and the event is emitted."""
    async with (
        replying(b"%1\r\n*0\r\n+canary\r\n") as (url, requests),
        Fleet(url, timeout=5.0, probe_delay=60.0) as fleet,
    ):
        store = fleet.store()
        commands = [store.get(f"token-{number}") for number in range(1500)]
        assert set(await asyncio.wait_for(asyncio.gather(*commands), 60)) == {None}
        assert len(requests) <= 16 * 2  # each connection sends its handshake
        await refresh(fleet)
        assert fleet.events == [StoreDegraded("InvalidResponse")] * 3


@pytest.mark.parametrize("status", ["granted", "cached", "busy", "lost", "ok", "canary"])
async def test_unexpected_status_raises_nothing(status: str) -> None:
    """A well-formed reply is an outage if the script cannot send it."""
    async with (
        replying(b"*2\r\n$%d\r\n%s\r\n$0\r\n\r\n" % (len(status), status.encode())) as (url, _),
        Fleet(url, timeout=5.0, probe_delay=60.0) as fleet,
    ):
        store = fleet.store()
        acquired = await store.acquire(TOKEN)
        assert isinstance(acquired, Lease) == (status not in {"cached", "busy"})
        await store.force_set(TOKEN, FIRST, 60)
        assert await store.get(TOKEN) == FIRST
        assert fleet.events == [StoreDegraded("InvalidResponse")]


PIECES = st.sampled_from(
    [b"*", b"$", b":", b"+", b"-", b"\r\n", b"0", b"2", b"-1", b"MOVED ", b"ASK ", b"1:2", b" ", b"\xff"]
)


@settings(max_examples=40)
@given(st.lists(PIECES | st.binary(max_size=3), max_size=12))
def test_no_reply_raises(pieces: list[bytes]) -> None:
    """With any bytes as a reply, also if the connection then closes, a refresh works."""

    async def attempt() -> None:
        async with (
            replying(b"".join(pieces), close=True) as (url, _),
            Fleet(url, timeout=0.25, probe_delay=60.0) as fleet,
        ):
            store = fleet.store()
            acquired = await store.acquire(TOKEN)
            assert isinstance(acquired, Lease)
            assert await store.complete(TOKEN, acquired, FIRST, 60) is True
            assert await store.get(TOKEN) == FIRST

    asyncio.run(attempt())


@contextlib.asynccontextmanager
async def replying(response: bytes, *, close: bool = False) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Run a server that sends the same reply to everything. Yields its URL and the requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while request := await reader.read(65536):
                requests.append(request)
                writer.write(response * max(1, request.count(b"SETINFO")))  # the handshake is two commands
                await writer.drain()
                if close:
                    break
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
