"""Descope is away, or tells us to wait, and comes back: F1, F3 and RF-09 through the whole app."""

import asyncio

import httpx
import pytest

from fastapi_descope.emulator import JwtPair
from fastapi_descope.events import Event, UpstreamDegraded, UpstreamRecovered
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

ADA = "ada@acme.example"


async def signed_in(env: AppHarness, count: int) -> list[Browser]:
    """As many browsers, each with a session of its own."""
    browsers = [env.browser() for _ in range(count)]
    for browser in browsers:
        await browser.sign_in()
    return browsers


async def outage(env: AppHarness, browsers: list[Browser]) -> None:
    """Descope answers 503 from now on, and the browsers' dead sessions have found out."""
    env.emulator.faults.add("*", status=503, times=10_000)
    for browser in browsers:
        await browser.get("/session-of")


def changes(env: AppHarness) -> list[Event]:
    """What was told of Descope's reach."""
    return [event for event in env.events if isinstance(event, UpstreamDegraded | UpstreamRecovered)]


def holder(issued: JwtPair) -> dict[str, str]:
    """The cookies of a session, as a request brings them."""
    return {"cookie": f"DS={issued.session_jwt}; DSR={issued.refresh_jwt}"}


async def test_f1_an_outage_costs_live_sessions_nothing_and_logs_nobody_out(make_env: EnvFactory) -> None:
    """Dead sessions get 503 and keep their cookies; once it is known, without a call; then all go on."""
    env = make_env()
    dead = await signed_in(env, 8)
    env.emulator.clock.advance(660)
    [live] = await signed_in(env, 1)
    await outage(env, dead[:5])
    calls = len(env.emulator.requests)

    responses = [await browser.get("/session-of") for browser in dead]
    while_down = [(await live.get("/session-of")).status_code for _ in range(10)]

    assert while_down == [200] * 10
    for response in responses:
        assert response.status_code == 503
        assert response.json()["code"] == "upstream_unavailable"
        assert 5 <= int(response.headers["retry-after"]) <= 10
        assert response.headers["cache-control"] == "no-store"
        assert "set-cookie" not in response.headers
    assert len(env.emulator.requests) == calls
    env.emulator.faults.clear()
    env.emulator.clock.advance(10)
    assert [(await browser.get("/session-of")).status_code for browser in dead] == [200] * 8
    assert changes(env) == [UpstreamDegraded("server_error"), UpstreamRecovered()]


async def test_f1_a_person_sees_a_page_during_an_outage(make_env: EnvFactory) -> None:
    """503 in HTML with the time to come again; no redirect to a login that would not work either."""
    env = make_env()
    dead = await signed_in(env, 6)
    env.emulator.clock.advance(660)
    await outage(env, dead[:5])

    page = await dead[5].visit("/session-of", accept="text/html")

    assert page.status_code == 503
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert 5 <= int(page.headers["retry-after"]) <= 10
    assert "set-cookie" not in page.headers
    assert "location" not in page.headers


async def test_f1_one_request_finds_out_that_descope_is_back(make_env: EnvFactory) -> None:
    """Fifty dead sessions come when the wait is over: one call, and while it runs 503 for the rest."""
    env = make_env()
    dead = await signed_in(env, 5)
    env.emulator.clock.advance(660)
    await signed_in(env, 1)  # renews the keys; fetching them would otherwise be the trial
    await outage(env, dead)
    env.emulator.faults.clear()
    env.emulator.faults.add("refresh", hold=True)
    env.emulator.clock.advance(10)
    calls = env.calls("refresh")
    crowd = [holder(env.emulator.issue(ADA, "acme", session_seconds=-60)) for _ in range(50)]

    first = asyncio.create_task(env.browser().get("/session-of", **crowd[0]))
    await env.emulator.faults.wait_until_held()
    others = [await env.browser().get("/session-of", **cookies) for cookies in crowd[1:]]
    during = env.calls("refresh") - calls
    env.emulator.faults.release()
    tried = await first
    after = [(await env.browser().get("/session-of", **cookies)).status_code for cookies in crowd[1:]]

    assert tried.status_code == 200
    assert {response.status_code for response in others} == {503}
    assert during == 1
    assert after == [200] * 49


async def test_f1_nobody_signs_in_during_an_outage_and_everybody_can_after_it(
    make_env: EnvFactory,
) -> None:
    """The start of a login and its callback are 503 without a call, and the same browser signs in later."""
    env = make_env()
    dead = await signed_in(env, 5)
    browser = env.browser()
    callback = await browser.open_callback()
    env.emulator.clock.advance(660)
    await outage(env, dead)
    calls = len(env.emulator.requests)

    started = await browser.visit("/login/sso?tenant=acme")
    come_back = await env.browser().visit("/login/sso?tenant=acme")

    for response in (started, come_back):
        assert response.status_code == 503
        assert 5 <= int(response.headers["retry-after"]) <= 10
    assert len(env.emulator.requests) == calls
    assert (await browser.visit(callback)).status_code >= 400
    assert "DS" not in browser.names()
    assert len(env.emulator.requests) == calls
    env.emulator.faults.clear()
    env.emulator.clock.advance(10)
    assert (await browser.sign_in()).status_code == 303


async def test_f1_signing_out_works_during_an_outage(make_env: EnvFactory) -> None:
    """The cookies go, whoever is away; no call is made for it (LO-01)."""
    env = make_env()
    dead = await signed_in(env, 6)
    env.emulator.clock.advance(660)
    await outage(env, dead[:5])
    calls = len(env.emulator.requests)

    response = await dead[5].post("/logout")

    assert response.status_code in {204, 303}
    assert {"DS", "DSR"}.isdisjoint(dead[5].names())
    assert len(env.emulator.requests) == calls


async def test_f1_an_outage_of_ten_minutes_costs_a_few_calls(make_env: EnvFactory) -> None:
    """A request each second: five calls find it out, and then a trial is made each 15 to 30 seconds."""
    env = make_env()
    env.emulator.faults.add("refresh", status=503, times=10_000)
    [browser] = await signed_in(env, 1)
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


async def test_f3_a_descope_that_fails_every_other_time_logs_nobody_out(make_env: EnvFactory) -> None:
    """Half a minute, two requests a second: never more than one call for each, and every session goes on."""
    env = make_env()
    crowd = [holder(env.emulator.issue(ADA, "acme", session_seconds=-60)) for _ in range(60)]

    responses: list[httpx.Response] = []
    for number, cookies in enumerate(crowd):
        if number % 2:
            env.emulator.faults.add("refresh", status=500)
        responses.append(await env.browser().get("/session-of", **cookies))
        env.emulator.clock.advance(0.5)

    assert [response.status_code for response in responses] == [200, 503] * 30
    assert env.calls("refresh") == 60
    assert all("set-cookie" not in response.headers for response in responses[1::2])
    late = [await env.browser().get("/session-of", **cookies) for cookies in crowd[1::2]]
    assert {response.status_code for response in late} == {200}
    assert changes(env) == []


async def test_rf09_a_limit_on_everybody_is_obeyed_by_everybody(make_env: EnvFactory) -> None:
    """Two sessions meet it: the third is told how long to wait and is not asked about, then all go on."""
    env = make_env()
    browsers = await signed_in(env, 3)
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
    assert changes(env) == [UpstreamDegraded("rate_limited"), UpstreamRecovered()]
