"""A dead connection is not a dead Redis: the command is sent again over a new one (RD-07)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.events import StoreDegraded
from tests.faults.redis_proxy import Lost, RedisProxy
from tests.helpers.redis_fleet import FIRST, SECOND, TOKEN, Fleet, acquire_lease
from tests.helpers.redis_server import CountingProxy, RedisServer
from tests.helpers.strict_upstream import StrictDescope

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

LOST_CONNECTIONS = pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.name.lower())
LOST_REPLIES = pytest.mark.parametrize("lost", [Lost.FORGOTTEN, Lost.RESET], ids=["forgotten", "reset"])


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[RedisProxy]:
    """The network between the processes and Redis."""
    async with RedisProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
async def fleet(proxy: RedisProxy) -> AsyncIterator[Fleet]:
    """Processes that share a Redis."""
    async with Fleet(proxy.url, timeout=1.0) as fleet:
        yield fleet


@pytest.fixture
async def store(fleet: Fleet) -> RedisRefreshStore:
    """A process with an open connection."""
    store = fleet.store()
    await store.get("connect")
    return store


@pytest.fixture
def other(fleet: Fleet, redis_server: RedisServer) -> RedisRefreshStore:
    """A process with connections that no test loses."""
    return fleet.store(url=redis_server.url)


@LOST_CONNECTIONS
async def test_rd07_two_processes_with_dead_connections_make_one_refresh(
    fleet: Fleet, proxy: RedisProxy, lost: Lost
) -> None:
    """Both want to refresh the session at once, after a quiet time. One of them gets the lease."""
    stores = [fleet.store(), fleet.store()]
    await asyncio.gather(*(store.get("connect") for store in stores))
    proxy.lose_connections(lost)

    acquired = await asyncio.gather(*(store.acquire(TOKEN) for store in stores))

    assert sorted(isinstance(each, Lease) for each in acquired) == [False, True]
    assert fleet.events == []


@LOST_CONNECTIONS
async def test_rd07_many_dead_connections_fail_no_command(
    fleet: Fleet, proxy: RedisProxy, store: RedisRefreshStore, lost: Lost
) -> None:
    """A command is never sent again over another dead connection of the pool."""
    await asyncio.gather(*(store.get(f"connect-{number}") for number in range(1000)))
    assert proxy.connections in range(10, 17)
    proxy.lose_connections(lost)

    acquired = await asyncio.gather(*(store.acquire(f"token-{number}") for number in range(1000)))

    assert {isinstance(each, Lease) for each in acquired} == {True}
    assert fleet.events == []


@LOST_REPLIES
async def test_rd07_command_is_sent_again_once(fleet: Fleet, proxy: RedisProxy, lost: Lost) -> None:
    """If the second connection fails too, Redis is unavailable."""
    store = fleet.store()
    await store.get(TOKEN)
    proxy.lose_replies(lost, lost)
    before = proxy.connections
    assert isinstance(await store.acquire(TOKEN), Lease)
    assert proxy.connections == before + 1
    assert [type(event) for event in fleet.events] == [StoreDegraded]


@LOST_REPLIES
async def test_rd07_repeated_acquire_returns_the_same_lease(
    fleet: Fleet, proxy: RedisProxy, store: RedisRefreshStore, other: RedisRefreshStore, lost: Lost
) -> None:
    """The first reply is lost. The process is not blocked by its own lease, and others are."""
    proxy.lose_replies(lost)
    lease = await acquire_lease(store)
    assert await other.acquire(TOKEN) is None
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.acquire(TOKEN) == FIRST
    assert fleet.events == []


@LOST_REPLIES
async def test_rd07_repeated_complete_succeeds_again(
    fleet: Fleet, proxy: RedisProxy, store: RedisRefreshStore, other: RedisRefreshStore, lost: Lost
) -> None:
    """The first reply is lost. The process does not believe that it has lost its lease."""
    await other.force_set(TOKEN, SECOND, 60)
    lease = await acquire_lease(store, ignore_cached=True)
    proxy.lose_replies(lost)
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.get(TOKEN) == FIRST
    proxy.lose_replies(lost)
    assert await store.complete(TOKEN, await acquire_lease(store, ignore_cached=True), None, 0) is True
    await acquire_lease(other, ignore_cached=True)
    assert fleet.events == []


@LOST_REPLIES
async def test_rd07_repeated_force_set_returns_the_same_result(
    fleet: Fleet, proxy: RedisProxy, store: RedisRefreshStore, other: RedisRefreshStore, lost: Lost
) -> None:
    """The first reply is lost. It has the newest token, which a logout must end too (LO-03)."""
    await other.force_set(TOKEN, FIRST, 60)
    proxy.lose_replies(lost)
    assert await store.force_set(TOKEN, RefreshResult.ended(), 60) == FIRST
    assert await other.get(TOKEN) == RefreshResult.ended()
    assert fleet.events == []


@LOST_REPLIES
@pytest.mark.parametrize("result", [FIRST, RefreshResult.ended()])
async def test_rd07_repeated_force_set_of_an_unknown_token_replaces_nothing(
    fleet: Fleet, proxy: RedisProxy, store: RedisRefreshStore, lost: Lost, result: RefreshResult
) -> None:
    """The repetition does not take its own value for the one that it has replaced."""
    proxy.lose_replies(lost)
    assert await store.force_set(TOKEN, result, 60) is None
    assert await store.get(TOKEN) == result
    assert fleet.events == []


async def test_rd07_repeated_force_set_survives_a_second_logout(
    proxy: RedisProxy, store: RedisRefreshStore, other: RedisRefreshStore
) -> None:
    """A second process logs out before the first one can send its logout again."""
    await other.force_set(TOKEN, FIRST, 60)
    proxy.lose_replies(Lost.FORGOTTEN)
    logout = asyncio.create_task(store.force_set(TOKEN, RefreshResult.ended(), 60))
    await proxy.lost.wait()
    await other.force_set(TOKEN, RefreshResult.ended(superseded=True), 60)
    assert await logout == FIRST


@LOST_REPLIES
async def test_lo03_logout_whose_replies_are_lost_ends_the_successors(
    fleet: Fleet, proxy: RedisProxy, store: RedisRefreshStore, other: RedisRefreshStore, lost: Lost
) -> None:
    """Redis ran it, and no reply arrived. It is sent again later, and gets the newest token again."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    disconnected, others = descope.coordinator(store), descope.coordinator(other)
    renewed = await others.refresh(refresh_token)
    assert isinstance(renewed, Renewed)
    proxy.lose_replies(lost, lost)
    await disconnected.supersede(refresh_token)
    assert await others.refresh(refresh_token) == Ended(superseded=True)

    await fleet.recover()

    assert await others.refresh(renewed.pair.refresh) == Ended(superseded=True)
    assert len(descope.calls) == 1


@LOST_REPLIES
@pytest.mark.parametrize("command", [RedisRefreshStore.get, RedisRefreshStore.acquire])
async def test_rd07_repeated_read_returns_the_same_result(
    fleet: Fleet,
    proxy: RedisProxy,
    store: RedisRefreshStore,
    other: RedisRefreshStore,
    lost: Lost,
    command: Callable[[RedisRefreshStore, str], Awaitable[object]],
) -> None:
    """The result is unchanged."""
    await other.force_set(TOKEN, FIRST, 60)
    proxy.lose_replies(lost)
    assert await command(store, TOKEN) == FIRST
    assert await store.get(TOKEN) == FIRST
    assert await other.acquire(TOKEN) == FIRST
    assert fleet.events == []


async def test_rd07_repeated_renewal_keeps_the_lease(
    fleet: Fleet, proxy: RedisProxy, redis_server: RedisServer, other: RedisRefreshStore
) -> None:
    """The reply to a renewal is lost. The holder goes on renewing its lease."""
    async with CountingProxy(proxy.port) as counter:
        store = fleet.store(url=counter.url, lease_seconds=1.5)
        await acquire_lease(store)
        proxy.lose_replies(Lost.RESET)
        await asyncio.wait_for(counter.until(counter.round_trips + 8), 60)
        assert await other.acquire(TOKEN) is None
        assert (proxy.connections, fleet.events) == (2, [])
        await store.aclose()
