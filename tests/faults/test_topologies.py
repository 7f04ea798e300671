"""F19: faults of Sentinels and clusters, and a slow Redis, in their short form."""

from collections.abc import AsyncIterator
from typing import Literal

import pytest

from .fleet import NETWORK_SETTINGS, SLOW_SETTINGS, Fleet, running_fleet
from .testbed import Scale
from .topology_scenarios import LATENCIES, TOPOLOGY_FAULTS, topology_fails, topology_is_slow

pytestmark = [pytest.mark.anyio, pytest.mark.redis, pytest.mark.nightly]

TOPOLOGIES: tuple[Literal["sentinel", "cluster"], ...] = ("sentinel", "cluster")
ALL: tuple[Literal["standalone", "sentinel", "cluster"], ...] = ("standalone", *TOPOLOGIES)


@pytest.fixture(scope="module", params=TOPOLOGIES)
async def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """Two workers with a Redis of each topology."""
    directory = tmp_path_factory.mktemp(request.param)
    async with running_fleet(directory, workers=2, redis=request.param, variables=NETWORK_SETTINGS) as fleet:
        yield fleet


@pytest.fixture(scope="module", params=ALL)
async def slow_fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """Two workers that reach each server of a topology through a proxy."""
    directory = tmp_path_factory.mktemp(f"slow_{request.param}")
    async with running_fleet(
        directory, workers=2, redis=request.param, slow=True, variables=SLOW_SETTINGS
    ) as fleet:
        yield fleet


@pytest.mark.parametrize("name", TOPOLOGY_FAULTS)
async def test_f19_rd08_faults_of_a_topology_lose_no_session(fleet: Fleet, name: str) -> None:
    """One refresh per session, no user is logged out, and none gets the identity of another."""
    report = await topology_fails(fleet, Scale.SHORT, name)
    print(report)  # noqa: T201 - the report
    assert report.violations == ()


@pytest.mark.parametrize("latency", LATENCIES)
async def test_f19_rd02_slow_redis_loses_no_session(slow_fleet: Fleet, latency: float) -> None:
    """One refresh per session, in time or too late; no user is logged out, none is another one."""
    report = await topology_is_slow(slow_fleet, Scale.SHORT, latency)
    print(report)  # noqa: T201 - the report
    assert report.violations == ()
