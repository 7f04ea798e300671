"""Requests that arrive together with many unknown tokens enter the app a few at a time (RF-10)."""

import asyncio
from collections import Counter

import pytest

from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.event_loop import IterationCounter

pytestmark = pytest.mark.anyio


async def iterations_of_public_pages(env: AppHarness, cookies: list[str]) -> Counter[int]:
    """Send a request with each of ``cookies`` and 100 to a public page, all at once.

    Returns how many of the latter were served in each iteration of the event loop.
    """
    iterations, served = IterationCounter(), Counter[int]()

    async def open_public_page() -> None:
        response = await env.browser().get("/public")
        assert response.status_code == 200
        served[iterations.number] += 1

    async def send(cookie: str) -> None:
        assert (await env.browser().get("/session-of", cookie=cookie)).status_code == 200

    await asyncio.gather(*map(send, cookies), *(open_public_page() for _ in range(100)))
    return served


async def test_rf10_during_a_burst_of_unknown_tokens_requests_enter_a_few_at_a_time(
    make_env: EnvFactory,
) -> None:
    """To route a thousand requests takes longer than to verify a few tokens."""
    env = make_env()
    await (await env.signed_in_browser()).get("/session-of")  # fetches the keys
    pairs = [env.emulator.issue("ada@acme.example", session_seconds=600 + number) for number in range(60)]

    served = await iterations_of_public_pages(env, [f"DS={pair.session_jwt}" for pair in pairs])

    assert served.total() == 100
    assert max(served.values()) == 32


async def test_without_a_burst_no_request_waits(make_env: EnvFactory) -> None:
    """A hundred public pages are served in one iteration of the event loop."""
    env = make_env()
    await env.browser().get("/public")

    served = await iterations_of_public_pages(env, [])

    assert list(served.values()) == [100]
