"""Descope fails, lies, dawdles and changes its keys: nobody is logged out, nobody becomes somebody else.

The scenarios are short here; ``scripts/faults`` runs them at length.
"""

from collections.abc import AsyncIterator

import pytest

from .clock_scenarios import wrong_clock
from .key_scenarios import key_rotation
from .observer import Report
from .rig import Rig, Scale, Setup, running_rig
from .upstream_scenarios import (
    IMPATIENT,
    flapping,
    garbage,
    many_tabs,
    outage,
    rate_limits,
    slowness,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """One worker."""
    async with running_rig(Setup(), tmp_path_factory.mktemp("rig")) as rig:
        yield rig


@pytest.fixture(scope="module")
async def workers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """Four workers that share nothing."""
    async with running_rig(Setup(workers=4), tmp_path_factory.mktemp("workers")) as rig:
        yield rig


async def test_f1_an_outage_of_ten_minutes_logs_nobody_out(rig: Rig) -> None:
    """Live sessions are served, dead ones told "later" without a call, and all are well again after it."""
    check(await outage(rig, Scale.SHORT))


async def test_f2_a_slow_descope_is_waited_for_within_limits(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """In time is in time; later, or byte by byte, is a 503; nobody else waits for any of it."""
    async with running_rig(IMPATIENT, tmp_path_factory.mktemp("impatient")) as rig:
        check(await slowness(rig, Scale.SHORT))


async def test_f3_every_other_refresh_fails_and_nobody_notices_for_long(rig: Rig) -> None:
    """One call a session at a time, none of it a reason to clear a cookie."""
    check(await flapping(rig, Scale.SHORT))


async def test_f3_four_workers_bear_a_flapping_descope_too(workers: Rig) -> None:
    """Without anything shared, at most every worker makes the one call."""
    check(await flapping(workers, Scale.SHORT))


async def test_f4_garbage_decides_nothing(rig: Rig) -> None:
    """No identity is taken from it, no cookie cleared for it, and five seconds later all is well."""
    check(await garbage(rig, Scale.SHORT))


async def test_f5_a_rate_limit_is_a_pause_of_one_to_sixty_seconds(rig: Rig) -> None:
    """However Retry-After is spelt, and for nobody but whoever met it."""
    check(await rate_limits(rig, Scale.SHORT))


async def test_f6_a_wrong_clock_keeps_the_cookies_and_asks_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Ten minutes or an hour off: no refresh for every request, and all is well once it is right."""
    async with running_rig(Setup(clock="machine"), tmp_path_factory.mktemp("machine")) as rig:
        check(await wrong_clock(rig, Scale.SHORT))


async def test_f9_a_change_of_keys_ends_no_session(rig: Rig) -> None:
    """Overlapping, abrupt, out of reach or under an old name: whom Descope would renew stays signed in."""
    check(await key_rotation(rig, Scale.SHORT))


async def test_f13_fifty_tabs_cost_one_refresh(rig: Rig) -> None:
    """Whatever order their answers arrive in, and however many are lost, the jar ends up good."""
    check(await many_tabs(rig, Scale.SHORT))


async def test_f13_fifty_tabs_cost_each_of_four_workers_one_refresh(workers: Rig) -> None:
    """They share nothing, so Descope has to have a grace; then nobody is logged out (RF-03)."""
    check(await many_tabs(workers, Scale.SHORT))


def check(report: Report) -> None:
    """Nothing is broken, and nobody was harmed."""
    assert report.violations == ()
    assert (report.wrongly_logged_out, report.foreign_identities) == (0, 0)
    assert report.cookies_cleared == report.revoked
    assert report.upstream_calls > 0
