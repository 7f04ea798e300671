"""Faults of Sentinels and clusters, and of a slow Redis, while results are stored: fault scenario F19.

The responses that carry the new tokens get lost as well, so that only Redis and the process that refreshed
have them. The browsers return when Redis accepts writes again. There is no grace at Descope.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tests.helpers.redis_server import RedisServer
from tests.helpers.redis_topologies import SentinelServers

from .browsers import Browser
from .checker import Checker, Report
from .fleet import Fleet
from .testbed import Scale, wait_until

__all__ = ["LATENCIES", "TOPOLOGY_FAULTS", "topology_fails", "topology_is_slow"]

_OK = 200
_TABS = 2
_PROBE_SECONDS = 1.1
"""Longer than a process waits before it probes again."""


@dataclass(frozen=True, slots=True)
class TopologyFault:
    """How to inject a fault into the servers and how to end it."""

    inject: Callable[[Fleet], None]
    recover: Callable[[Fleet], None]


def _primary(fleet: Fleet) -> RedisServer:
    """Return the server with a replica, which can be replaced."""
    return fleet.servers.primary if isinstance(fleet.servers, SentinelServers) else fleet.servers.servers[0]


def _configure(*options: str) -> Callable[[Fleet], None]:
    def act(fleet: Fleet) -> None:
        for server in fleet.servers.servers:
            server.command("CONFIG", "SET", *options)

    return act


def _nothing(_: Fleet) -> None:
    """Wait for the failover."""


_suspended: list[RedisServer] = []


def _suspend(fleet: Fleet) -> None:
    _suspended.append(_primary(fleet))
    _suspended[-1].suspend()


def _resume(_: Fleet) -> None:
    while _suspended:
        _suspended.pop().resume()


TOPOLOGY_FAULTS: Mapping[str, TopologyFault] = MappingProxyType(
    {
        "full": TopologyFault(_configure("maxmemory", "1"), _configure("maxmemory", "0")),
        "read-only": TopologyFault(
            _configure("min-replicas-to-write", "9"), _configure("min-replicas-to-write", "0")
        ),
        "restarted empty": TopologyFault(lambda fleet: fleet.servers.flush(), _nothing),
        "partitioned": TopologyFault(_suspend, _resume),
        "failing over": TopologyFault(lambda fleet: _primary(fleet).stop(), _nothing),
    }
)
"""Every fault. The last one leaves no other replica."""


async def topology_fails(fleet: Fleet, scale: Scale, name: str) -> Report:
    """F19: Redis fails while Descope refreshes, and the responses get lost."""
    count = 12 if scale is Scale.SHORT else 40
    fault = TOPOLOGY_FAULTS[name]
    checker = await fleet.start_scenario("F19", f"{type(fleet.servers).__name__} is {name}, no grace")
    browsers = await fleet.expired_browsers(count)
    await fleet.testbed.upstream.fault("refresh", hold=True, times=count)
    requests = [asyncio.create_task(browser.send()) for browser in browsers]
    await fleet.testbed.upstream.wait_until_held(count)
    before = fleet.results()
    fault.inject(fleet)
    try:
        await fleet.testbed.upstream.clear()
        lost = await asyncio.gather(*requests)
        checker.expect_ok(lost, "a request failed")
        if fault.recover is _resume:
            await wait_until(_promoted(fleet))
    finally:
        fault.recover(fleet)

    await _return(fleet, checker, browsers, before, refreshed=count)
    return await checker.report(browsers)


async def _return(
    fleet: Fleet, checker: Checker, browsers: Sequence[Browser], before: set[str], *, refreshed: int
) -> None:
    """Let the browsers send their old tokens again when all results are in Redis, and check the responses.

    ``refreshed`` sessions have been refreshed since ``before``, those of the browsers and others.
    """

    async def are_all_stored() -> bool:
        return len(fleet.results() - before) >= refreshed

    await checker.expect_soon(are_all_stored, "a result never reached Redis")
    await asyncio.sleep(_PROBE_SECONDS)
    responses = await asyncio.gather(*(browser.send() for browser in browsers for _ in range(_TABS)))
    checker.expect_ok(responses, "a late request failed")
    for browser in browsers:
        browser.receive(browser.responses[-1])


LATENCIES = (0.4, 4.0)
"""Seconds by which replies are late: less, and more, than both attempts of a command may take."""


async def topology_is_slow(fleet: Fleet, scale: Scale, latency: float) -> Report:
    """F19: Redis becomes slow while Descope refreshes, and the responses get lost. Then users keep coming.

    While replies arrive in time, two tabs in any two processes cost one call. Otherwise each process works
    alone, so only one tab of each session sends a request. There is no grace.
    """
    count = 8 if scale is Scale.SHORT else 40
    is_in_time = latency == min(LATENCIES)
    tabs = _TABS if is_in_time else 1
    name = f"{type(fleet.servers).__name__} is slow by {latency} s, no grace"
    checker = await fleet.start_scenario("F19", name)
    # The first command of a process needs many round trips to a cluster, which are slow from now on.
    await fleet.connect_to_redis()
    browsers = await fleet.expired_browsers(count)
    await fleet.testbed.upstream.fault("refresh", hold=True, times=count)
    requests = [asyncio.create_task(browser.send()) for browser in browsers]
    await fleet.testbed.upstream.wait_until_held(count)
    before, requests_before = fleet.results(), sum(proxy.requests for proxy in fleet.proxies)
    for proxy in fleet.proxies:
        proxy.latency = latency
    await fleet.testbed.upstream.clear()
    lost = await asyncio.gather(*requests)
    later = await fleet.expired_browsers(count)
    during = await asyncio.gather(*(browser.get() for browser in later for _ in range(tabs)))
    checker.expect_ok(lost, "a request that began before failed")
    checker.expect_ok(during, "a request while Redis was slow failed")
    sent = sum(proxy.requests for proxy in fleet.proxies) - requests_before
    checker.expect(sent >= count, f"{sent} commands were late")
    for proxy in fleet.proxies:
        proxy.restore()

    await _return(fleet, checker, browsers, before, refreshed=2 * count)
    slowest = max(response.seconds for response in during)
    return await checker.report([*browsers, *later], measured=f"slowest request {slowest:.1f} s")


def _promoted(fleet: Fleet) -> Callable[[], Awaitable[bool]]:
    async def condition() -> bool:
        others = [server for server in fleet.servers.servers if server not in _suspended]
        replica = others[-1] if not isinstance(fleet.servers, SentinelServers) else others[0]
        return replica.is_primary()

    return condition
