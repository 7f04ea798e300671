"""A Redis Cluster is not supported, which is said once: it is not found and lost again and again (RD-02)."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fastapi_descope._refresh.store import Lease
from fastapi_descope.events import StoreDegraded
from tests.helpers.fake_redis import GatedRedis, always_done, node_of_a_cluster
from tests.helpers.redis_fleet import FIRST, TOKEN, Fleet, lease_of
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.anyio

ALONE = StoreDegraded("RedisCluster")


@pytest.fixture
async def node() -> AsyncIterator[GatedRedis]:
    """One node of several: it has some slots and points elsewhere for the others."""
    async with GatedRedis(node_of_a_cluster) as node:
        node.gate.set()
        yield node


async def test_rd02_a_cluster_is_told_of_once(node: GatedRedis) -> None:
    """A node that takes a write to one key is not back: every trial asks for keys of two slots."""
    async with Fleet(node.url) as fleet:
        store = fleet.store()
        lease = await lease_of(store)
        assert await store.complete(TOKEN, lease, FIRST, 600) is True
        for _ in range(5):
            fleet.now += 31
            assert await store.acquire(TOKEN) == FIRST
            await asyncio.gather(
                *(task for task in asyncio.all_tasks() if "ResilientRedis.probe" in repr(task))
            )
        assert fleet.happened == [ALONE]


async def test_what_is_a_cluster_no_more_counts_again(node: GatedRedis) -> None:
    """The address leads to a plain Redis by now."""
    async with Fleet(node.url) as fleet:
        store = fleet.store()
        await store.get(TOKEN)
        node.answer = always_done
        await fleet.heal(store)
        assert fleet.happened[0] == ALONE
        assert len(fleet.happened) == 2


@pytest.mark.redis
async def test_rd02_the_node_of_a_real_cluster_is_known_for_one(redis_victim: RedisServer) -> None:
    """Whoever asks directly is told; a request goes on alone."""
    redis_victim.stop()
    redis_victim.start("--cluster-enabled", "yes")
    async with Fleet(redis_victim.url) as fleet:
        store = fleet.store()
        assert await store.is_cluster()
        assert isinstance(await store.acquire(TOKEN), Lease)
        assert fleet.happened == [ALONE]


@pytest.mark.redis
async def test_a_plain_redis_is_no_cluster(redis_server: RedisServer) -> None:
    """Nothing is left there by the question."""
    async with Fleet(redis_server.url) as fleet:
        assert not await fleet.store().is_cluster()
        assert redis_server.keys() == []
        assert fleet.happened == []
