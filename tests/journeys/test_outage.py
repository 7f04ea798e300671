"""Outages and rate limits of Descope, and their end: F1, F3 and RF-09 in the whole app."""

import asyncio

import httpx
import pytest

from fastapi_descope.emulator import JwtPair
from fastapi_descope.events import Event, UpstreamDegraded, UpstreamRecovered
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory
from tests.helpers.event_loop import in_virtual_time

pytestmark = pytest.mark.anyio

ADA = "ada@acme.example"


async def sign_in_browsers(env: AppHarness, count: int) -> list[Browser]:
    """Return ``count`` browsers, each with a session of its own."""
    browsers = [env.browser() for _ in range(count)]
    for browser in browsers:
        await browser.sign_in()
    return browsers


async def start_outage(env: AppHarness, browsers: list[Browser]) -> None:
    """Make Descope respond with a 503, and send requests with the expired sessions of ``browsers``."""
    env.emulator.faults.add("*", status=503, times=10_000)
    for browser in browsers:
        await browser.get("/session-of")


def availability_events(env: AppHarness) -> list[Event]:
    """Return the events about Descope's availability."""
    return [event for event in env.events if isinstance(event, UpstreamDegraded | UpstreamRecovered)]


def session_cookies(issued: JwtPair) -> dict[str, str]:
    """Return the cookie header of a session."""
    return {"cookie": f"DS={issued.session_jwt}; DSR={issued.refresh_jwt}"}


async def test_f1_outage_does_not_affect_valid_sessions_or_end_expired_ones(make_env: EnvFactory) -> None:
    """Expired sessions get a 503 and keep their cookies. With the circuit open, no call is made."""
    env = make_env()
    expired = await sign_in_browsers(env, 8)
    env.emulator.clock.advance(660)
    [valid] = await sign_in_browsers(env, 1)
    await start_outage(env, expired[:5])
    calls = len(env.emulator.requests)

    responses = [await browser.get("/session-of") for browser in expired]
    valid_statuses = [(await valid.get("/session-of")).status_code for _ in range(10)]

    assert valid_statuses == [200] * 10
    for response in responses:
        assert response.status_code == 503
        assert response.json()["code"] == "upstream_unavailable"
        assert 5 <= int(response.headers["retry-after"]) <= 10
        assert response.headers["cache-control"] == "no-store"
        assert "set-cookie" not in response.headers
    assert len(env.emulator.requests) == calls
    env.emulator.faults.clear()
    env.emulator.clock.advance(10)
    assert [(await browser.get("/session-of")).status_code for browser in expired] == [200] * 8
    assert availability_events(env) == [UpstreamDegraded("server_error"), UpstreamRecovered()]


async def test_f1_navigation_during_an_outage_gets_a_page(make_env: EnvFactory) -> None:
    """A 503 in HTML with ``Retry-After``. A redirect to the login would not help either."""
    env = make_env()
    expired = await sign_in_browsers(env, 6)
    env.emulator.clock.advance(660)
    await start_outage(env, expired[:5])

    page = await expired[5].visit("/session-of", accept="text/html")

    assert page.status_code == 503
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert 5 <= int(page.headers["retry-after"]) <= 10
    assert "set-cookie" not in page.headers
    assert "location" not in page.headers


@in_virtual_time
async def test_f1_one_request_probes_descope_after_an_outage(make_env: EnvFactory) -> None:
    """Of fifty requests with expired sessions, one makes a call. The others get a 503 while it runs."""
    env = make_env()
    expired = await sign_in_browsers(env, 5)
    env.emulator.clock.advance(660)
    await sign_in_browsers(env, 1)  # fetches the keys; otherwise that call would be the probe
    await start_outage(env, expired)
    env.emulator.faults.clear()
    env.emulator.faults.add("refresh", hold=True)
    env.emulator.clock.advance(10)
    calls = env.calls("refresh")
    sessions = [session_cookies(env.emulator.issue(ADA, "acme", session_seconds=-60)) for _ in range(50)]

    first = asyncio.create_task(env.browser().get("/session-of", **sessions[0]))
    await env.emulator.faults.wait_until_held()
    others = [await env.browser().get("/session-of", **cookies) for cookies in sessions[1:]]
    during = env.calls("refresh") - calls
    env.emulator.faults.release()
    probe = await first
    after = [(await env.browser().get("/session-of", **cookies)).status_code for cookies in sessions[1:]]

    assert probe.status_code == 200
    assert {response.status_code for response in others} == {503}
    assert during == 1
    assert after == [200] * 49


async def test_f1_login_fails_during_an_outage_and_works_after_it(
    make_env: EnvFactory,
) -> None:
    """The login and its callback get a 503 without a call. Later the same browser can log in."""
    env = make_env()
    expired = await sign_in_browsers(env, 5)
    browser = env.browser()
    callback = await browser.open_callback()
    env.emulator.clock.advance(660)
    await start_outage(env, expired)
    calls = len(env.emulator.requests)

    started = await browser.visit("/login/sso?tenant=acme")
    other = await env.browser().visit("/login/sso?tenant=acme")

    for response in (started, other):
        assert response.status_code == 503
        assert 5 <= int(response.headers["retry-after"]) <= 10
    assert len(env.emulator.requests) == calls
    assert (await browser.visit(callback)).status_code >= 400
    assert "DS" not in browser.names()
    assert len(env.emulator.requests) == calls
    env.emulator.faults.clear()
    env.emulator.clock.advance(10)
    assert (await browser.sign_in()).status_code == 303


async def test_f1_logout_works_during_an_outage(make_env: EnvFactory) -> None:
    """The cookies are deleted, and no call is made (LO-01)."""
    env = make_env()
    expired = await sign_in_browsers(env, 6)
    env.emulator.clock.advance(660)
    await start_outage(env, expired[:5])
    calls = len(env.emulator.requests)

    response = await expired[5].post("/logout")

    assert response.status_code in {204, 303}
    assert {"DS", "DSR"}.isdisjoint(expired[5].names())
    assert len(env.emulator.requests) == calls


async def test_f1_outage_of_ten_minutes_makes_few_calls(make_env: EnvFactory) -> None:
    """With a request each second: five calls open the circuit, then one probe each 15 to 30 seconds."""
    env = make_env()
    env.emulator.faults.add("refresh", status=503, times=10_000)
    [browser] = await sign_in_browsers(env, 1)
    env.emulator.clock.advance(660)

    responses: list[httpx.Response] = []
    for _ in range(600):
        responses.append(await browser.get("/session-of"))
        env.emulator.clock.advance(1)

    assert {response.status_code for response in responses} == {503}
    assert all(1 <= int(response.headers["retry-after"]) <= 30 for response in responses)
    assert 5 + 600 / 30 <= env.calls("refresh") <= 5 + 600 / 15 + 2
    env.emulator.faults.clear()
    env.emulator.clock.advance(30)
    assert (await browser.get("/session-of")).status_code == 200


async def test_f3_intermittent_failures_end_no_session(make_env: EnvFactory) -> None:
    """Two requests a second for half a minute: at most one call for each, and every session continues."""
    env = make_env()
    sessions = [session_cookies(env.emulator.issue(ADA, "acme", session_seconds=-60)) for _ in range(60)]

    responses: list[httpx.Response] = []
    for number, cookies in enumerate(sessions):
        if number % 2:
            env.emulator.faults.add("refresh", status=500)
        responses.append(await env.browser().get("/session-of", **cookies))
        env.emulator.clock.advance(0.5)

    assert [response.status_code for response in responses] == [200, 503] * 30
    assert env.calls("refresh") == 60
    assert all("set-cookie" not in response.headers for response in responses[1::2])
    late = [await env.browser().get("/session-of", **cookies) for cookies in sessions[1::2]]
    assert {response.status_code for response in late} == {200}
    assert availability_events(env) == []


async def test_rf09_rate_limit_of_the_project_applies_to_all_sessions(make_env: EnvFactory) -> None:
    """After two sessions got a 429, the third gets ``Retry-After`` without a call. Later all continue."""
    env = make_env()
    browsers = await sign_in_browsers(env, 3)
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", status=429, retry_after=30, times=2)

    responses = [await browser.get("/session-of") for browser in browsers]
    login = await env.browser().visit("/login/sso?tenant=acme")

    for response in responses:
        assert response.status_code == 503
        assert response.headers["retry-after"] == "30"
        assert "set-cookie" not in response.headers
    assert login.status_code == 503
    assert env.calls("refresh") == 2
    env.emulator.clock.advance(31)
    assert [(await browser.get("/session-of")).status_code for browser in browsers] == [200] * 3
    assert availability_events(env) == [UpstreamDegraded("rate_limited"), UpstreamRecovered()]
