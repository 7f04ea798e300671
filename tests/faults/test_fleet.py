"""Fault scenarios of many processes with one Redis, in their short form; scripts/faults runs the long one."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults import fleet_scenarios, login_scenarios

from .checker import Report
from .crash_scenarios import crash
from .fleet import DEPLOY_SETTINGS, LONG_TIMEOUTS, NETWORK_SETTINGS, Fleet, running_fleet
from .kill_points import Step
from .redis_proxy import Lost
from .redis_scenarios import REDIS_FAULTS, REDIS_LOSSES, dead_connections, redis_fails, redis_loses
from .testbed import Scale

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture(scope="module")
async def four_workers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Four workers with long timeouts."""
    async with running_fleet(
        tmp_path_factory.mktemp("four_workers"), workers=4, variables=LONG_TIMEOUTS
    ) as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def deployed_fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two workers with short leases and a graceful shutdown of one second."""
    async with running_fleet(
        tmp_path_factory.mktemp("deployed_fleet"), workers=2, variables=DEPLOY_SETTINGS
    ) as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def proxied_fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two workers behind a proxy, with the default timeout of Redis."""
    directory = tmp_path_factory.mktemp("proxied_fleet")
    async with running_fleet(directory, workers=2, redis="proxy") as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def networked_fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two workers behind a proxy, with a timeout of Redis that a busy machine does not reach."""
    directory = tmp_path_factory.mktemp("networked_fleet")
    async with running_fleet(directory, workers=2, redis="proxy", variables=NETWORK_SETTINGS) as fleet:
        yield fleet


@pytest.fixture(scope="module")
async def without_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two workers without Redis."""
    async with running_fleet(tmp_path_factory.mktemp("without_redis"), workers=2, redis="none") as fleet:
        yield fleet


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> Fleet:
    """Return the fleet that the parameter names."""
    found: Fleet = request.getfixturevalue(request.param)
    return found


def check(report: Report) -> None:
    """Assert that no invariant was violated. ``pytest -s`` shows the report."""
    print(report)  # noqa: T201 - the report
    assert report.violations == ()


async def test_rf03_a_thousand_requests_on_four_workers_cost_one_call(four_workers: Fleet) -> None:
    """All of them succeed, with the same new cookies."""
    check(await fleet_scenarios.concurrent_requests(four_workers, Scale.SHORT))


async def test_rf03_call_longer_than_the_lease_is_made_once(deployed_fleet: Fleet) -> None:
    """The lease is renewed while the call runs."""
    check(await fleet_scenarios.long_call(deployed_fleet, Scale.SHORT))


async def test_f17_rf04_lost_responses_log_no_user_out(networked_fleet: Fleet) -> None:
    """Browsers return with the old cookies after up to five minutes. Later, old cookies are refused."""
    check(await fleet_scenarios.lost_responses(networked_fleet, Scale.SHORT))


async def test_f18_cb04_lost_callbacks_log_no_user_out(networked_fleet: Fleet) -> None:
    """The browser gets its tokens with the second request, from either worker. The URL alone gets nothing."""
    check(await login_scenarios.lost_callbacks(networked_fleet, Scale.SHORT))


async def test_f18_cb04_reloaded_callbacks_log_no_user_out(networked_fleet: Fleet) -> None:
    """One exchange per login, and the same tokens for every reload in either worker."""
    check(await login_scenarios.reloaded_callbacks(networked_fleet, Scale.SHORT))


async def test_f11_disconnected_clients_lose_no_session(four_workers: Fleet) -> None:
    """Their next requests succeed, and each session costs one call."""
    check(await fleet_scenarios.client_disconnects(four_workers, Scale.SHORT))


@pytest.mark.slow
async def test_f15_deploy_answers_waiting_requests(four_workers: Fleet) -> None:
    """A hundred refreshes are in flight when SIGTERM comes, and uvicorn waits for them."""
    check(await fleet_scenarios.deploy(four_workers, Scale.SHORT))


@pytest.mark.slow
async def test_f15_deploy_loses_no_refresh_of_a_disconnected_client(deployed_fleet: Fleet) -> None:
    """The new process finds a hundred results in Redis and makes no call."""
    check(await fleet_scenarios.deploy_with_disconnects(deployed_fleet, Scale.SHORT))


@pytest.mark.nightly
@pytest.mark.parametrize("name", REDIS_FAULTS)
async def test_f7_redis_faults_fail_no_request(proxied_fleet: Fleet, name: str) -> None:
    """All requests succeed without delay, with at most two calls for two tabs; then Redis recovers."""
    check(await redis_fails(proxied_fleet, Scale.SHORT, name))


@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.name.lower())
async def test_f16_rd07_dead_connections_cost_no_second_refresh(networked_fleet: Fleet, lost: Lost) -> None:
    """Redis is healthy: two tabs in two workers cost one call, without a grace, and both get 200."""
    check(await dead_connections(networked_fleet, Scale.SHORT, lost))


@pytest.mark.parametrize("name", REDIS_LOSSES)
async def test_f7_data_loss_during_a_response_loses_no_cookie(four_workers: Fleet, name: str) -> None:
    """One call per session, and the new cookies for both tabs, in any process and without a grace."""
    check(await redis_loses(four_workers, Scale.SHORT, name))


@pytest.mark.parametrize("fleet", ["four_workers", "without_redis"], indirect=True)
async def test_f8_killed_before_the_call(fleet: Fleet) -> None:
    """Nothing has been sent yet."""
    check(await crash(fleet, Scale.SHORT, "leased", calls=1))


@pytest.mark.parametrize("fleet", ["four_workers", "without_redis"], indirect=True)
async def test_f8_killed_before_descope_acted(fleet: Fleet) -> None:
    """The call was sent, and Descope did not act on it."""
    check(await crash(fleet, Scale.SHORT, "sent", before_descope_acted=True, calls=2))


@pytest.mark.parametrize("step", ["sent", "received"])
@pytest.mark.parametrize("fleet", ["four_workers", "without_redis"], indirect=True)
async def test_f8_killed_before_the_result_is_stored(fleet: Fleet, step: Step) -> None:
    """The only copy of the new pair is lost and the old token is spent: the user signs in again."""
    check(await crash(fleet, Scale.SHORT, step, calls=2, session_lost=True))


@pytest.mark.parametrize("step", ["sent", "received"])
@pytest.mark.parametrize("fleet", ["four_workers", "without_redis"], indirect=True)
async def test_f8_killed_before_the_result_is_stored_with_grace(fleet: Fleet, step: Step) -> None:
    """Descope accepts the old token for ten more seconds: the session continues."""
    check(await crash(fleet, Scale.SHORT, step, calls=2, reuse_grace=10))


async def test_f8_killed_before_the_response(four_workers: Fleet) -> None:
    """Another worker gets the new pair from Redis."""
    check(await crash(four_workers, Scale.SHORT, "stored", calls=1))


async def test_f8_killed_before_the_response_without_redis(without_redis: Fleet) -> None:
    """The result is lost with the process."""
    check(await crash(without_redis, Scale.SHORT, "stored", calls=2, session_lost=True))


async def test_f8_killed_before_the_response_without_redis_with_grace(without_redis: Fleet) -> None:
    """Descope accepts the old token for ten more seconds: the session continues."""
    check(await crash(without_redis, Scale.SHORT, "stored", calls=2, reuse_grace=10))


async def test_f8_killed_without_rotation(without_redis: Fleet) -> None:
    """The old token stays valid."""
    check(await crash(without_redis, Scale.SHORT, "received", rotates=False, calls=2))


def test_crashes_page_names_existing_tests() -> None:
    """The page names tests of this file only, and all tests of crashes."""
    page = (Path(__file__).parents[2] / "docs" / "internals" / "crashes.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    rows = [line for line in page.splitlines() if line.startswith("|") and "---" not in line][1:]

    assert [name for name in named if name not in globals()] == []
    assert {name for name in globals() if name.startswith("test_f8_")} <= named
    assert [row for row in rows if "`test_f8_" not in row] == []
