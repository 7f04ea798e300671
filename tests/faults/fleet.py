"""A fleet: a testbed whose workers share a Redis behind a faulty proxy and can be killed."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from tests.helpers.redis_server import RedisServer
from tests.helpers.redis_topologies import TOPOLOGIES, RunningRedis, SentinelServers

from .browsers import AppClient, Browser
from .checker import Checker
from .kill_points import KillPoints
from .redis_proxy import RedisProxy
from .testbed import ProcessStats, Testbed, TestbedConfig, running_testbed, wait_until
from .upstream import EXPIRED

__all__ = [
    "DEPLOY_SETTINGS",
    "LONG_TIMEOUTS",
    "NETWORK_SETTINGS",
    "SLOW_SETTINGS",
    "Fleet",
    "running_fleet",
]

LONG_TIMEOUTS = {"DESCOPE_UPSTREAM_TIMEOUT": "30", "TESTBED_REDIS_TIMEOUT": "10"}
"""Settings for scenarios in which a busy machine must not look like an outage."""

DEPLOY_SETTINGS = {**LONG_TIMEOUTS, "TESTBED_LEASE_SECONDS": "1.5", "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "1"}
"""Settings for deploys that cut requests off after a second, and for calls that are longer than a lease."""

NETWORK_SETTINGS = {**LONG_TIMEOUTS, "TESTBED_REDIS_TIMEOUT": "2"}
"""Settings for scenarios in which commands to Redis time out, although Redis is healthy."""


SLOW_SETTINGS = {**LONG_TIMEOUTS, "TESTBED_REDIS_TIMEOUT": "1.5"}
"""Settings for scenarios in which Redis replies late."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The parts of a fleet that a scenario uses.

    Attributes:
        redis: the server itself.
        redis_proxy: the proxy to the server.
        points: the kill points of the workers.
        servers: all servers that the workers use; only ``redis`` unless a topology was chosen.
        proxies: a proxy for each of the servers, if the fleet is ``slow``.
    """

    testbed: Testbed
    redis: RedisServer
    redis_proxy: RedisProxy
    points: KillPoints
    servers: RunningRedis
    proxies: Sequence[RedisProxy]

    @property
    def workers(self) -> int:
        """The number of processes."""
        return self.testbed.config.workers

    async def start_scenario(
        self, name: str, fault: str, *, rotate: bool = True, reuse_grace: int = 0
    ) -> Checker:
        """Start a scenario. By default Descope rotates refresh tokens and rejects reuse."""
        for proxy in (self.redis_proxy, *self.proxies):
            proxy.restore()
        self.points.disarm()
        checker = await Checker.start(self.testbed, name, fault)
        await self.testbed.upstream.project(rotate_refresh=rotate, reuse_grace=reuse_grace)
        return checker

    async def stats(self) -> dict[int, ProcessStats]:
        """Return the stats of every worker."""
        while len(found := await self.testbed.app.stats()) < self.workers:
            pass
        return found

    async def requests_per_worker(self) -> dict[int, int]:
        """Return how many requests each worker has received so far."""
        return {pid: one.received for pid, one in (await self.stats()).items()}

    async def connect_to_redis(self) -> None:
        """Let every worker refresh a session, so that it has connected to Redis."""
        before = await self.requests_per_worker()

        async def have_all_refreshed() -> bool:
            visitors = await self.expired_browsers(4 * self.workers)
            async with AppClient(self.testbed.app.url, self.testbed.clock) as client:
                await asyncio.gather(*(Browser(each.user, client).send() for each in visitors))
            now = await self.requests_per_worker()
            return all(now[pid] > before[pid] for pid in before)

        await wait_until(have_all_refreshed)

    async def expired_browsers(self, count: int) -> list[Browser]:
        """Create browsers with an expired session and a valid refresh token."""
        return await self.testbed.browsers(count, session_seconds=EXPIRED)

    async def pass_time(self, seconds: float) -> None:
        """Advance the time of Descope, the app and Redis."""
        self.redis.elapse(seconds)
        await self.testbed.pass_time(seconds)

    def results(self) -> set[str]:
        """Return the names of the results in all primaries; none while Sentinels replace a primary."""
        primaries = [each for each in self.servers.servers if each.is_running and each.is_primary()]
        if isinstance(self.servers, SentinelServers) and len(primaries) != 1:
            return set()
        keys = {key for server in primaries for key in server.keys()}  # noqa: SIM118 - no dict
        return {key for key in keys if ":refresh:" in key}

    def key_ttls(self, kind: Literal["refresh", "lease"]) -> dict[str, float]:
        """Return the results or the leases in Redis: TTL in seconds by key."""
        keys = self.redis.keys()
        names = [name for name in keys if f":{kind}:" in name]
        return {name: cast("int", self.redis.command("PTTL", name)) / 1000 for name in names}


@asynccontextmanager
async def running_fleet(
    directory: Path,
    *,
    workers: int,
    redis: Literal["direct", "proxy", "none", "standalone", "sentinel", "cluster"] = "direct",
    slow: bool = False,
    variables: Mapping[str, str] | None = None,
) -> AsyncGenerator[Fleet]:
    """Run a fleet.

    ``redis``: whether its workers connect to Redis directly or through the proxy, whose latency depends on
    the load of this process, or have no Redis, or have one of a topology. ``slow``: they reach each server of
    the topology through a proxy of its own.
    """
    kill = directory / "kill"
    kill.mkdir()
    server = RedisServer(directory)
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        servers: RunningRedis = server
        if redis in TOPOLOGIES:
            (directory / "servers").mkdir()
            servers = TOPOLOGIES[redis](directory / "servers")
            stack.callback(servers.stop)
        proxy = await stack.enter_async_context(RedisProxy(server.port))
        proxied = servers.servers if slow else ()
        proxies = [await stack.enter_async_context(RedisProxy(each.port)) for each in proxied]
        if slow:
            ports = {each.port: its.port for each, its in zip(proxied, proxies, strict=True)}
            # In a thread, because the servers talk to each other through the proxies.
            await asyncio.to_thread(servers.redirect, ports)
        url = {"none": {}, "proxy": {"DESCOPE_REDIS_URL": proxy.url}}.get(
            redis, {"DESCOPE_REDIS_URL": servers.url}
        )
        environment = {"TESTBED_KILL_POINTS": str(kill), **url, **(variables or {})}
        config = TestbedConfig(workers=workers, variables=environment)
        testbed = await stack.enter_async_context(running_testbed(config, directory))
        yield Fleet(testbed, server, proxy, KillPoints(kill), servers, proxies)
