"""The faults of the soak and their order, which depends on a seed only."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from types import MappingProxyType
from typing import Unpack

from tests.faults.upstream import FaultOptions

from .fleet import Fleet

__all__ = ["FAULTS", "FaultInjector"]

_CALLS = ("authorize", "exchange", "refresh", "select", "logout")
_TIMES = 1000
"""More calls than one fault lasts."""
_CALM_SECONDS = 5.0
"""Longer than a process takes to read the revocation log again."""

_ROTATION = "keys rotated"
"""The first fault of each round, so that a round lies between two rotations."""

Fault = Callable[[Fleet], Awaitable[Callable[[], Awaitable[object]]]]
"""Injects a fault and returns what ends it."""


async def _restart_redis(fleet: Fleet) -> Callable[[], Awaitable[object]]:
    """Restart Redis without its data."""
    fleet.redis.stop()
    await asyncio.to_thread(fleet.redis.start)
    return _nothing


async def _pause_redis(fleet: Fleet) -> Callable[[], Awaitable[object]]:
    fleet.redis.suspend()
    return _by(fleet.redis.resume)


async def _fill_redis(fleet: Fleet) -> Callable[[], Awaitable[object]]:
    fleet.redis.command("CONFIG", "SET", "maxmemory", "1")
    return _by(lambda: fleet.redis.command("CONFIG", "SET", "maxmemory", "0"))


def _fail_calls(**options: Unpack[FaultOptions]) -> Fault:
    async def inject(fleet: Fleet) -> Callable[[], Awaitable[object]]:
        for endpoint in _CALLS:
            await fleet.upstream.fault(endpoint, **options)
        return fleet.upstream.clear

    return inject


async def _cut_upstream(fleet: Fleet) -> Callable[[], Awaitable[object]]:
    await fleet.upstream.proxy.cut()
    return fleet.upstream.proxy.restore


async def _rotate_keys(fleet: Fleet) -> Callable[[], Awaitable[object]]:
    """Drop the keys before the newest, with which no live token is signed: they were replaced a round ago."""
    await fleet.upstream.drop_old_keys()
    await fleet.upstream.rotate_keys(keep_old=True)
    return _nothing


def _kill_worker(number: int) -> Fault:
    async def inject(fleet: Fleet) -> Callable[[], Awaitable[object]]:
        await fleet.workers[number].kill()
        return fleet.workers[number].start

    return inject


async def _nothing() -> None:
    """The fault has ended by itself."""


def _by(command: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def act() -> None:
        command()

    return act


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "Redis restarted empty": _restart_redis,
        "Redis paused": _pause_redis,
        "Redis full": _fill_redis,
        "Descope sends 500": _fail_calls(times=_TIMES, status=500),
        "Descope sends 429": _fail_calls(times=_TIMES, status=429, retry_after=1),
        "Descope is slow": _fail_calls(times=_TIMES, delay=1.0, when="after"),
        "Descope is too slow": _fail_calls(times=_TIMES, delay=3.0, when="after"),
        "Descope is cut off": _cut_upstream,
        _ROTATION: _rotate_keys,
        "worker 1 killed": _kill_worker(0),
        "worker 2 killed": _kill_worker(1),
    }
)
"""Every fault. Workers 3 and 4 are never killed, so that their memory can be compared with that before."""


class FaultInjector:
    """Injects one fault after the other, each once in every round, in an order that the seed determines.

    Attributes:
        active: the fault that lasts, or "".
        injected: how often each fault was injected.
    """

    def __init__(self, fleet: Fleet, *, seed: int, fault_seconds: float, rest_seconds: float) -> None:
        self._fleet = fleet
        self._random = Random(seed)
        self._fault_seconds = fault_seconds
        self._rest_seconds = rest_seconds
        self._ended_at = 0.0
        self.active = ""
        self.injected: Counter[str] = Counter()

    @property
    def is_calm(self) -> bool:
        """Whether no fault lasts, and the effects of the last one are over."""
        return not self.active and _now() - self._ended_at > _CALM_SECONDS

    async def run(self) -> None:
        """Inject faults until the task is cancelled, which ends a fault that lasts."""
        for name in self._names():
            await asyncio.sleep(self._rest_seconds * self._random.uniform(0.5, 1.5))
            async with self._injected(name):
                await asyncio.sleep(self._fault_seconds * self._random.uniform(0.5, 1.5))

    def _names(self) -> Iterator[str]:
        others = sorted(FAULTS.keys() - {_ROTATION})
        while True:
            yield _ROTATION
            yield from self._random.sample(others, len(others))

    @asynccontextmanager
    async def _injected(self, name: str) -> AsyncGenerator[None]:
        self.active = name
        self.injected[name] += 1
        end = await FAULTS[name](self._fleet)
        try:
            yield
        finally:
            await end()
            self.active, self._ended_at = "", _now()


def _now() -> float:
    return asyncio.get_running_loop().time()
