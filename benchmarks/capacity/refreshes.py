"""Refreshes: how many in a second, and what each sends to Redis and to Descope."""

import asyncio
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from tests.faults.tcp_proxy import TcpProxy
from tests.helpers.redis_server import RedisServer

from ..upstream import Upstream, both_cookies, running_upstream
from .workers import Connection, Worker, cpu_seconds, running_workers

__all__ = ["Throughput", "Traffic", "measure_throughput", "measure_traffic"]

_CONNECTIONS = 16
"""Connections to each worker: fewer than its connections to Descope."""
_OK = 200


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one refresh sends, on average. Bytes are those of TCP's payload, without TLS.

    Attributes:
        commands: commands to Redis.
        redis_bytes: bytes to and from Redis.
        descope_bytes: bytes to and from Descope.
    """

    commands: float
    redis_bytes: float
    descope_bytes: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """Refreshes in a second, and the processor time of one in milliseconds, by process.

    Attributes:
        workers: the number of workers.
        per_second: refreshes in a second, of all workers.
        worker_ms: processor time in the worker, for the whole request.
        redis_ms: in Redis.
    """

    workers: int
    per_second: float
    worker_ms: float
    redis_ms: float


def measure_traffic(refreshes: int) -> Traffic:
    """Refresh sessions in one worker, through a proxy that counts the bytes to Descope."""

    async def measure(env: _Environment) -> Traffic:
        async with TcpProxy(int(env.upstream.url.rpartition(":")[2])) as proxy:
            with running_workers(1, env.variables(proxy.url), env.directory) as workers:
                await _refresh(
                    workers, env.upstream, len(workers) * _CONNECTIONS
                )  # connects, fetches the keys
                before, forwarded = _redis_totals(env.redis), proxy.forwarded
                await _refresh(workers, env.upstream, refreshes)
                after = _redis_totals(env.redis)
                return Traffic(
                    (after.commands - before.commands) / refreshes,
                    (after.bytes - before.bytes) / refreshes,
                    (proxy.forwarded - forwarded) / refreshes,
                )

    with _environment() as env:
        return asyncio.run(measure(env))


def measure_throughput(workers: int, refreshes: int) -> Throughput:
    """Refresh sessions in ``workers`` processes, as fast as they can."""
    with _environment() as env, running_workers(workers, env.variables(), env.directory) as running:
        asyncio.run(_refresh(running, env.upstream, workers * _CONNECTIONS))
        redis_pid = cast("int", env.redis.info("server")["process_id"])
        pids = [worker.pid for worker in running]
        before, redis_before = sum(map(cpu_seconds, pids)), cpu_seconds(redis_pid)
        seconds = asyncio.run(_refresh(running, env.upstream, refreshes))
        used, redis_used = sum(map(cpu_seconds, pids)) - before, cpu_seconds(redis_pid) - redis_before
    return Throughput(workers, refreshes / seconds, used / refreshes * 1000, redis_used / refreshes * 1000)


@dataclass(frozen=True, slots=True)
class _Environment:
    """What the workers need."""

    upstream: Upstream
    redis: RedisServer
    directory: Path

    def variables(self, base_url: str = "") -> Mapping[str, str]:
        """Return the variables of a worker."""
        return {
            "DESCOPE_PROJECT_ID": self.upstream.project_id,
            "DESCOPE_BASE_URL": base_url or self.upstream.url,
            "DESCOPE_REDIS_URL": self.redis.url,
        }


@contextmanager
def _environment() -> Generator[_Environment]:
    with TemporaryDirectory() as directory, running_upstream() as upstream:
        redis = RedisServer(Path(directory))
        try:
            yield _Environment(upstream, redis, Path(directory))
        finally:
            redis.stop()


async def _refresh(workers: Sequence[Worker], upstream: Upstream, count: int) -> float:
    """Refresh ``count`` sessions, spread over the workers, and return the seconds that it takes."""
    sessions = iter([both_cookies(pair) for pair in upstream.expired_sessions(count)])
    connections = [await Connection.open(worker) for worker in workers for _ in range(_CONNECTIONS)]
    started = time.perf_counter()
    await asyncio.gather(*(_send_all(each, sessions) for each in connections))
    seconds = time.perf_counter() - started
    for each in connections:
        each.close()
    return seconds


async def _send_all(connection: Connection, sessions: Iterator[str]) -> None:
    for cookies in sessions:
        assert (status := await connection.get(cookies)) == _OK, status


@dataclass(frozen=True, slots=True)
class _RedisTotals:
    commands: int
    bytes: int


def _redis_totals(redis: RedisServer) -> _RedisTotals:
    """Return the scripts that clients have sent so far, and the bytes in both directions."""
    stats = cast("dict[str, int]", redis.info("stats"))
    scripts = cast("dict[str, dict[str, int]]", redis.info("commandstats"))
    traffic = stats["total_net_input_bytes"] + stats["total_net_output_bytes"]
    return _RedisTotals(scripts["cmdstat_eval"]["calls"], traffic)
