"""A response that starts late has no say over the cookies of a login that came in between (CB-09)."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from fastapi_descope import CurrentUser
from fastapi_descope.emulator import Project
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

HANK, GRACE = ("hank@globex.example", "globex"), ("grace@acme.example", "acme")
LIVE_AND_DUE, DEAD = 570, 660

Loading = tuple[asyncio.Task[httpx.Response], asyncio.Event]
"""A page under way, and the event that lets it answer."""


async def slow_page(env: AppHarness, browser: Browser) -> Loading:
    """Load a page whose handler is at work, and answers when it is told to."""
    begun, gate = asyncio.Event(), asyncio.Event()

    @env.app.get("/slow")
    async def slow(user: CurrentUser) -> str:
        begun.set()
        await gate.wait()
        return user.id

    loading = asyncio.create_task(browser.get("/slow"))
    await begun.wait()
    return loading, gate


async def sign_in_anew(browser: Browser) -> None:
    """As somebody else, without a word to the session before."""
    await browser.sign_in(*HANK)


async def sign_out_and_in(browser: Browser) -> None:
    """As people do who have two accounts."""
    await browser.post("/logout")
    await browser.sign_in(*HANK)


async def choose_another_tenant(browser: Browser) -> None:
    """As the same user, by the other organisation's sign-in."""
    await browser.sign_in("ada@acme.example", "globex")


@pytest.mark.parametrize("rotate", [True, False], ids=["rotating", "not rotating"])
@pytest.mark.parametrize("age", [LIVE_AND_DUE, DEAD], ids=["live", "dead"])
@pytest.mark.parametrize("login", [sign_in_anew, sign_out_and_in, choose_another_tenant])
async def test_cb09_a_slow_response_leaves_a_login_alone(
    make_env: EnvFactory,
    login: Callable[[Browser], Awaitable[None]],
    age: int,
    rotate: bool,  # noqa: FBT001 - a project's setting
) -> None:
    """The page has refreshed the session before; its answer neither writes nor clears a cookie."""
    env = make_env(project=Project(rotate_refresh=rotate))
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(age)
    loading, gate = await slow_page(env, browser)

    await login(browser)
    after = browser.cookie("DS"), browser.cookie("DSR")
    gate.set()
    response = await loading

    assert response.status_code == 200
    assert response.headers.get_list("set-cookie") == []
    assert (browser.cookie("DS"), browser.cookie("DSR")) == after
    assert (await browser.get("/me")).json()["tenant"] == "globex"


async def test_cb09_nor_does_one_with_an_older_token_of_the_session(make_env: EnvFactory) -> None:
    """The refresh that it began has reached the browser by another response before the login."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(DEAD)
    loading, gate = await slow_page(env, browser)
    await browser.get("/me")  # brings the new tokens

    await sign_in_anew(browser)
    gate.set()

    assert (await loading).headers.get_list("set-cookie") == []
    assert (await browser.get("/me")).json()["tenant"] == "globex"


@pytest.mark.parametrize("login", [sign_in_anew, sign_out_and_in])
async def test_cb09_a_request_that_waits_for_descope_leaves_a_login_alone(
    make_env: EnvFactory, login: Callable[[Browser], Awaitable[None]]
) -> None:
    """Its session is over, so it is 401; the cookies that the browser has by now are another one's."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(DEAD)
    env.emulator.faults.add("refresh", hold=True)
    waiting = asyncio.create_task(browser.get("/me"))
    await env.emulator.faults.wait_until_held()

    await login(browser)
    env.emulator.faults.release()
    response = await waiting

    assert (response.status_code, response.headers.get_list("set-cookie")) == (401, [])
    assert (await browser.get("/me")).json()["tenant"] == "globex"


async def test_cb09_a_login_whose_answer_is_lost_costs_the_session_before_it_some_minutes(
    make_env: EnvFactory,
) -> None:
    """The old cookies are still there, never cleared: good while the session token is, and again later."""
    env = make_env()
    browser = await env.signed_in_browser()
    ada, jar = (await browser.get("/me")).json(), list(browser.http.cookies.jar)
    env.emulator.clock.advance(300)
    await browser.sign_in(*GRACE)
    for cookie in jar:
        browser.http.cookies.jar.set_cookie(cookie)
    assert (await browser.get("/me")).json() == ada

    env.emulator.clock.advance(310)
    response = await browser.get("/me")
    env.emulator.clock.advance(300)

    assert (response.status_code, response.headers.get_list("set-cookie")) == (401, [])
    assert (await browser.get("/me")).json() == ada
