"""RF-10: a thousand sessions run out in the same second; a release, or a lunch break, does that."""

import asyncio

import httpx
import pytest
from typing_extensions import override

from tests.helpers.app_harness import AppHarness, EnvFactory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SESSIONS = 1000


class Watched(httpx.ASGITransport):
    """The way to Descope, with a count of how many are on it."""

    most = under_way = 0

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Count while the request is answered; each takes its turn of the loop, as on a network."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        try:
            return await super().handle_async_request(request)
        finally:
            self.under_way -= 1


async def returning(env: AppHarness, user: str, tenant: str) -> tuple[int, object]:
    """A browser comes back with a session of its own that is over: the status, and whose session it has."""
    issued = env.emulator.issue(user, tenant, session_seconds=-60)
    response = await env.browser().get(
        "/session-of", cookie=f"DS={issued.session_jwt}; DSR={issued.refresh_jwt}"
    )
    return response.status_code, response.json().get("tenant")


async def test_rf10_a_thousand_sessions_are_renewed_with_a_thousand_calls(make_env: EnvFactory) -> None:
    """None fails, each gets its own, never more than twenty calls at once, and no call is made twice."""
    # The time that they may take is the machine's affair, not this test's.
    env = make_env(upstream_timeout=60)
    watched = Watched(env.emulator)
    who = [("ada@acme.example", "acme"), ("hank@globex.example", "globex")] * (SESSIONS // 2)

    with env.descope.override_upstream(watched, clock=env.emulator.clock):
        responses = await asyncio.gather(*(returning(env, *each) for each in who))

    assert responses == [(200, tenant) for _, tenant in who]
    assert watched.most == 20
    assert env.calls("refresh") == SESSIONS
