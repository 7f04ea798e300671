"""Samples of processes and of Redis, and whether a series of them is flat."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Self, cast

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from .fleet import Fleet, Worker

__all__ = ["Growth", "Limit", "ProcessSample", "RedisSample", "Sampler", "growth"]

_COUNT_LASTING = """
local lasting = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', key) == -1 then lasting = lasting + 1 end
end
return lasting
"""
_REDIS_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """The state of one worker.

    Attributes:
        pid: the process, which changes when the worker is killed.
        resident: resident memory in KiB.
        blocks: blocks of Python's allocator in use, without garbage.
        files: open file descriptors.
        tasks: asyncio tasks.
    """

    pid: int
    resident: int
    blocks: int
    files: int
    tasks: int


@dataclass(frozen=True, slots=True)
class RedisSample:
    """The state of Redis: keys, keys without a TTL, and its memory in KiB."""

    keys: int
    lasting: int
    kib: int


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a value may grow: a share of its median, or ``least`` if that is more."""

    share: float
    least: float

    def of(self, values: Sequence[float]) -> float:
        """Return the limit for these values."""
        return max(self.share * median(values), self.least)


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth of a series in the second half of its time.

    Attributes:
        typical: the median of the second half.
        grown: the slope of the second half, times its duration.
        limit: what it may have grown.
    """

    typical: float
    grown: float
    limit: float

    @property
    def is_flat(self) -> bool:
        """Whether the growth is within its limit."""
        return self.grown <= self.limit


def growth(points: Sequence[tuple[float, float]], limit: Limit) -> Growth:
    """Return the growth of a series of times and values.

    The slope is the median slope of all pairs (Theil and Sen), which single peaks do not change.
    """
    half = (points[0][0] + points[-1][0]) / 2
    later = [point for point in points if point[0] >= half]
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(later, 2) if t > s]
    values = [value for _, value in later]
    duration = later[-1][0] - later[0][0]
    return Growth(median(values), median(slopes) * duration if slopes else 0.0, limit.of(values))


class Sampler:
    """Takes samples of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._http = httpx.AsyncClient(trust_env=False, timeout=10)
        self._redis = Redis(
            port=fleet.redis.port, socket_timeout=_REDIS_TIMEOUT, socket_connect_timeout=_REDIS_TIMEOUT
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        await self._redis.aclose()

    async def process(self, worker: Worker) -> ProcessSample | None:
        """Return the state of a worker; None while it is down."""
        try:
            stats: dict[str, int] = (await self._http.get(f"{worker.url}/stats")).json()
        except httpx.TransportError:
            return None
        return ProcessSample(
            **stats,
            resident=_resident_kib(stats["pid"]),
            files=len(os.listdir(f"/proc/{stats['pid']}/fd")),  # noqa: PTH208 - the files may be closed already
        )

    async def redis(self) -> RedisSample | None:
        """Return the state of Redis; None while it does not reply."""
        client = cast("Any", self._redis)
        try:
            keys, lasting = await client.dbsize(), await client.eval(_COUNT_LASTING, 0)
            info: dict[str, int] = await client.info("memory")
        except (RedisError, OSError):
            return None
        return RedisSample(keys, lasting, info["used_memory"] // 1024)


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
