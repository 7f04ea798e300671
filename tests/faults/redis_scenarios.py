"""Faults of Redis and of the connections to it: fault scenarios F7 and F16.

Without Redis each process works alone. If two of them refresh one session concurrently, that costs two calls,
and the session continues only if Descope has a reuse grace (RF-03). Data that Redis loses while responses are
in flight needs no grace (RF-04).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType

from .browsers import Browser, Response
from .checker import Checker, Report
from .fleet import Fleet
from .redis_proxy import GARBAGE, Lost
from .testbed import Scale, wait_until

__all__ = ["REDIS_FAULTS", "REDIS_LOSSES", "dead_connections", "redis_fails", "redis_loses"]

_OK = 200
_TABS = 2
_TIMEOUT_SECONDS = 0.25
"""The cost of a Redis that does not reply, once per process (RD-02)."""
_GRACE_SECONDS = 10
_QUIET_SECONDS = 6.0
"""Longer than the workers use an idle connection."""


@dataclass(frozen=True, slots=True)
class RedisFault:
    """How to inject a fault and how to end it. ``lasts``: Redis is unusable until then."""

    inject: Callable[[Fleet], Awaitable[None]]
    recover: Callable[[Fleet], Awaitable[None]]
    lasts: bool = True
    at_start: bool = False


def _by(command: Callable[[Fleet], object]) -> Callable[[Fleet], Awaitable[None]]:
    async def act(fleet: Fleet) -> None:
        command(fleet)

    return act


def _set_latency(fleet: Fleet) -> None:
    fleet.redis_proxy.latency = 1.0


def _reply_garbage(fleet: Fleet) -> None:
    fleet.redis_proxy.reply = GARBAGE


def _change_types(fleet: Fleet) -> None:
    """Replace every value by a list with a TTL."""
    for key in fleet.redis.keys():  # noqa: SIM118 - no dict
        fleet.redis.command("DEL", key)
        fleet.redis.command("RPUSH", key, "not", "ours")
        fleet.redis.command("PEXPIRE", key, 60_000)


async def _restart_without(fleet: Fleet) -> None:
    """Restart the app while Redis is down."""
    fleet.redis.stop()
    await fleet.testbed.app.stop()
    await fleet.testbed.app.start()


_restore_proxy = _by(lambda fleet: fleet.redis_proxy.restore())
_start = _by(lambda fleet: fleet.redis.start())
_nothing = _by(lambda fleet: None)

REDIS_FAULTS: Mapping[str, RedisFault] = MappingProxyType(
    {
        "down at start": RedisFault(_restart_without, _start, at_start=True),
        "killed": RedisFault(_by(lambda fleet: fleet.redis.stop()), _start),
        "stopped": RedisFault(
            _by(lambda fleet: fleet.redis.suspend()), _by(lambda fleet: fleet.redis.resume())
        ),
        "slow by 1 s": RedisFault(_by(_set_latency), _restore_proxy),
        "silent": RedisFault(_by(lambda fleet: fleet.redis_proxy.stall()), _restore_proxy),
        "disconnected": RedisFault(_by(lambda fleet: fleet.redis_proxy.cut()), _restore_proxy),
        "an HTTP server": RedisFault(_by(_reply_garbage), _restore_proxy),
        "a replica": RedisFault(
            _by(lambda fleet: fleet.redis.command("REPLICAOF", "127.0.0.1", 1)),
            _by(lambda fleet: fleet.redis.command("REPLICAOF", "NO", "ONE")),
        ),
        "evicting": RedisFault(_by(lambda fleet: fleet.redis.evict_everything()), _nothing, lasts=False),
        "flushed": RedisFault(_by(lambda fleet: fleet.redis.command("FLUSHALL")), _nothing, lasts=False),
        "full of lists": RedisFault(_by(_change_types), _nothing, lasts=False),
    }
)
"""Every fault, by the state of Redis."""

REDIS_LOSSES = tuple(name for name, fault in REDIS_FAULTS.items() if not fault.lasts)
"""The faults after which Redis works, without its data."""


async def redis_fails(fleet: Fleet, scale: Scale, name: str) -> Report:
    """F7: Redis fails during calls, then further requests arrive, then Redis recovers."""
    # No more than the connections of one worker to Descope.
    count, later_count = (4, 8) if scale is Scale.SHORT else (20, 300)
    fault = REDIS_FAULTS[name]
    checker = await fleet.start_scenario("F7", f"Redis is {name}", reuse_grace=_GRACE_SECONDS)
    async with _recovered_after(fault, fleet):
        if fault.at_start:
            await fault.inject(fleet)
        browsers = await _inject_during_calls(fleet, count, _nothing if fault.at_start else fault.inject)
        during: list[Response] = []
        if fault.lasts:
            browsers += (later := await fleet.expired_browsers(later_count))
            during = [await browser.get() for browser in later]
    checker.expect_ok([a for b in browsers for a in b.responses], "a request failed")
    measured = _expect_no_delay(checker, during)
    browsers += await _recover(fleet)
    return await checker.report(browsers, calls_per_family=_TABS, measured=measured)


async def redis_loses(fleet: Fleet, scale: Scale, name: str) -> Report:
    """F7: Redis loses all results while handlers run, before any browser has new cookies. No grace."""
    count = 8 if scale is Scale.SHORT else 100
    checker = await fleet.start_scenario("F7", f"Redis is {name} while handlers run, no grace")
    browsers = await fleet.expired_browsers(count)

    async def all_are_held() -> bool:
        stats = await fleet.testbed.app.stats()
        return sum(each.held for each in stats.values()) == count * _TABS

    with fleet.testbed.holding():
        requests = [asyncio.create_task(browser.get("/held")) for browser in browsers for _ in range(_TABS)]
        await wait_until(all_are_held)
        await REDIS_FAULTS[name].inject(fleet)
    responses = await asyncio.gather(*requests)
    checker.expect_ok(responses, "a request failed")
    checker.expect(
        all(response.written.get("DSR") for response in responses), "a response has no new cookies"
    )
    return await checker.report(browsers)


async def dead_connections(fleet: Fleet, scale: Scale, lost: Lost) -> Report:
    """F16: all connections to a healthy Redis are dead after a quiet time, and again during the calls.

    Two tabs of each session send a request at once. There is no grace.
    """
    # No more than the connections of one worker to Descope.
    count = 8 if scale is Scale.SHORT else 20
    checker = await fleet.start_scenario("F16", f"connections to Redis are {lost.name.lower()}, no grace")
    browsers = await _connect_all_workers(fleet)
    if scale is Scale.LONG:
        await asyncio.sleep(_QUIET_SECONDS)
        # On a busy machine, the proxy in this process would forward their close too late.
        await fleet.testbed.upstream.close_idle_connections()
    fleet.redis_proxy.lose_connections(lost)
    browsers += await _inject_during_calls(
        fleet, count, _by(lambda fleet: fleet.redis_proxy.lose_connections(lost))
    )
    checker.expect_ok([a for b in browsers for a in b.responses], "a request failed")
    return await checker.report(browsers)


async def _connect_all_workers(fleet: Fleet) -> list[Browser]:
    """Make every worker refresh sessions, so that it has connections to Redis."""
    before = await fleet.testbed.app.stats()
    browsers: list[Browser] = []

    async def have_all_refreshed() -> bool:
        await fleet.testbed.client.aclose()  # new connections may reach another worker
        expired = await fleet.expired_browsers(10)
        await asyncio.gather(*(browser.get() for browser in expired))
        browsers.extend(expired)
        after = await fleet.testbed.app.stats()
        return all(after[pid].received > stats.received for pid, stats in before.items())

    await wait_until(have_all_refreshed)
    return browsers


@asynccontextmanager
async def _recovered_after(fault: RedisFault, fleet: Fleet) -> AsyncGenerator[None]:
    """End the fault after the block, for the scenarios that follow."""
    try:
        yield
    finally:
        await fault.recover(fleet)


async def _inject_during_calls(
    fleet: Fleet, count: int, inject: Callable[[Fleet], Awaitable[None]]
) -> list[Browser]:
    """Create browsers with two requests each; inject the fault while Descope holds their calls."""
    browsers = await fleet.expired_browsers(count)
    await fleet.testbed.upstream.fault("refresh", hold=True, times=count)
    requests = [asyncio.create_task(browser.get()) for browser in browsers for _ in range(_TABS)]
    await fleet.testbed.upstream.wait_until_held(count)
    await inject(fleet)
    await fleet.testbed.upstream.clear()
    await asyncio.gather(*requests)
    return browsers


def _expect_no_delay(checker: Checker, during: list[Response]) -> str:
    """Requests during the fault are not delayed, except the first of each process."""
    if not during:
        return ""
    seconds = sorted(response.seconds for response in during)
    # With a timeout per request, each would wait twice. The median is stable on a busy machine.
    checker.expect(median(seconds) < _TIMEOUT_SECONDS, f"a median of {median(seconds):.3f} s")
    late = sum(each >= _TIMEOUT_SECONDS for each in seconds)
    return f"median {1000 * median(seconds):.0f} ms, {late} of {len(seconds)} over 250 ms"


async def _recover(fleet: Fleet) -> list[Browser]:
    """Wait until all processes share leases again: two requests of one session cost one call."""
    browsers: list[Browser] = []
    await fleet.testbed.recover()

    async def is_one_fleet() -> bool:
        before = await fleet.testbed.upstream.counts()
        expired = await fleet.expired_browsers(4)
        browsers.extend(expired)
        await fleet.testbed.upstream.fault("refresh", delay=0.1, times=len(expired))
        await asyncio.gather(*(browser.get() for browser in expired for _ in range(_TABS)))
        after = await fleet.testbed.upstream.counts()
        return after.refreshes - before.refreshes == len(expired)

    await wait_until(is_one_fleet)
    return browsers
