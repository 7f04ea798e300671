"""A Redis that is away, hangs, refuses or talks nonsense (RD-01, RD-02, fault scenario F7)."""

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
from tests.helpers.redis_fleet import FIRST, LEASE_KEY, RESULT_KEY, SECOND, TOKEN, Fleet, lease_of
from tests.helpers.redis_server import Proxy, RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
async def fleet(redis_victim: RedisServer) -> AsyncIterator[Fleet]:
    """Processes on a Redis that the test may ill-treat."""
    async with Fleet(redis_victim.url, timeout=0.25) as fleet:
        yield fleet


async def refresh(fleet: Fleet) -> None:
    """Two processes refresh the token, each for itself, and their late twins are served."""
    store, other = fleet.store(), fleet.store()
    first, second = await lease_of(store), await lease_of(other)
    assert await store.acquire(TOKEN) is None
    assert await store.complete(TOKEN, first, FIRST, 60) is True
    assert await other.complete(TOKEN, second, SECOND, 60) is True
    assert await store.acquire(TOKEN) == FIRST
    assert await other.get(TOKEN) == SECOND
    await store.reduce_ttl(TOKEN, 30)
    await other.force_set(TOKEN, RefreshResult.ended(), 60)
    assert await store.get(TOKEN) == FIRST
    assert await other.get(TOKEN) == RefreshResult.ended()


async def test_down_from_the_start(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Every process goes on alone, and says so once."""
    redis_victim.stop()
    await refresh(fleet)
    assert fleet.happened == [StoreDegraded("ConnectionError")] * 2


async def test_rd02_a_hanging_redis_costs_its_timeout_once(fleet: Fleet, redis_victim: RedisServer) -> None:
    """All who ask when it begins to hang wait the same quarter of a second; after that nobody waits.

    Were they to wait one after the other, eight at a time, either step would take six seconds and more.
    """
    store, loop = fleet.store(), asyncio.get_running_loop()
    await store.get(TOKEN)
    redis_victim.suspend()
    start = loop.time()
    begun = await asyncio.gather(*(store.acquire(f"token-{number}") for number in range(200)))
    noticed = loop.time()
    late = [await store.acquire(f"late-{number}") for number in range(200)]
    ended = loop.time()
    assert all(isinstance(each, Lease) for each in begun + late)
    assert 0.2 <= noticed - start < 3
    assert ended - noticed < 3
    assert fleet.happened == [StoreDegraded("TimeoutError")]


async def test_rf03_a_crowd_is_no_outage(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Every answer is quick: the last of many waits for its turn, longer than Redis may take, and gets it."""
    async with RedisProxy(redis_victim.port) as proxy:
        proxy.latency = 0.02
        store = fleet.store(url=proxy.url)
        begun = await asyncio.gather(*(store.acquire(f"token-{number}") for number in range(200)))
        await store.aclose()
    assert all(isinstance(each, Lease) for each in begun)
    assert fleet.happened == []


async def test_nobody_is_asked_during_an_outage(fleet: Fleet) -> None:
    """Until a trial is due, nothing at all is sent."""
    async with answering(b"") as (url, requests):
        store = fleet.store(url=url)
        for _ in range(100):
            await store.get(TOKEN)
        assert len(requests) == 1


async def test_a_failing_call_is_not_repeated(fleet: Fleet) -> None:
    """A second try would take a second quarter of a second; not even the URL can ask for one."""
    async with answering(b"-LOADING\r\n") as (url, requests):
        store = fleet.store(url=url + "?retry_on_timeout=yes")
        await store.get(TOKEN)
        assert len(requests) == 1
    assert fleet.happened == [StoreDegraded("BusyLoadingError")]


async def test_trials_are_made_beside_the_requests(fleet: Fleet) -> None:
    """Requests that come when a trial is due are served while it lasts, and cause no second one."""
    async with answering(b"") as (url, requests):
        store = fleet.store(url=url)
        await store.get(TOKEN)
        for _ in range(5):
            fleet.now += 31
            for _ in range(20):
                await store.get(TOKEN)
            assert len(trials()) == 1
            await asyncio.gather(*trials())
        assert len(requests) == 6
    assert fleet.happened == [StoreDegraded("TimeoutError")]


async def test_it_heals_by_itself(fleet: Fleet, redis_victim: RedisServer) -> None:
    """After a restart, the next trial finds Redis back, and leases hold for the fleet again."""
    store, other = fleet.store(), fleet.store()
    await store.get(TOKEN)
    await other.get(TOKEN)
    redis_victim.stop()
    await store.get(TOKEN)
    await other.get(TOKEN)
    redis_victim.start()
    await fleet.heal(store)
    await fleet.heal(other)
    assert fleet.happened == [StoreDegraded("ConnectionError")] * 2 + [StoreRecovered()] * 2
    await lease_of(store)
    assert await other.acquire(TOKEN) is None


async def test_a_hang_confuses_nobody(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Answers that come after their deadline are not taken for those of later questions."""
    store = fleet.store()
    await store.force_set("one", FIRST, 60)
    redis_victim.suspend()
    await asyncio.gather(*(store.get("one") for _ in range(8)))
    redis_victim.resume()
    await fleet.heal(store)
    other = fleet.store()
    await other.force_set("two", SECOND, 60)
    assert await store.get("two") == SECOND
    assert await store.get("one") == FIRST
    assert await store.get("three") is None


async def test_an_outage_in_the_middle_loses_nothing(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Redis granted the lease and is gone before the end: the result counts, and is at hand here."""
    store = fleet.store()
    lease = await lease_of(store)
    redis_victim.stop()
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await store.acquire(TOKEN) == FIRST
    assert await store.complete(TOKEN, lease, SECOND, 60) is False


async def test_an_outage_that_ends_in_the_middle(fleet: Fleet, redis_victim: RedisServer) -> None:
    """The lease was granted without Redis; by the end it is back, and the fleet gets the result."""
    store = fleet.store()
    redis_victim.stop()
    lease = await lease_of(store)
    redis_victim.start()
    await fleet.heal(store)
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await fleet.store().get(TOKEN) == FIRST


@pytest.mark.parametrize("finished", [False, True])
async def test_alone_overwrites_nobody(fleet: Fleet, redis_victim: RedisServer, *, finished: bool) -> None:
    """If another holds the lease by then, or has a result, this process keeps its own to itself."""
    store, other = fleet.store(), fleet.store()
    redis_victim.stop()
    lease = await lease_of(store)
    redis_victim.start()
    await fleet.heal(store)
    others = await lease_of(other)
    if finished:
        assert await other.complete(TOKEN, others, SECOND, 60) is True
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.get(TOKEN) == (SECOND if finished else None)
    assert (redis_victim.command("GET", LEASE_KEY) is None) == finished


async def test_a_logout_without_redis_stands(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Overruled during the outage: the refresh that began before it revives nothing after it (LO-03)."""
    store = fleet.store()
    lease = await lease_of(store)
    redis_victim.stop()
    await store.force_set(TOKEN, RefreshResult.ended(), 60)
    redis_victim.start()
    await fleet.heal(store)
    assert await store.complete(TOKEN, lease, FIRST, 60) is False
    assert redis_victim.command("EXISTS", RESULT_KEY) == 0
    assert await store.get(TOKEN) == RefreshResult.ended()


async def test_what_happened_alone_is_known_afterwards(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A result of the outage serves late twins after it."""
    store = fleet.store()
    redis_victim.stop()
    await store.complete(TOKEN, await lease_of(store), FIRST, 60)
    redis_victim.start()
    await fleet.heal(store)
    assert await store.acquire(TOKEN) == FIRST


async def test_read_only_after_a_failover(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A replica that answers every ``PING`` is no Redis to work with; promoted again, it is."""
    store = fleet.store()
    redis_victim.command("REPLICAOF", "127.0.0.1", 1)
    await lease_of(store)
    assert fleet.happened == [StoreDegraded("ReadOnlyError")]
    fleet.now += 31
    await store.get(TOKEN)
    await asyncio.gather(*trials())
    assert len(fleet.happened) == 1
    redis_victim.command("REPLICAOF", "NO", "ONE")
    await fleet.heal(store)
    await store.force_set(TOKEN, SECOND, 60)
    assert await fleet.store().get(TOKEN) == SECOND


async def test_full(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A Redis that is out of memory and may not evict is as good as none."""
    redis_victim.command("CONFIG", "SET", "maxmemory", "1")
    await refresh(fleet)
    assert fleet.happened == [StoreDegraded("OutOfMemoryError")] * 2


async def test_locked(fleet: Fleet, redis_victim: RedisServer) -> None:
    """A password that we do not have is an outage, not an error of a request."""
    redis_victim.command("CONFIG", "SET", "requirepass", "canary")
    await refresh(fleet)
    assert fleet.happened == [StoreDegraded("AuthenticationError")] * 2


async def test_a_cancelled_beginning_holds_nothing(fleet: Fleet, redis_victim: RedisServer) -> None:
    """Whoever is cancelled while Redis thinks has no lease that would keep this process waiting."""
    async with Proxy(redis_victim.port) as proxy:
        store = fleet.store(url=proxy.url)
        await store.get(TOKEN)
        redis_victim.suspend()
        beginning = asyncio.create_task(store.acquire(TOKEN))
        await proxy.until(proxy.round_trips + 1)
        beginning.cancel()
        await asyncio.wait([beginning])
        redis_victim.resume()
        redis_victim.command("FLUSHALL")
        await lease_of(store)
        await store.aclose()


NONSENSE = [
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


@pytest.mark.parametrize("response", NONSENSE, ids=lambda response: repr(response[:20]))
async def test_nonsense_is_an_outage(response: bytes) -> None:
    """A server that speaks something else, or lies, raises nothing and is left alone."""
    async with answering(response) as (url, _), Fleet(url, timeout=0.25) as fleet:
        await refresh(fleet)
        assert len(fleet.happened) == 2
        for event in fleet.happened:
            assert isinstance(event, StoreDegraded)
            assert re.fullmatch("[A-Z][A-Za-z]+", event.reason)
            assert "canary" not in event.reason


async def test_an_answer_that_breaks_the_parser_is_an_outage() -> None:
    """It fails with what redis-py never meant to raise: nobody is left waiting, and it is told of."""
    async with (
        answering(b"%1\r\n*0\r\n+canary\r\n") as (url, requests),
        Fleet(url + "?protocol=3", timeout=5.0) as fleet,
    ):
        store = fleet.store()
        asking = [store.get(f"token-{number}") for number in range(1500)]
        assert set(await asyncio.wait_for(asyncio.gather(*asking), 60)) == {None}
        assert len(requests) <= 16
        await refresh(fleet)
        assert fleet.happened == [StoreDegraded("TypeError")] * 3


@pytest.mark.parametrize("word", ["granted", "cached", "busy", "lost", "ok", "canary"])
async def test_a_lie_raises_nothing(word: str) -> None:
    """One well-formed answer to every question is an outage as soon as it does not fit the question."""
    async with (
        answering(b"*2\r\n$%d\r\n%s\r\n$0\r\n\r\n" % (len(word), word.encode())) as (url, _),
        Fleet(url, timeout=5.0) as fleet,
    ):
        store = fleet.store()
        begun = await store.acquire(TOKEN)
        assert isinstance(begun, Lease) == (word not in {"cached", "busy"})
        await store.force_set(TOKEN, FIRST, 60)
        assert await store.get(TOKEN) == FIRST
        assert fleet.happened == [StoreDegraded("InvalidResponse")]


PIECES = st.sampled_from(
    [b"*", b"$", b":", b"+", b"-", b"\r\n", b"0", b"2", b"-1", b"MOVED ", b"ASK ", b"1:2", b" ", b"\xff"]
)


@settings(max_examples=40)
@given(st.lists(PIECES | st.binary(max_size=3), max_size=12))
def test_no_answer_raises(pieces: list[bytes]) -> None:
    """Whatever bytes come back, also if the connection then ends, a refresh gets its lease or waits."""

    async def attempt() -> None:
        async with answering(b"".join(pieces), close=True) as (url, _), Fleet(url, timeout=0.25) as fleet:
            store = fleet.store()
            begun = await store.acquire(TOKEN)
            assert isinstance(begun, Lease)
            assert await store.complete(TOKEN, begun, FIRST, 60) is True
            assert await store.get(TOKEN) == FIRST

    asyncio.run(attempt())


def trials() -> set[asyncio.Task[object]]:
    """The trials under way."""
    return {task for task in asyncio.all_tasks() if "ResilientRedis.probe" in repr(task)}


@contextlib.asynccontextmanager
async def answering(response: bytes, *, close: bool = False) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A server that gives one answer to everything, silence included; its URL, and what it was told."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while request := await reader.read(65536):
                requests.append(request)
                # The client introduces itself with two commands at once, and may ask several questions.
                writer.write(response * max(1, request.count(b"SETINFO"), request.count(b"\nEVAL")))
                await writer.drain()
                if close:
                    break
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
