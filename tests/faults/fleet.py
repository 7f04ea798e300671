"""A fleet: a rig whose workers share a Redis, behind a line that can fail, and can be told to die."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from tests.helpers.redis_server import RedisServer

from .browsers import Browser
from .kill_points import KillPoints
from .observer import Observer
from .redis_proxy import RedisProxy
from .rig import Rig, Setup, running_rig
from .upstream import DEAD

__all__ = ["LEAVING", "PATIENT", "Fleet", "running_fleet"]

PATIENT = {"DESCOPE_UPSTREAM_TIMEOUT": "30", "RIG_REDIS_TIMEOUT": "10"}
"""For scenarios in which nothing is to be taken for an outage because the machine is busy."""


LEAVING = {**PATIENT, "RIG_LEASE_SECONDS": "0.6", "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN": "1"}
"""For deploys, which give requests a second, and for calls that are long beside a lease."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that a scenario of a fleet needs.

    Attributes:
        redis: the server itself, to ask and to ill-treat.
        proxy: the line to it.
        points: where workers may be killed.
    """

    rig: Rig
    redis: RedisServer
    proxy: RedisProxy
    points: KillPoints

    @property
    def workers(self) -> int:
        """How many processes there are."""
        return self.rig.setup.workers

    async def watched(self, name: str, thrown: str, *, rotate: bool = True, reuse_grace: int = 0) -> Observer:
        """Begin a scenario with a Descope that rotates refresh tokens, and takes reuse for theft."""
        self.proxy.heal()
        self.points.disarm()
        observer = await Observer.watching(self.rig, name, thrown)
        await self.rig.upstream.project(rotate_refresh=rotate, reuse_grace=reuse_grace)
        return observer

    async def returning(self, count: int) -> list[Browser]:
        """Browsers that come back with a dead session and a good refresh token."""
        return await self.rig.browsers(count, session_seconds=DEAD)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for Descope, the app, and what Redis remembers; at once."""
        self.redis.elapse(seconds)
        await self.rig.pass_time(seconds)

    def leases(self) -> dict[str, float]:
        """The leases in Redis: by name of the key, in how many seconds each ends."""
        keys = self.redis.keys()
        names = [name for name in keys if ":lease:" in name]
        return {name: cast("int", self.redis.command("PTTL", name)) / 1000 for name in names}


@asynccontextmanager
async def running_fleet(
    directory: Path,
    *,
    workers: int,
    redis: Literal["near", "behind proxy", "none"] = "near",
    variables: Mapping[str, str] | None = None,
) -> AsyncGenerator[Fleet]:
    """A fleet for the length of an ``async with``.

    ``redis``: whether its workers reach Redis directly, or through the proxy, which is as slow as this
    process is busy, or know of none.
    """
    kill = directory / "kill"
    kill.mkdir()
    server = RedisServer(directory)
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        proxy = await stack.enter_async_context(RedisProxy(server.port))
        urls = {"near": {"DESCOPE_REDIS_URL": server.url}, "behind proxy": {"DESCOPE_REDIS_URL": proxy.url}}
        environment = {"RIG_KILL_POINTS": str(kill), **urls.get(redis, {}), **(variables or {})}
        setup = Setup(workers=workers, variables=environment)
        rig = await stack.enter_async_context(running_rig(setup, directory))
        yield Fleet(rig, server, proxy, KillPoints(kill))
