"""TLS, Sentinels and clusters: what a failover, a migration of slots and a wrong URL cost (RD-02, RD-08)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest
from redis.crc import key_slot

from fastapi_descope._refresh.redis.diagnosis import RedisDiagnosis
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.events import StoreDegraded, StoreRecovered
from tests.helpers.redis_fleet import CIPHER, FIRST, TOKEN, Fleet, acquire_lease, probing
from tests.helpers.redis_server import RedisServer
from tests.helpers.redis_topologies import (
    DOCUMENTED_COMMANDS,
    DOCUMENTED_USER,
    TOPOLOGIES,
    Certificates,
    ClusterServers,
    SentinelServers,
    StartRedis,
    tls_cluster,
    tls_sentinel,
)

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
def cluster_victim(tmp_path: Path) -> Iterator[ClusterServers]:
    """A cluster for one test, which may break it."""
    servers = ClusterServers(tmp_path)
    yield servers
    servers.stop()


@pytest.fixture
def sentinel_victim(tmp_path: Path) -> Iterator[SentinelServers]:
    """Sentinels with their servers for one test, which may break them."""
    servers = SentinelServers(tmp_path)
    yield servers
    servers.stop()


@pytest.fixture
async def cluster(start_redis: StartRedis) -> AsyncIterator[tuple[ClusterServers, Fleet]]:
    """A cluster that works throughout, and processes that share it."""
    servers = start_redis("cluster")
    assert isinstance(servers, ClusterServers)
    async with Fleet(servers.url) as fleet:
        yield servers, fleet
        assert fleet.events == []


def slot_of(token: str) -> int:
    """Return the slot of all keys of a token."""
    return key_slot(CIPHER.token_hash(token).encode())


def token_of(servers: ClusterServers, node: RedisServer) -> str:
    """Return a token whose slot a node has."""
    return next(name for name in map("token-{}".format, count()) if servers.owner(slot_of(name)) is node)


async def until_recovered(fleet: Fleet) -> None:
    """Wait until the servers have chosen another primary and every process uses it."""
    await asyncio.wait_for(fleet.recover(), 120)
    assert fleet.events[-1] == StoreRecovered()


async def test_rd08_slot_that_migrates_during_a_refresh_loses_no_result(
    cluster: tuple[ClusterServers, Fleet],
) -> None:
    """The lease holds on the new node, and the result and the pointer back to it arrive there."""
    servers, fleet = cluster
    store, other = fleet.store(), fleet.store()
    lease = await acquire_lease(store)
    source = servers.owner(slot_of(TOKEN))
    target = next(each for each in servers.primaries if each is not source)
    servers.migrate(slot_of(TOKEN), target)

    assert await other.acquire(TOKEN) is None
    assert await store.complete(TOKEN, lease, FIRST, 60) is True
    assert await other.acquire(TOKEN) == FIRST
    assert servers.owner(slot_of(TOKEN)) is target


async def test_rd08_migrations_in_the_background_fail_no_command(
    cluster: tuple[ClusterServers, Fleet],
) -> None:
    """Forty sessions are refreshed while their slots move to another node one after the other."""
    servers, fleet = cluster
    store, other = fleet.store(), fleet.store()
    tokens = [f"migrating-{number}" for number in range(40)]

    async def refresh(token: str) -> None:
        lease = await store.acquire(token)
        assert isinstance(lease, Lease)
        assert await other.acquire(token) is None
        assert await store.complete(token, lease, RefreshResult("session", f"after {token}"), 60)
        assert await other.acquire(token) == RefreshResult("session", f"after {token}")

    def migrate_all() -> None:
        for token in tokens:
            source = servers.owner(slot_of(token))
            servers.migrate(slot_of(token), next(each for each in servers.primaries if each is not source))

    migration = asyncio.create_task(asyncio.to_thread(migrate_all))
    await asyncio.gather(*(refresh(token) for token in tokens))
    await migration
    for token in tokens:
        assert await other.get(token) == RefreshResult("session", f"after {token}")


async def test_rd08_lost_node_of_a_cluster_costs_only_its_slots(cluster_victim: ClusterServers) -> None:
    """Processes still exclude each other in the slots of the other nodes."""
    lost, healthy = cluster_victim.servers[1], cluster_victim.servers[2]
    lost_token, healthy_token = token_of(cluster_victim, lost), token_of(cluster_victim, healthy)
    async with Fleet(cluster_victim.url, timeout=1.0) as fleet:
        store, other = fleet.store(), fleet.store()
        await asyncio.gather(store.get(TOKEN), other.get(TOKEN))
        lost.stop()
        assert isinstance(await store.acquire(lost_token), Lease)
        assert isinstance(await other.acquire(lost_token), Lease)
        assert isinstance(await store.acquire(healthy_token), Lease)
        assert await other.acquire(healthy_token) is None
        assert [type(event) for event in fleet.events] == [StoreDegraded] * 2


async def test_rd08_outage_of_two_nodes_is_one_outage(cluster_victim: ClusterServers) -> None:
    """It begins with the first failure, and ends when the last node has recovered."""
    first, second = cluster_victim.servers[1:3]
    tokens = [token_of(cluster_victim, node) for node in (first, second)]
    async with Fleet(cluster_victim.url, timeout=1.0) as fleet:
        store = fleet.store()
        await store.get(TOKEN)
        first.suspend()
        second.suspend()
        for token in tokens:
            assert isinstance(await store.acquire(token), Lease)
        first.resume()
        await asyncio.wait(probing(), return_when=asyncio.FIRST_COMPLETED, timeout=60)
        assert (len(probing()), len(fleet.events)) == (1, 1)
        second.resume()
        await until_recovered(fleet)
        assert [type(event) for event in fleet.events] == [StoreDegraded, StoreRecovered]


async def test_rd08_failover_in_a_cluster_loses_no_result(cluster_victim: ClusterServers) -> None:
    """The first node is killed during a refresh. Its replica gets the result that could not be written."""
    token = token_of(cluster_victim, cluster_victim.servers[0])
    async with Fleet(cluster_victim.url, timeout=1.0) as fleet:
        store, other = fleet.store(), fleet.store()
        lease = await store.acquire(token)
        assert isinstance(lease, Lease)
        cluster_victim.servers[0].stop()
        assert await store.complete(token, lease, FIRST, 600) is True
        await until_recovered(fleet)
        assert await other.acquire(token) == FIRST


async def test_rd08_failover_of_sentinels_loses_no_result(sentinel_victim: SentinelServers) -> None:
    """The primary is killed during a refresh. The promoted replica gets the result."""
    async with Fleet(sentinel_victim.url, timeout=1.0) as fleet:
        store, other = fleet.store(), fleet.store()
        await other.force_set("earlier", FIRST, 600)
        lease = await acquire_lease(store)
        sentinel_victim.primary.stop()
        assert await store.complete(TOKEN, lease, FIRST, 600) is True
        await until_recovered(fleet)
        assert await other.acquire(TOKEN) == FIRST
        assert await store.get("earlier") == FIRST


async def test_rd08_two_of_three_sentinels_may_hang(sentinel_victim: SentinelServers) -> None:
    """A new connection asks the third one in time."""
    for sentinel in sentinel_victim.sentinels[:2]:
        sentinel.suspend()
    async with Fleet(sentinel_victim.url, timeout=1.0) as fleet:
        await acquire_lease(fleet.store())
        assert fleet.events == []
    for sentinel in sentinel_victim.sentinels[:2]:
        sentinel.resume()


async def test_rd02_node_of_a_cluster_without_the_scheme_is_reported_once(
    cluster: tuple[ClusterServers, Fleet],
) -> None:
    """The probe is in the slot of the command that failed, so that the breaker does not flap."""
    servers, _ = cluster
    token = token_of(servers, servers.servers[1])
    async with Fleet(servers.servers[0].url) as fleet:
        store = fleet.store()
        assert await RedisDiagnosis(store).is_cluster_node()
        assert isinstance(await store.acquire(token), Lease)
        await store.force_set(token, FIRST, 60)
        await store.aclose()  # which probes once more
        assert fleet.events == [StoreDegraded("MovedError")]


async def test_untrusted_certificate_is_an_outage(start_redis: StartRedis, tmp_path: Path) -> None:
    """The certificate of Redis is checked against the authority that the URL names."""
    other_files = Certificates.create(tmp_path)
    url = start_redis("tls").url.partition("?")[0]
    async with Fleet(f"{url}?ssl_ca_certs={other_files.authority}") as fleet:
        assert isinstance(await fleet.store().acquire(TOKEN), Lease)
        assert fleet.events == [StoreDegraded("ConnectionError")]


@pytest.mark.parametrize("run", [tls_sentinel, tls_cluster], ids=["Sentinel", "cluster"])
async def test_tls_reaches_the_servers_that_others_name(
    run: Callable[[Path], AbstractContextManager[tuple[RedisServer, str]]], tmp_path: Path
) -> None:
    """The ports that a Sentinel and a cluster name accept TLS only. The certificates of all are checked."""
    with run(tmp_path) as (server, url):
        async with Fleet(url) as fleet:
            assert isinstance(await fleet.store().acquire(TOKEN), Lease)
            assert fleet.events == []
        (tmp_path / "other").mkdir()
        other = Certificates.create(tmp_path / "other")
        async with Fleet(f"{url.partition('?')[0]}?ssl_ca_certs={other.authority}") as fleet:
            assert isinstance(await fleet.store().acquire(TOKEN), Lease)
            assert [type(each) for each in fleet.events] == [StoreDegraded]
        assert len(server.keys()) == 1


@pytest.mark.parametrize("topology", TOPOLOGIES)
async def test_acl_user_with_the_documented_commands(start_redis: StartRedis, topology: str) -> None:
    """It needs no others, and no key or channel of other apps. ``doctor`` finds each one that is missing."""
    servers = start_redis(topology)
    for server in servers.servers:
        server.command("ACL", "SETUSER", "app", *DOCUMENTED_USER)
    async with Fleet(servers.url.replace("//", "//app:password@")) as fleet:
        store, other = fleet.store(), fleet.store()
        lease = await acquire_lease(store)
        assert await store.complete(TOKEN, lease, FIRST, 60) is True
        assert await other.acquire(TOKEN) == FIRST
        await other.mark_presented("canary-refresh", 30)
        assert await other.force_set(TOKEN, RefreshResult.ended(), 60) == FIRST
        assert set((await RedisDiagnosis(store).failures()).values()) == {None}
        assert fleet.events == []
        for name in DOCUMENTED_COMMANDS:
            for server in servers.servers:
                server.command("ACL", "SETUSER", "app", f"-{name}")
            assert None not in (await RedisDiagnosis(store).failures()).values(), name
            for server in servers.servers:
                server.command("ACL", "SETUSER", "app", f"+{name}")
