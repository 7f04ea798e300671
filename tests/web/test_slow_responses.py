"""Late responses do not change the cookies of a login that happened in between (CB-09)."""

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
"""The pending request for a page, and the event that releases its handler."""


async def slow_page(env: AppHarness, browser: Browser) -> Loading:
    """Request a page whose handler waits until it is released."""
    begun, gate = asyncio.Event(), asyncio.Event()

    @env.app.get("/slow")
    async def slow(user: CurrentUser) -> str:
        begun.set()
        await gate.wait()
        return user.id

    loading = asyncio.create_task(browser.get("/slow"))
    await begun.wait()
    return loading, gate


async def sign_in_again(browser: Browser) -> None:
    """Sign in as another user, without a logout before."""
    await browser.sign_in(*HANK)


async def sign_out_and_in(browser: Browser) -> None:
    """Log out and sign in, as users with two accounts do."""
    await browser.post("/logout")
    await browser.sign_in(*HANK)


async def sign_in_to_another_tenant(browser: Browser) -> None:
    """Sign in as the same user, with another tenant's SSO."""
    await browser.sign_in("ada@acme.example", "globex")


@pytest.mark.parametrize("rotate", [True, False], ids=["rotating", "not rotating"])
@pytest.mark.parametrize("age", [LIVE_AND_DUE, DEAD], ids=["live", "dead"])
@pytest.mark.parametrize("login", [sign_in_again, sign_out_and_in, sign_in_to_another_tenant])
async def test_cb09_late_response_does_not_change_the_cookies_of_a_login(
    make_env: EnvFactory,
    login: Callable[[Browser], Awaitable[None]],
    age: int,
    rotate: bool,
) -> None:
    """The request refreshed the former session; its response neither writes nor clears a cookie."""
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


async def test_cb09_late_response_with_an_older_token_does_not_either(make_env: EnvFactory) -> None:
    """Another response delivered the result of its refresh before the login."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(DEAD)
    loading, gate = await slow_page(env, browser)
    await browser.get("/me")  # brings the new tokens

    await sign_in_again(browser)
    gate.set()

    assert (await loading).headers.get_list("set-cookie") == []
    assert (await browser.get("/me")).json()["tenant"] == "globex"


@pytest.mark.parametrize("login", [sign_in_again, sign_out_and_in])
async def test_cb09_request_that_waits_for_descope_does_not_change_the_cookies_of_a_login(
    make_env: EnvFactory, login: Callable[[Browser], Awaitable[None]]
) -> None:
    """Its session has ended, so it gets a 401, but the browser's cookies belong to another session."""
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


async def test_cb09_lost_login_response_suspends_the_former_session_for_minutes(
    make_env: EnvFactory,
) -> None:
    """The old cookies were never cleared: they work while the session token is valid, and again later."""
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
