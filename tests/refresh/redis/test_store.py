"""The refresh store of a fleet on a Redis that works: what it writes and costs (RD-03, RD-04, RD-06).

What it has in common with the store of one process is in ``contract/``; losses and outages have files of
their own.
"""

import asyncio
import gc
import re
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import Lease
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.events import EventBus
from tests.helpers.redis_fleet import FIRST, LEASE_KEY, PROJECT, RESULT_KEY, SECOND, TOKEN, Fleet, lease_of
from tests.helpers.redis_server import Proxy, RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

CANARIES = (b"canary", b"Y2FuYXJ5")
"""A word of every token of these tests, as it is and in base64."""


@pytest.fixture
async def fleet(redis_server: RedisServer) -> AsyncIterator[Fleet]:
    """Processes on one Redis."""
    async with Fleet(redis_server.url) as fleet:
        yield fleet
        assert fleet.happened == []


async def test_rd04_names_and_ends(fleet: Fleet, redis_server: RedisServer) -> None:
    """Two keys for a token, named after a hash of it, and not one without an end."""
    store = fleet.store()
    lease = await lease_of(store)
    assert redis_server.keys() == [LEASE_KEY]
    assert redis_server.command("PTTL", LEASE_KEY) in range(9_000, 10_001)
    await store.complete(TOKEN, lease, FIRST, 600)
    assert redis_server.keys() == [RESULT_KEY]
    assert redis_server.command("PTTL", RESULT_KEY) in range(599_000, 600_001)
    await store.reduce_ttl(TOKEN, 30)
    assert redis_server.command("PTTL", RESULT_KEY) in range(29_000, 30_001)
    await store.force_set(TOKEN, SECOND, 120)
    assert redis_server.command("PTTL", RESULT_KEY) in range(119_000, 120_001)
    assert re.fullmatch(rf"fastapi-descope:{PROJECT}:refresh:\{{[0-9a-f]{{64}}\}}", RESULT_KEY)


async def test_rd03_a_dump_yields_nothing(fleet: Fleet, redis_server: RedisServer) -> None:
    """Neither in a name nor in a value, nor in anything that was ever sent, is there a token."""
    async with Proxy(redis_server.port) as proxy:
        store = fleet.store(url=proxy.url)
        lease = await lease_of(store)
        await store.complete(TOKEN, lease, FIRST, 600)
        lease = await lease_of(store, anew=True)
        dump = [redis_server.command("GET", key) for key in (RESULT_KEY, LEASE_KEY)]
        await store.complete(TOKEN, lease, None, 0)
        await store.force_set(TOKEN, FIRST, 600)
        await store.reduce_ttl(TOKEN, 60)
        assert await store.get(TOKEN) == FIRST
        await store.aclose()
        for text in (proxy.sent, repr(dump).encode(), repr(redis_server.keys()).encode()):
            assert text
            assert [canary for canary in CANARIES if canary in text] == []


async def test_a_refresh_costs_two_round_trips(fleet: Fleet, redis_server: RedisServer) -> None:
    """One to begin and one to finish."""
    async with Proxy(redis_server.port) as proxy:
        store = fleet.store(url=proxy.url)
        await store.get("connect")
        before = proxy.round_trips
        await store.complete(TOKEN, await lease_of(store), FIRST, 600)
        assert proxy.round_trips - before == 2


async def test_everything_else_costs_one(fleet: Fleet, redis_server: RedisServer) -> None:
    """To be told the result, by the process that refreshed or another; to wait; to overrule; to shorten."""
    async with Proxy(redis_server.port) as proxy:
        store, other = fleet.store(url=proxy.url), fleet.store(url=proxy.url)
        await store.complete(TOKEN, await lease_of(store), FIRST, 600)
        await other.acquire("busy")
        for step in (
            store.acquire(TOKEN),
            other.acquire(TOKEN),
            store.acquire("busy"),
            store.get(TOKEN),
            store.force_set(TOKEN, SECOND, 60),
            store.reduce_ttl(TOKEN, 30),
        ):
            before = proxy.round_trips
            await step
            assert proxy.round_trips - before == 1


async def test_nobody_loads_scripts(fleet: Fleet, redis_server: RedisServer) -> None:
    """A Redis that forgot its scripts, as after a restart, costs no further round trip."""
    async with Proxy(redis_server.port) as proxy:
        store = fleet.store(url=proxy.url)
        await store.get("connect")
        assert b"HELLO" not in proxy.sent
        redis_server.command("SCRIPT", "FLUSH")
        before = proxy.round_trips
        await store.get(TOKEN)
        assert proxy.round_trips - before == 1


async def test_connections_are_few_and_kept(fleet: Fleet, redis_server: RedisServer) -> None:
    """Five hundred at once share sixteen connections, and nobody fails for want of one."""
    async with Proxy(redis_server.port) as proxy:
        store = fleet.store(url=proxy.url + "?max_connections=1")
        for _ in range(10):
            await store.get(TOKEN)
        assert proxy.connections == 1
        begun = await asyncio.gather(*(store.acquire(f"token-{number}") for number in range(500)))
        assert {each is None for each in begun} == {False}
        assert 1 < proxy.connections <= 16


async def test_rf03_a_lease_is_renewed(fleet: Fleet, redis_server: RedisServer) -> None:
    """A call three times as long as the lease is still the only one, and renewing ends with it."""
    async with Proxy(redis_server.port) as proxy:
        store, other = fleet.store(url=proxy.url, lease_seconds=0.6), fleet.store(lease_seconds=0.6)
        lease = await lease_of(store)
        await asyncio.wait_for(proxy.until(proxy.round_trips + 9), 60)
        assert await other.acquire(TOKEN) is None
        assert await store.complete(TOKEN, lease, FIRST, 600) is True
        assert await other.acquire(TOKEN) == FIRST
        await asyncio.sleep(0)
        assert renewals() == set()


async def test_renewing_has_an_end(fleet: Fleet) -> None:
    """No renewal falls into the minute that a holder may take: nothing is left to renew it."""
    await lease_of(fleet.store(lease_seconds=200.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert renewals() == set()


async def test_a_lost_lease_is_renewed_no_more(fleet: Fleet, redis_server: RedisServer) -> None:
    """Whoever finds that the lease is another's leaves it alone."""
    await lease_of(fleet.store(lease_seconds=0.6))
    redis_server.command("SET", LEASE_KEY, "another", "PX", 50_000)
    await asyncio.wait_for(asyncio.gather(*renewals()), 60)
    assert redis_server.command("GET", LEASE_KEY) == b"another"
    assert redis_server.command("PTTL", LEASE_KEY) in range(600, 50_000)


async def test_closing_leaves_no_task(fleet: Fleet, redis_server: RedisServer) -> None:
    """No renewal outlives ``aclose``; the lease ends by itself."""
    before = asyncio.all_tasks()
    store = fleet.store()
    await lease_of(store)
    await store.acquire("another token")
    assert len(renewals()) == 2
    await store.aclose()
    assert asyncio.all_tasks() == before
    assert redis_server.command("PTTL", LEASE_KEY) in range(1, 10_001)
    await store.aclose()


def test_loops_one_after_the_other(redis_server: RedisServer) -> None:
    """Each event loop has connections of its own; without ``aclose`` they close with it, tasks included."""
    store = RedisRefreshStore(
        SecretStr(redis_server.url), project_id=PROJECT, events=EventBus(), timeout=10.0
    )

    async def one_refresh(number: int) -> object:
        lease = await store.acquire(f"token-{number}")
        assert isinstance(lease, Lease)
        await store.acquire("a lease that is never given back")
        await store.complete(f"token-{number}", lease, FIRST, 60)
        return await store.get("token-0")

    async def close() -> None:
        await store.aclose()

    assert [asyncio.run(one_refresh(number)) for number in range(3)] == [FIRST] * 3
    asyncio.run(close())
    gc.collect()  # a socket that was left open warns here, and warnings are errors


def test_closing_from_another_loop(redis_server: RedisServer) -> None:
    """A loop that still lives keeps its connections until it ends; closing elsewhere does not touch them."""
    store = RedisRefreshStore(
        SecretStr(redis_server.url), project_id=PROJECT, events=EventBus(), timeout=10.0
    )
    with asyncio.Runner() as runner:
        assert isinstance(runner.run(store.acquire(TOKEN)), Lease)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(store.aclose())
        loop.close()
        assert runner.run(store.acquire(TOKEN)) is None
    gc.collect()


async def test_projects_share_nothing(fleet: Fleet, redis_server: RedisServer) -> None:
    """Two apps of two projects on one Redis do not see each other."""
    await fleet.store().force_set(TOKEN, FIRST, 60)
    stranger = RedisRefreshStore(
        SecretStr(redis_server.url), project_id="P3", events=EventBus(), timeout=10.0
    )
    assert await stranger.get(TOKEN) is None
    assert isinstance(await stranger.acquire(TOKEN), Lease)
    await lease_of(fleet.store(), anew=True)
    await stranger.aclose()


@pytest.mark.parametrize(
    "query",
    [
        "decode_responses=true",
        "socket_timeout=0.000001",
        "protocol=3",
        "retry_on_timeout=yes",
        "encoding=latin-1",
    ],
)
async def test_the_url_cannot_spoil_it(fleet: Fleet, redis_server: RedisServer, query: str) -> None:
    """What the store relies on holds, whatever the query of the URL says."""
    store = fleet.store(url=f"{redis_server.url}?{query}")
    await store.complete(TOKEN, await lease_of(store), FIRST, 60)
    assert await fleet.store().get(TOKEN) == FIRST


@pytest.mark.parametrize(
    "url",
    [
        "canary",
        "http://canary",
        "redis://:secret#canary@host:canary",
        "redis://host:canary",
        "redis://host:99999/canary",
        "redis://host?db=canary",
        "redis://host?canary=1",
        "redis://host?protocol=7",
        "rediss://host?ssl_cert_reqs=canary",
        "redis://host?encoding=canary",
        "redis://host?encoding=utf-16",
    ],
)
def test_rd06_a_bad_url_is_refused_at_the_start(url: str) -> None:
    """Not by the first request; the error names the setting, and nothing of the URL (LG-02)."""
    with pytest.raises(ConfigurationError) as caught:
        RedisRefreshStore(SecretStr(url), project_id=PROJECT, events=EventBus())
    assert str(caught.value) == "DESCOPE_REDIS_URL is not a URL that redis-py can read"
    assert caught.value.__context__ is None


def test_nothing_shows_the_url() -> None:
    """A store has no URL and no password in its ``repr``, its attributes included."""
    store = RedisRefreshStore(SecretStr("redis://:canary@localhost"), project_id=PROJECT, events=EventBus())
    assert "canary" not in repr((store, vars(store)))


def renewals() -> set[asyncio.Task[object]]:
    """The tasks that keep a lease."""
    return {task for task in asyncio.all_tasks() if "_renew_lease" in repr(task)}
