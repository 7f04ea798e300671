"""F19: faults of Sentinels and clusters, in their short form."""

from collections.abc import AsyncIterator
from typing import Literal

import pytest

from .fleet import NETWORK_SETTINGS, Fleet, running_fleet
from .testbed import Scale
from .topology_scenarios import TOPOLOGY_FAULTS, topology_fails

pytestmark = [pytest.mark.anyio, pytest.mark.redis, pytest.mark.nightly]

TOPOLOGIES: tuple[Literal["sentinel", "cluster"], ...] = ("sentinel", "cluster")


@pytest.fixture(scope="module", params=TOPOLOGIES)
async def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """Two workers with a Redis of each topology."""
    directory = tmp_path_factory.mktemp(request.param)
    async with running_fleet(directory, workers=2, redis=request.param, variables=NETWORK_SETTINGS) as fleet:
        yield fleet


@pytest.mark.parametrize("name", TOPOLOGY_FAULTS)
async def test_f19_rd08_faults_of_a_topology_lose_no_session(fleet: Fleet, name: str) -> None:
    """One refresh per session, no user is logged out, and none gets the identity of another."""
    report = await topology_fails(fleet, Scale.SHORT, name)
    print(report)  # noqa: T201 - the report
    assert report.violations == ()
