"""Descope fails, is slow, sends invalid responses or rotates keys: no session ends, no identity is mixed up.

These are the short forms of the scenarios; ``scripts/faults`` runs the long ones.
"""

from collections.abc import AsyncIterator

import pytest

from .checker import Report
from .clock_scenarios import wrong_clock
from .key_scenarios import key_rotation
from .testbed import Scale, Testbed, TestbedConfig, running_testbed
from .upstream_scenarios import (
    SHORT_TIMEOUT,
    flapping,
    invalid_responses,
    many_tabs,
    outage,
    rate_limits,
    slow_responses,
)

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(scope="module")
async def testbed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Testbed]:
    """One worker."""
    async with running_testbed(TestbedConfig(), tmp_path_factory.mktemp("testbed")) as testbed:
        yield testbed


@pytest.fixture(scope="module")
async def workers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Testbed]:
    """Four workers without a shared store."""
    async with running_testbed(TestbedConfig(workers=4), tmp_path_factory.mktemp("workers")) as testbed:
        yield testbed


async def test_f1_outage_of_ten_minutes_ends_no_session(testbed: Testbed) -> None:
    """Live sessions continue, expired ones get a 503 without a call, and all succeed after the outage."""
    check(await outage(testbed, Scale.SHORT))


async def test_f2_slow_descope_is_waited_for_up_to_the_timeout(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A response after the timeout, or byte by byte, is a 503. No other user waits."""
    async with running_testbed(SHORT_TIMEOUT, tmp_path_factory.mktemp("short-timeout")) as testbed:
        check(await slow_responses(testbed, Scale.SHORT))


async def test_f3_flapping_descope_ends_no_session(testbed: Testbed) -> None:
    """One concurrent call per session, and no cookie is cleared."""
    check(await flapping(testbed, Scale.SHORT))


async def test_f3_flapping_descope_ends_no_session_on_four_workers(workers: Testbed) -> None:
    """Without a shared store, each worker makes at most one call."""
    check(await flapping(workers, Scale.SHORT))


async def test_f4_invalid_response_changes_nothing(testbed: Testbed) -> None:
    """It gives no identity and clears no cookie, and five seconds later requests succeed."""
    check(await invalid_responses(testbed, Scale.SHORT))


async def test_f5_rate_limit_causes_a_backoff_of_1_to_60_seconds(testbed: Testbed) -> None:
    """For any form of Retry-After, and only for the session that got it."""
    check(await rate_limits(testbed, Scale.SHORT))


async def test_f6_wrong_clock_keeps_cookies_and_refreshes_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Off by ten minutes or an hour: no refresh per request, and requests succeed once it is correct."""
    async with running_testbed(TestbedConfig(clock="machine"), tmp_path_factory.mktemp("machine")) as testbed:
        check(await wrong_clock(testbed, Scale.SHORT))


async def test_f9_key_rotation_ends_no_session(testbed: Testbed) -> None:
    """Keys that overlap, change abruptly, cannot be fetched or reuse a kid: valid sessions continue."""
    check(await key_rotation(testbed, Scale.SHORT))


async def test_f13_fifty_tabs_cost_one_refresh(testbed: Testbed) -> None:
    """Responses arrive in any order and some are lost; the cookie jar ends up valid."""
    check(await many_tabs(testbed, Scale.SHORT))


async def test_f13_fifty_tabs_cost_one_refresh_per_worker(workers: Testbed) -> None:
    """Without a shared store and with a grace at Descope, no session ends (RF-03)."""
    check(await many_tabs(workers, Scale.SHORT))


def check(report: Report) -> None:
    """Assert that no invariant was violated and no session ended wrongly."""
    assert report.violations == ()
    assert (report.wrongly_logged_out, report.foreign_identities) == (0, 0)
    assert report.cookies_cleared == report.revoked
    assert report.upstream_calls > 0
