"""A Redis Cluster is not supported. It is reported once, and does not recover and fail repeatedly (RD-02)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fastapi_descope._refresh.store import Lease
from fastapi_descope.events import StoreDegraded
from tests.helpers.fake_redis import GatedRedis, always_ok, cluster_node
from tests.helpers.redis_fleet import FIRST, TOKEN, Fleet, acquire_lease
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.anyio

DEGRADED = StoreDegraded("RedisCluster")


@pytest.fixture
async def node() -> AsyncIterator[GatedRedis]:
    """A node that has some of the slots and redirects for the others."""
    async with GatedRedis(cluster_node) as node:
        node.gate.set()
        yield node


async def test_rd02_cluster_is_reported_once(node: GatedRedis) -> None:
    """A node that accepts a write to one key has not recovered: each probe uses keys of two slots."""
    async with Fleet(node.url) as fleet:
        store = fleet.store()
        lease = await acquire_lease(store)
        assert await store.complete(TOKEN, lease, FIRST, 600) is True
        for _ in range(5):
            fleet.now += 31
            assert await store.acquire(TOKEN) == FIRST
            await asyncio.gather(
                *(task for task in asyncio.all_tasks() if "ResilientRedis.probe" in repr(task))
            )
        assert fleet.events == [DEGRADED]


async def test_store_recovers_when_the_url_leads_to_a_plain_redis(node: GatedRedis) -> None:
    """The cluster was replaced by a single server."""
    async with Fleet(node.url) as fleet:
        store = fleet.store()
        await store.get(TOKEN)
        node.reply = always_ok
        await fleet.recover(store)
        assert fleet.events[0] == DEGRADED
        assert len(fleet.events) == 2


@pytest.mark.redis
async def test_rd02_real_cluster_node_is_detected(redis_victim: RedisServer) -> None:
    """``is_cluster`` reports it, and a request goes on without Redis."""
    redis_victim.stop()
    redis_victim.start("--cluster-enabled", "yes")
    async with Fleet(redis_victim.url) as fleet:
        store = fleet.store()
        assert await store.is_cluster()
        assert isinstance(await store.acquire(TOKEN), Lease)
        assert fleet.events == [DEGRADED]


@pytest.mark.redis
async def test_plain_redis_is_not_a_cluster(redis_server: RedisServer) -> None:
    """The check leaves no key behind."""
    async with Fleet(redis_server.url) as fleet:
        assert not await fleet.store().is_cluster()
        assert redis_server.keys() == []
        assert fleet.events == []
