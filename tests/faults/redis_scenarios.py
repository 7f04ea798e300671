"""What Redis may do to a fleet: fault scenario F7, one fault after the other.

Without Redis every process goes on alone: one session that two of them refresh at once costs two calls,
and that nobody is logged out by it takes the grace that Descope has for a replaced token (RF-03). What Redis
loses while responses are under way with it takes none (RF-04).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType

from .browsers import Answer, Browser
from .fleet import Fleet
from .observer import Observer, Report
from .redis_proxy import GARBAGE
from .rig import Scale, until

__all__ = ["REDIS_FAULTS", "REDIS_LOSSES", "redis_fails", "redis_loses"]

_OK = 200
_TABS = 2
_TIMEOUT_SECONDS = 0.25
"""What a Redis that does not answer costs, once for each process (RD-02)."""
_GRACE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class RedisFault:
    """How to ill-treat Redis and how to end it. ``lasts``: it is of no use until then."""

    throw: Callable[[Fleet], Awaitable[None]]
    mend: Callable[[Fleet], Awaitable[None]]
    lasts: bool = True
    at_start: bool = False


def _by(command: Callable[[Fleet], object]) -> Callable[[Fleet], Awaitable[None]]:
    async def act(fleet: Fleet) -> None:
        command(fleet)

    return act


def _set_latency(fleet: Fleet) -> None:
    fleet.proxy.latency = 1.0


def _talk_nonsense(fleet: Fleet) -> None:
    fleet.proxy.answer = GARBAGE


def _change_types(fleet: Fleet) -> None:
    """Put lists in the place of everything; they end as everything does."""
    for key in fleet.redis.keys():  # noqa: SIM118 - no dict
        fleet.redis.command("DEL", key)
        fleet.redis.command("RPUSH", key, "not", "ours")
        fleet.redis.command("PEXPIRE", key, 60_000)


async def _restart_without(fleet: Fleet) -> None:
    """Have the app start while Redis is down."""
    fleet.redis.stop()
    await fleet.rig.app.stop()
    await fleet.rig.app.start()


_heal_line = _by(lambda fleet: fleet.proxy.heal())
_start = _by(lambda fleet: fleet.redis.start())
_nothing = _by(lambda fleet: None)

REDIS_FAULTS: Mapping[str, RedisFault] = MappingProxyType(
    {
        "down at start": RedisFault(_restart_without, _start, at_start=True),
        "killed": RedisFault(_by(lambda fleet: fleet.redis.stop()), _start),
        "stopped": RedisFault(
            _by(lambda fleet: fleet.redis.suspend()), _by(lambda fleet: fleet.redis.resume())
        ),
        "1 s late": RedisFault(_by(_set_latency), _heal_line),
        "silent": RedisFault(_by(lambda fleet: fleet.proxy.stall()), _heal_line),
        "cut off": RedisFault(_by(lambda fleet: fleet.proxy.cut()), _heal_line),
        "somebody else": RedisFault(_by(_talk_nonsense), _heal_line),
        "a replica": RedisFault(
            _by(lambda fleet: fleet.redis.command("REPLICAOF", "127.0.0.1", 1)),
            _by(lambda fleet: fleet.redis.command("REPLICAOF", "NO", "ONE")),
        ),
        "evicting": RedisFault(_by(lambda fleet: fleet.redis.evict_everything()), _nothing, lasts=False),
        "flushed": RedisFault(_by(lambda fleet: fleet.redis.command("FLUSHALL")), _nothing, lasts=False),
        "full of lists": RedisFault(_by(_change_types), _nothing, lasts=False),
    }
)
"""Every fault, by what Redis is then."""

REDIS_LOSSES = tuple(name for name, fault in REDIS_FAULTS.items() if not fault.lasts)
"""Those after which it is well, and knows nothing."""


async def redis_fails(fleet: Fleet, scale: Scale, name: str) -> Report:
    """F7: Redis fails while calls are under way; then people go on coming; then it is well again."""
    # No more than one worker can have calls to Descope under way at the same time.
    people, late = (4, 8) if scale is Scale.SHORT else (20, 300)
    fault = REDIS_FAULTS[name]
    observer = await fleet.watched("F7", f"Redis is {name}", reuse_grace=_GRACE_SECONDS)
    async with _mended_by(fault, fleet):
        if fault.at_start:
            await fault.throw(fleet)
        browsers = await _in_the_middle(fleet, people, _nothing if fault.at_start else fault.throw)
        during: list[Answer] = []
        if fault.lasts:
            browsers += (later := await fleet.returning(late))
            during = [await browser.get() for browser in later]
    observer.expect(all(a.status == _OK for b in browsers for a in b.answers), "somebody was not let in")
    measured = _expect_no_delay(observer, during)
    browsers += await _heal(fleet)
    return await observer.report(browsers, calls_per_family=_TABS, measured=measured)


async def redis_loses(fleet: Fleet, scale: Scale, name: str) -> Report:
    """F7: Redis loses all results while handlers run, and no browser has its new cookies yet. No grace."""
    people = 8 if scale is Scale.SHORT else 100
    observer = await fleet.watched("F7", f"Redis is {name} while handlers run, no grace")
    browsers = await fleet.returning(people)

    async def all_are_held() -> bool:
        vitals = await fleet.rig.app.vitals()
        return sum(each.held for each in vitals.values()) == people * _TABS

    with fleet.rig.holding():
        asking = [asyncio.create_task(browser.get("/held")) for browser in browsers for _ in range(_TABS)]
        await until(all_are_held)
        await REDIS_FAULTS[name].throw(fleet)
    answers = await asyncio.gather(*asking)
    observer.expect(all(answer.status == _OK for answer in answers), "somebody was not let in")
    observer.expect(all(answer.written.get("DSR") for answer in answers), "somebody got no new cookies")
    return await observer.report(browsers)


@asynccontextmanager
async def _mended_by(fault: RedisFault, fleet: Fleet) -> AsyncGenerator[None]:
    """Ends the fault with the block, or the rig would be of no use to those that follow."""
    try:
        yield
    finally:
        await fault.mend(fleet)


async def _in_the_middle(
    fleet: Fleet, people: int, throw: Callable[[Fleet], Awaitable[None]]
) -> list[Browser]:
    """People with two windows each; the fault comes when Descope has their calls, and their leases stand."""
    browsers = await fleet.returning(people)
    await fleet.rig.upstream.fault("refresh", hold=True, times=people)
    asking = [asyncio.create_task(browser.get()) for browser in browsers for _ in range(_TABS)]
    await fleet.rig.upstream.arrived(people)
    await throw(fleet)
    await fleet.rig.upstream.clear()
    await asyncio.gather(*asking)
    return browsers


def _expect_no_delay(observer: Observer, during: list[Answer]) -> str:
    """Who comes during the fault does not pay for it, but for the first of each process."""
    if not during:
        return ""
    seconds = sorted(answer.seconds for answer in during)
    # Were Redis asked each time, each would wait for it twice. The median does not mind a busy machine.
    observer.expect(median(seconds) < _TIMEOUT_SECONDS, f"a median of {median(seconds):.3f} s")
    late = sum(each >= _TIMEOUT_SECONDS for each in seconds)
    return f"median {1000 * median(seconds):.0f} ms, {late} of {len(seconds)} over 250 ms"


async def _heal(fleet: Fleet) -> list[Browser]:
    """Wait until all processes work together again: nobody's two windows cost two calls any more."""
    browsers: list[Browser] = []
    await fleet.rig.heal()

    async def is_one_fleet() -> bool:
        before = await fleet.rig.upstream.counts()
        people = await fleet.returning(4)
        browsers.extend(people)
        await fleet.rig.upstream.fault("refresh", delay=0.1, times=len(people))
        await asyncio.gather(*(browser.get() for browser in people for _ in range(_TABS)))
        after = await fleet.rig.upstream.counts()
        return after.refreshes - before.refreshes == len(people)

    await until(is_one_fleet)
    return browsers
