"""Many requests with one expired session. The tests count calls, not time."""

import asyncio
import re

import pytest

from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio


async def test_rf02_200_concurrent_requests_make_one_refresh(make_env: EnvFactory) -> None:
    """All of them succeed with the same new cookie."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    env.emulator.clock.advance(660)

    responses = await asyncio.gather(*(env.browser().get("/session-of", cookie=old) for _ in range(200)))

    assert {response.status_code for response in responses} == {200}
    assert env.calls("refresh") == 1
    # Max-Age depends on the second of the response.
    assert len({re.sub(r"Max-Age=\d+", "", response.headers["set-cookie"]) for response in responses}) == 1


async def test_rf04_200_late_requests_with_the_old_cookie_make_one_refresh(make_env: EnvFactory) -> None:
    """They arrive one after the other, 3 ms apart on the clock, with rotation."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    env.emulator.clock.advance(660)

    statuses: set[int] = set()
    for _ in range(200):
        statuses.add((await env.browser().get("/session-of", cookie=old)).status_code)
        env.emulator.clock.advance(0.003)

    assert statuses == {200}
    assert env.calls("refresh") == 1


async def test_ca03_public_page_ignores_cookies_and_sets_no_cache_headers(
    make_env: EnvFactory,
) -> None:
    """The handler does not read the session: no Vary, no Cache-Control, no call (CA-03)."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    calls = len(env.emulator.requests)
    env.emulator.clock.advance(660)

    response = await browser.get("/public")

    assert response.status_code == 200
    assert "vary" not in response.headers
    assert "cache-control" not in response.headers
    assert "set-cookie" not in response.headers
    assert len(env.emulator.requests) == calls
