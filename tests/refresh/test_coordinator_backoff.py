"""Backoff (RF-01): a 429 is obeyed, and after a foreign response not every request makes a call."""

import pytest

from fastapi_descope.emulator import Clock, Emulator, Project
from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio


async def test_rf01_after_a_429_no_refresh_until_retry_after(
    make_env: EnvFactory,
) -> None:
    """Until then requests get a 503 with the remaining time, and keep their cookies."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", status=429, retry_after=20)

    first = await browser.get("/session-of")
    env.emulator.clock.advance(12)
    second = await browser.get("/session-of")
    env.emulator.clock.advance(9)
    third = await browser.get("/session-of")

    assert [response.status_code for response in (first, second, third)] == [503, 503, 200]
    assert first.headers["retry-after"] == "20"
    assert 7 <= int(second.headers["retry-after"]) <= 9
    assert "set-cookie" not in first.headers
    assert "set-cookie" not in second.headers
    assert env.calls("refresh") == 2


async def test_rf09_429_of_one_user_does_not_delay_another(make_env: EnvFactory) -> None:
    """A backoff belongs to one session."""
    env = make_env()
    ada, grace = env.browser(), env.browser()
    await ada.sign_in()
    await grace.sign_in("grace@acme.example")
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", status=429, retry_after=60)

    assert (await ada.get("/session-of")).status_code == 503
    assert (await grace.get("/session-of")).status_code == 200


async def test_rf01_valid_session_works_during_a_429(make_env: EnvFactory) -> None:
    """It was about to be refreshed early. It stays valid, and Descope is not called again."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(560)
    env.emulator.faults.add("refresh", status=429, retry_after=30)

    statuses = [(await browser.get("/session-of")).status_code for _ in range(5)]

    assert statuses == [200] * 5
    assert env.calls("refresh") == 1


async def test_tenant_switch_works_during_a_backoff(make_env: EnvFactory) -> None:
    """A tenant switch calls another endpoint, and its result is the session from then on."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", status=429, retry_after=30)
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    await browser.get("/session-of")

    switched = await browser.post("/tenant/select", {"tenant": "globex"})
    late = await env.browser().get("/session-of", cookie=old)

    assert switched.json()["tenant"]["id"] == "globex"
    assert late.json()["tenant"] == "globex"


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_rf09_foreign_response_causes_one_call_per_five_seconds(
    make_env: EnvFactory, status: int
) -> None:
    """A hundred requests get a 503 and keep their cookies. Then the session is refreshed."""
    clock = Clock(lambda: 1_800_000_000.0)  # stands still however slow the machine is
    env = make_env(emulator=Emulator(clock=clock))
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", status=status, body=b"<h1>Blocked by policy</h1>", times=100)

    refused = [await browser.get("/session-of") for _ in range(100)]

    assert {response.status_code for response in refused} == {503}
    assert {response.headers["retry-after"] for response in refused} == {"5"}
    assert not any("set-cookie" in response.headers for response in refused)
    assert env.calls("refresh") == 1
    env.emulator.faults.clear()
    env.emulator.clock.advance(5)
    assert (await browser.get("/session-of")).status_code == 200


async def test_rf01_valid_session_works_during_foreign_responses(make_env: EnvFactory) -> None:
    """It was about to be refreshed early, and stays valid."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(560)
    env.emulator.faults.add("refresh", status=403, body=b"<h1>Blocked by policy</h1>", times=5)

    responses = [await browser.get("/session-of") for _ in range(5)]

    assert [response.status_code for response in responses] == [200] * 5
    assert not any("set-cookie" in response.headers for response in responses)
    assert env.calls("refresh") == 1
