"""Fault scenarios of many processes with one Redis, small; scripts/faults runs them large."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults import fleet_scenarios

from .crash_scenarios import crash
from .fleet import LEAVING, PATIENT, Fleet, running_fleet
from .kill_points import Step
from .observer import Report
from .redis_scenarios import REDIS_FAULTS, REDIS_LOSSES, redis_fails, redis_loses
from .rig import Scale

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture(scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Four workers that take nothing for an outage."""
    async with running_fleet(tmp_path_factory.mktemp("patient"), workers=4, variables=PATIENT) as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def leaving(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two workers whose leases are short, and that give requests a second at their end."""
    async with running_fleet(tmp_path_factory.mktemp("leaving"), workers=2, variables=LEAVING) as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def fragile(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two workers with a quarter of a second of patience with Redis, as in production."""
    directory = tmp_path_factory.mktemp("fragile")
    async with running_fleet(directory, workers=2, redis="behind proxy") as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two workers that know of no Redis."""
    async with running_fleet(tmp_path_factory.mktemp("alone"), workers=2, redis="none") as fleet:
        yield fleet


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Fleet:
    """The fleet that a parameter names."""
    found: Fleet = request.getfixturevalue(request.param)
    return found


def check(report: Report) -> None:
    """Nothing was violated; the line is shown by ``pytest -s``."""
    print(report)  # noqa: T201 - the figures
    assert report.violations == ()


async def test_rf03_a_thousand_requests_on_four_workers_cost_one_call(patient: Fleet) -> None:
    """All of them are let in, with the same new cookies."""
    check(await fleet_scenarios.crowd(patient, Scale.SHORT))


async def test_rf03_a_call_longer_than_the_lease_is_the_only_one(leaving: Fleet) -> None:
    """The lease is renewed while the call runs."""
    check(await fleet_scenarios.call_longer_than_the_lease(leaving, Scale.SHORT))


async def test_f11_clients_that_hang_up_lose_nothing(patient: Fleet) -> None:
    """Whatever became of their requests, they are let in when they come back, and cost one call each."""
    check(await fleet_scenarios.hang_ups(patient, Scale.SHORT))


async def test_f15_a_deploy_answers_who_is_waiting(leaving: Fleet) -> None:
    """A hundred refreshes are in flight when SIGTERM comes."""
    check(await fleet_scenarios.deploy(leaving, Scale.SHORT))


async def test_f15_a_deploy_loses_no_refresh_whose_client_was_cut_off(leaving: Fleet) -> None:
    """The new process finds a hundred results in Redis, and calls nobody."""
    check(await fleet_scenarios.impatient_deploy(leaving, Scale.SHORT))


@pytest.mark.parametrize("name", REDIS_FAULTS)
async def test_f7_nobody_notices_what_redis_does(fragile: Fleet, name: str) -> None:
    """All are let in, at two calls for two windows at most, and without a delay; then it heals."""
    check(await redis_fails(fragile, Scale.SHORT, name))


@pytest.mark.parametrize("name", REDIS_LOSSES)
async def test_f7_what_redis_loses_under_a_response_is_carried_all_the_same(
    patient: Fleet, name: str
) -> None:
    """Whichever process refreshed: one call each, the new cookies for both windows, and without a grace."""
    check(await redis_loses(patient, Scale.SHORT, name))


@pytest.mark.parametrize("fleet", ["patient", "alone"], indirect=True)
async def test_f8_killed_before_the_call(fleet: Fleet) -> None:
    """Nothing has happened yet."""
    check(await crash(fleet, Scale.SHORT, "leased", calls=1))


@pytest.mark.parametrize("fleet", ["patient", "alone"], indirect=True)
async def test_f8_killed_before_descope_heard(fleet: Fleet) -> None:
    """The call was sent, and Descope did nothing about it."""
    check(await crash(fleet, Scale.SHORT, "sent", unheard=True, calls=2))


@pytest.mark.parametrize("step", ["sent", "answered"])
@pytest.mark.parametrize("fleet", ["patient", "alone"], indirect=True)
async def test_f8_killed_before_redis_knew(fleet: Fleet, step: Step) -> None:
    """The only copy of the new pair is gone, and the old token is spent: the person signs in again."""
    check(await crash(fleet, Scale.SHORT, step, calls=2, lost=True))


@pytest.mark.parametrize("step", ["sent", "answered"])
@pytest.mark.parametrize("fleet", ["patient", "alone"], indirect=True)
async def test_f8_killed_before_redis_knew_with_grace(fleet: Fleet, step: Step) -> None:
    """Descope takes the old token for ten seconds more: the session goes on."""
    check(await crash(fleet, Scale.SHORT, step, calls=2, reuse_grace=10))


@pytest.mark.parametrize("step", ["remembered", "delivered"])
async def test_f8_killed_before_the_response(patient: Fleet, step: Step) -> None:
    """Another worker has the new pair from Redis."""
    check(await crash(patient, Scale.SHORT, step, calls=1))


async def test_f8_killed_before_the_response_without_redis(alone: Fleet) -> None:
    """What the process remembered died with it."""
    check(await crash(alone, Scale.SHORT, "delivered", calls=2, lost=True))


async def test_f8_killed_before_the_response_without_redis_with_grace(alone: Fleet) -> None:
    """Descope takes the old token for ten seconds more: the session goes on."""
    check(await crash(alone, Scale.SHORT, "delivered", calls=2, reuse_grace=10))


async def test_f8_killed_without_rotation(alone: Fleet) -> None:
    """The old token is good all the time."""
    check(await crash(alone, Scale.SHORT, "answered", rotates=False, calls=2))


def test_the_page_about_crashes_names_tests_that_exist() -> None:
    """Every test in docs/crashes.md is in this file, and every test of a crash is in it."""
    page = (Path(__file__).parents[2] / "docs" / "crashes.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    rows = [line for line in page.splitlines() if line.startswith("|") and "---" not in line][1:]

    assert [name for name in named if name not in globals()] == []
    assert {name for name in globals() if name.startswith("test_f8_")} <= named
    assert [row for row in rows if "`test_f8_" not in row] == []
