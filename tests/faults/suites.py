"""All scenarios, grouped into suites that share a testbed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

from .checker import Report
from .clock_scenarios import wrong_clock
from .crash_scenarios import crash
from .fleet import (
    DEPLOY_SETTINGS,
    LONG_TIMEOUTS,
    NETWORK_SETTINGS,
    SLOW_SETTINGS,
    Fleet,
    running_fleet,
)
from .fleet_scenarios import (
    client_disconnects,
    concurrent_requests,
    deploy,
    deploy_with_disconnects,
    long_call,
    lost_responses,
)
from .interleaving_scenarios import interleavings
from .key_scenarios import key_rotation
from .login_scenarios import lost_callbacks, reloaded_callbacks
from .redis_proxy import Lost
from .redis_scenarios import REDIS_FAULTS, REDIS_LOSSES, dead_connections, redis_fails, redis_loses
from .testbed import Scale, Testbed, TestbedConfig, running_testbed
from .topology_scenarios import LATENCIES, TOPOLOGY_FAULTS, topology_fails, topology_is_slow
from .upstream_scenarios import (
    SHORT_TIMEOUT,
    flapping,
    invalid_responses,
    many_tabs,
    outage,
    rate_limits,
    slow_responses,
)

__all__ = ["Suite", "suites"]

Env = TypeVar("Env")


@dataclass(frozen=True, slots=True)
class Suite(Generic[Env]):
    """Scenarios that run one after the other on one testbed. ``start`` starts it in a directory."""

    start: Callable[[Path], AbstractAsyncContextManager[Env]]
    scenarios: Sequence[Callable[[Env, Scale], Awaitable[Report]]]

    async def reports(self, scale: Scale) -> AsyncIterator[Report]:
        """Start the testbed, run the scenarios and yield their reports."""
        with TemporaryDirectory() as directory:
            async with self.start(Path(directory)) as env:
                for scenario in self.scenarios:
                    yield await scenario(env, scale)


def suites(scale: Scale) -> Sequence[Suite[Testbed] | Suite[Fleet] | Suite[None]]:
    """Return all suites, similar ones next to each other."""
    timeout = TestbedConfig() if scale is Scale.LONG else SHORT_TIMEOUT
    return [*_testbeds(timeout), *_fleets(), Suite(lambda _: nullcontext(), [interleavings])]


def _testbeds(timeout: TestbedConfig) -> list[Suite[Testbed]]:
    return [
        _testbed(TestbedConfig(), outage, flapping, invalid_responses, rate_limits, key_rotation, many_tabs),
        _testbed(timeout, slow_responses),
        _testbed(TestbedConfig(workers=4), flapping, many_tabs),
        _testbed(TestbedConfig(clock="machine"), wrong_clock),
    ]


def _fleets() -> list[Suite[Fleet]]:
    redis = [partial(redis_fails, name=name) for name in REDIS_FAULTS]
    topologies = [partial(topology_fails, name=name) for name in TOPOLOGY_FAULTS]
    slow = [partial(topology_is_slow, latency=latency) for latency in LATENCIES]
    start_slow = partial(running_fleet, workers=2, slow=True, variables=SLOW_SETTINGS)
    connections = [partial(dead_connections, lost=lost) for lost in Lost]
    losses = [partial(redis_loses, name=name) for name in REDIS_LOSSES]
    stored = [partial(crash, step=step, calls=1) for step in ("leased", "stored")]
    graced = [partial(crash, step=step, calls=2, reuse_grace=10) for step in ("sent", "received")]
    without_redis = partial(crash, step="stored", calls=2, reuse_grace=10)
    return [
        _fleet(
            partial(running_fleet, workers=4, variables=LONG_TIMEOUTS),
            concurrent_requests,
            client_disconnects,
            *losses,
            *stored,
            *graced,
            deploy,
        ),
        _fleet(
            partial(running_fleet, workers=2, variables=DEPLOY_SETTINGS),
            long_call,
            deploy_with_disconnects,
        ),
        _fleet(partial(running_fleet, workers=4), concurrent_requests),
        _fleet(partial(running_fleet, workers=2, redis="proxy"), *redis),
        _fleet(
            partial(running_fleet, workers=2, redis="proxy", variables=NETWORK_SETTINGS),
            *connections,
            lost_responses,
            lost_callbacks,
            reloaded_callbacks,
        ),
        _fleet(partial(running_fleet, workers=2, redis="none"), without_redis),
        _fleet(partial(running_fleet, workers=2, redis="sentinel", variables=NETWORK_SETTINGS), *topologies),
        _fleet(partial(running_fleet, workers=2, redis="cluster", variables=NETWORK_SETTINGS), *topologies),
        _fleet(partial(start_slow, redis="standalone"), *slow),
        _fleet(partial(start_slow, redis="sentinel"), *slow),
        _fleet(partial(start_slow, redis="cluster"), *slow),
    ]


def _testbed(
    config: TestbedConfig, *scenarios: Callable[[Testbed, Scale], Awaitable[Report]]
) -> Suite[Testbed]:
    return Suite(partial(running_testbed, config), scenarios)


def _fleet(
    start: Callable[[Path], AbstractAsyncContextManager[Fleet]],
    *scenarios: Callable[[Fleet, Scale], Awaitable[Report]],
) -> Suite[Fleet]:
    return Suite(start, scenarios)
