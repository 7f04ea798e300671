"""The Redis refresh store on a Redis that works: keys, round trips, tasks and URLs (RD-03, RD-04, RD-06).

``contract/`` tests what it has in common with the in-memory store. Losses and outages have their own files.
"""

import asyncio
import gc
import re
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from fastapi_descope._refresh.redis.diagnosis import RedisDiagnosis
from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.errors import ConfigurationError
from fastapi_descope.events import EventBus
from tests.helpers.redis_fleet import (
    FIRST,
    LEASE_KEY,
    PREDECESSOR_KEY,
    PROJECT,
    REPLACED_KEY,
    RESULT_KEY,
    SECOND,
    TOKEN,
    Fleet,
    acquire_lease,
)
from tests.helpers.redis_server import CountingProxy, RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

CANARIES = (b"canary", b"Y2FuYXJ5")
"""A part of every token in these tests, in plain text and in base64."""


@pytest.fixture
async def fleet(redis_server: RedisServer) -> AsyncIterator[Fleet]:
    """Processes that share a Redis."""
    async with Fleet(redis_server.url) as fleet:
        yield fleet
        assert fleet.events == []


async def test_rd04_key_names_are_hashes_and_keys_expire(fleet: Fleet, redis_server: RedisServer) -> None:
    """A token has at most four keys, named after its hash. Every key has a TTL."""
    store = fleet.store()
    lease = await acquire_lease(store)
    assert redis_server.keys() == [LEASE_KEY]
    assert redis_server.command("PTTL", LEASE_KEY) in range(9_000, 10_001)
    await store.complete(TOKEN, lease, FIRST, 600)
    assert redis_server.keys() == [PREDECESSOR_KEY, RESULT_KEY]
    assert redis_server.command("PTTL", RESULT_KEY) in range(599_000, 600_001)
    assert redis_server.command("PTTL", PREDECESSOR_KEY) in range(599_000, 600_001)
    await store.mark_presented("canary-refresh", 30)
    assert redis_server.command("PTTL", RESULT_KEY) in range(29_000, 30_001)
    assert redis_server.command("PTTL", PREDECESSOR_KEY) in range(599_000, 600_001)
    await store.force_set(TOKEN, SECOND, 120)
    assert redis_server.keys() == [PREDECESSOR_KEY, RESULT_KEY, REPLACED_KEY]
    assert redis_server.command("PTTL", RESULT_KEY) in range(119_000, 120_001)
    assert redis_server.command("PTTL", REPLACED_KEY) in range(119_000, 120_001)
    assert re.fullmatch(rf"fastapi-descope:{PROJECT}:refresh:\{{[0-9a-f]{{64}}\}}", RESULT_KEY)


@pytest.mark.parametrize("result", [FIRST, RefreshResult.ended()])
async def test_result_that_replaces_none_is_one_key(
    fleet: Fleet, redis_server: RedisServer, result: RefreshResult
) -> None:
    """Nor does the end of a session that replaces an end keep the other one."""
    store = fleet.store()
    assert await store.force_set(TOKEN, result, 60) is None
    assert redis_server.keys() == [RESULT_KEY]
    assert await store.force_set(TOKEN, RefreshResult.ended(superseded=True), 60) == result
    assert redis_server.keys() == ([RESULT_KEY] if result.is_ended else [RESULT_KEY, REPLACED_KEY])


async def test_rd03_dump_and_traffic_contain_no_token(fleet: Fleet, redis_server: RedisServer) -> None:
    """No key, no value and nothing that was sent contains a token."""
    async with CountingProxy(redis_server.port) as proxy:
        store = fleet.store(url=proxy.url)
        lease = await acquire_lease(store)
        await store.complete(TOKEN, lease, FIRST, 600)
        lease = await acquire_lease(store, ignore_cached=True)
        dump = [redis_server.command("GET", key) for key in (RESULT_KEY, LEASE_KEY, PREDECESSOR_KEY)]
        await store.complete(TOKEN, lease, None, 0)
        await store.force_set(TOKEN, FIRST, 600)
        await store.mark_presented("canary-refresh", 60)
        assert await store.get(TOKEN) == FIRST
        await store.aclose()
        for text in (proxy.sent, repr(dump).encode(), repr(redis_server.keys()).encode()):
            assert text
            assert [canary for canary in CANARIES if canary in text] == []


async def test_a_refresh_costs_three_commands(fleet: Fleet, redis_server: RedisServer) -> None:
    """One for ``acquire``. ``complete`` sends the result, and at once the pointer back from its token."""
    async with CountingProxy(redis_server.port) as proxy:
        store = fleet.store(url=proxy.url)
        await asyncio.gather(*(store.get("connect") for _ in range(2)))
        before = proxy.round_trips
        await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
        assert proxy.round_trips - before == 3


async def test_every_other_operation_costs_one_round_trip(fleet: Fleet, redis_server: RedisServer) -> None:
    """``acquire`` with a result, in either process, or while busy; ``get``; ``force_set``.

    So does a presented token that no result has led to. Each result with a reduced TTL costs one more.
    """
    async with CountingProxy(redis_server.port) as proxy:
        store, other = fleet.store(url=proxy.url), fleet.store(url=proxy.url)
        await store.complete(TOKEN, await acquire_lease(store), FIRST, 600)
        await other.acquire("busy")
        for step in (
            store.acquire(TOKEN),
            other.acquire(TOKEN),
            store.acquire("busy"),
            store.get(TOKEN),
            store.force_set(TOKEN, SECOND, 60),
            other.mark_presented(TOKEN, 30),
        ):
            before = proxy.round_trips
            await step
            assert proxy.round_trips - before == 1
        before = proxy.round_trips
        await other.mark_presented("canary-refresh", 30)
        assert proxy.round_trips - before == 2


async def test_no_script_is_loaded_in_advance(fleet: Fleet, redis_server: RedisServer) -> None:
    """A Redis without the scripts, as after a restart, costs no additional round trip."""
    async with CountingProxy(redis_server.port) as proxy:
        store = fleet.store(url=proxy.url)
        await store.get("connect")
        assert b"HELLO" not in proxy.sent
        redis_server.command("SCRIPT", "FLUSH")
        before = proxy.round_trips
        await store.get(TOKEN)
        assert proxy.round_trips - before == 1


async def test_connections_are_limited_and_reused(fleet: Fleet, redis_server: RedisServer) -> None:
    """Five hundred concurrent commands share sixteen connections, and none fails for lack of one."""
    async with CountingProxy(redis_server.port) as proxy:
        store = fleet.store(url=proxy.url + "?max_connections=1")
        for _ in range(10):
            await store.get(TOKEN)
        assert proxy.connections == 1
        leases = await asyncio.gather(*(store.acquire(f"token-{number}") for number in range(500)))
        assert {lease is None for lease in leases} == {False}
        assert 1 < proxy.connections <= 16


async def test_rf03_lease_is_renewed_during_a_refresh(fleet: Fleet, redis_server: RedisServer) -> None:
    """A call that lasts three times the lease TTL stays the only one. Renewal ends with it."""
    async with CountingProxy(redis_server.port) as proxy:
        store, other = fleet.store(url=proxy.url, lease_seconds=1.5), fleet.store(lease_seconds=1.5)
        lease = await acquire_lease(store)
        await asyncio.wait_for(proxy.until(proxy.round_trips + 9), 60)
        assert await other.acquire(TOKEN) is None
        assert await store.complete(TOKEN, lease, FIRST, 600) is True
        assert await other.acquire(TOKEN) == FIRST
        await asyncio.sleep(0)
        assert renewals() == set()


async def test_lease_renewal_is_limited(fleet: Fleet) -> None:
    """A lease with a TTL of minutes is not renewed: a holder may take one minute."""
    await acquire_lease(fleet.store(lease_seconds=200.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert renewals() == set()


async def test_lost_lease_is_not_renewed(fleet: Fleet, redis_server: RedisServer) -> None:
    """A process does not renew a lease that another process holds."""
    await acquire_lease(fleet.store(lease_seconds=0.6))
    redis_server.command("SET", LEASE_KEY, "another", "PX", 50_000)
    await asyncio.wait_for(asyncio.gather(*renewals()), 60)
    assert redis_server.command("GET", LEASE_KEY) == b"another"
    assert redis_server.command("PTTL", LEASE_KEY) in range(600, 50_000)


async def test_aclose_cancels_all_tasks(fleet: Fleet, redis_server: RedisServer) -> None:
    """No renewal continues after ``aclose``; the lease expires."""
    before = asyncio.all_tasks()
    store = fleet.store()
    await acquire_lease(store)
    await store.acquire("another token")
    assert len(renewals()) == 2
    await store.aclose()
    assert asyncio.all_tasks() == before
    assert redis_server.command("PTTL", LEASE_KEY) in range(1, 10_001)
    await store.aclose()


def test_store_serves_consecutive_event_loops(redis_server: RedisServer) -> None:
    """Each event loop has its own connections. They close with the loop, and the tasks end with it."""
    store = RedisRefreshStore(
        SecretStr(redis_server.url), project_id=PROJECT, events=EventBus(), timeout=10.0
    )

    async def one_refresh(number: int) -> object:
        lease = await store.acquire(f"token-{number}")
        assert isinstance(lease, Lease)
        await store.acquire("a lease that is never released")
        await store.complete(f"token-{number}", lease, FIRST, 60)
        return await store.get("token-0")

    async def close() -> None:
        await store.aclose()

    assert [asyncio.run(one_refresh(number)) for number in range(3)] == [FIRST] * 3
    asyncio.run(close())
    gc.collect()  # an open socket would warn here, and warnings are errors


def test_aclose_in_another_loop_leaves_connections_open(redis_server: RedisServer) -> None:
    """The connections of a loop stay open until it ends, if ``aclose`` is called in another loop."""
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


async def test_projects_do_not_share_results(fleet: Fleet, redis_server: RedisServer) -> None:
    """Two apps of different projects on one Redis do not see each other's leases and results."""
    await fleet.store().force_set(TOKEN, FIRST, 60)
    other_project = RedisRefreshStore(
        SecretStr(redis_server.url), project_id="P3", events=EventBus(), timeout=10.0
    )
    assert await other_project.get(TOKEN) is None
    assert isinstance(await other_project.acquire(TOKEN), Lease)
    await acquire_lease(fleet.store(), ignore_cached=True)
    await other_project.aclose()


@pytest.mark.parametrize(
    "query",
    [
        "decode_responses=true",
        "socket_timeout=0.000001",
        "protocol=3",
        "retry_on_timeout=yes",
        "retry_on_error=canary",
        "encoding=utf-16",
    ],
)
async def test_url_query_cannot_override_client_options(
    fleet: Fleet, redis_server: RedisServer, query: str
) -> None:
    """The store works with any query in the URL."""
    store = fleet.store(url=f"{redis_server.url}?{query}")
    await store.complete(TOKEN, await acquire_lease(store), FIRST, 60)
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
        "rediss://host?ssl_cert_reqs=canary",
        "redis://:secret@[canary]:6379",
        "redis+sentinel://:secret@[canary]/service",
        "redis+cluster://:secret@[canary],host",
    ],
)
def test_rd06_bad_url_is_rejected_at_start_up(url: str) -> None:
    """The error names the setting and contains nothing of the URL (LG-02)."""
    with pytest.raises(ConfigurationError) as caught:
        RedisRefreshStore(SecretStr(url), project_id=PROJECT, events=EventBus())
    assert str(caught.value) == "DESCOPE_REDIS_URL is not a URL that redis-py can read"
    assert caught.value.__context__ is None


def test_repr_hides_the_redis_url() -> None:
    """Neither the store nor its attributes show the URL or the password in their ``repr``."""
    store = RedisRefreshStore(SecretStr("redis://:canary@localhost"), project_id=PROJECT, events=EventBus())
    assert "canary" not in repr((store, vars(store)))


def renewals() -> set[asyncio.Task[object]]:
    """Return the tasks that renew a lease."""
    return {task for task in asyncio.all_tasks() if "_renew_lease" in repr(task)}


async def test_store_of_a_cluster_is_no_single_node_of_one() -> None:
    """It knows by the URL, without a connection."""
    url = SecretStr("redis+cluster://127.0.0.1:1")
    store = RedisRefreshStore(url, project_id=PROJECT, events=EventBus())

    assert not await RedisDiagnosis(store).is_cluster_node()
