"""RF-10: a thousand sessions expire in the same second, as after a release or a lunch break."""

import asyncio

import httpx
import pytest
from typing_extensions import override

from fastapi_descope.emulator import Emulator
from tests.helpers.app_harness import AppHarness, EnvFactory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SESSIONS = 1000

_ITERATIONS = 5000
"""Of the event loop. The requests arrive within a few hundred."""


class CountingTransport(httpx.ASGITransport):
    """A transport to the emulator that counts concurrent calls.

    No refresh gets a response before twenty have started and every other one waits for its turn.
    """

    def __init__(self, app: Emulator) -> None:
        super().__init__(app)
        self.max_concurrent = self.concurrent = 0
        self._are_waiting = asyncio.Event()
        self._tasks = set[asyncio.Task[None]]()  # an event loop does not keep them

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Count the call. Like a network, it lets other tasks run before the response."""
        self.concurrent += 1
        self.max_concurrent = max(self.max_concurrent, self.concurrent)
        if self.concurrent == 20 and not self._tasks:
            self._tasks.add(asyncio.create_task(self._let_others_arrive()))
        try:
            if request.url.path.endswith("/refresh"):
                await self._are_waiting.wait()
            await asyncio.sleep(0)
            return await super().handle_async_request(request)
        finally:
            self.concurrent -= 1

    async def _let_others_arrive(self) -> None:
        for _ in range(_ITERATIONS):
            await asyncio.sleep(0)
        self._are_waiting.set()


async def send_expired(env: AppHarness, user: str, tenant: str) -> tuple[int, object]:
    """Send a request with an expired session; return the status and the tenant of the response."""
    issued = env.emulator.issue(user, tenant, session_seconds=-60)
    response = await env.browser().get(
        "/session-of", cookie=f"DS={issued.session_jwt}; DSR={issued.refresh_jwt}"
    )
    return response.status_code, response.json().get("tenant")


async def test_rf10_a_thousand_sessions_are_refreshed_with_a_thousand_calls(make_env: EnvFactory) -> None:
    """Each gets its own session, with at most twenty concurrent calls. No call is repeated."""
    # A slow machine must not fail this test.
    env = make_env(upstream_timeout=60)
    transport = CountingTransport(env.emulator)
    users = [("ada@acme.example", "acme"), ("hank@globex.example", "globex")] * (SESSIONS // 2)

    with env.descope.override_upstream(transport, clock=env.emulator.clock):
        responses = await asyncio.gather(*(send_expired(env, *each) for each in users))

    assert responses == [(200, tenant) for _, tenant in users]
    assert transport.max_concurrent == 20
    assert env.calls("refresh") == SESSIONS
