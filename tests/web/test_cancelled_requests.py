"""A request that is cancelled at any point loses no result of its refresh (RF-06)."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from typing_extensions import override

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import Emulator, Project
from tests.helpers.app_harness import APP, IDP, add_routes
from tests.helpers.event_loop import run_ready
from tests.helpers.strict_upstream import RemoteStore

pytestmark = pytest.mark.anyio

STEPS = 200
"""More turns of the event loop than a request with a refresh takes."""


class _Distant(httpx.ASGITransport):
    """A network with delays: other tasks run before and after each call to Descope."""

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await run_ready()
        response = await super().handle_async_request(request)
        await run_ready()
        return response


async def test_rf06_request_cancelled_at_any_step_loses_nothing() -> None:
    """Whether Descope has rotated the token or not, the same cookies get the new tokens, at one call."""
    emulator, app = Emulator(Project(rotate_refresh=True)), FastAPI()
    Descope(
        app,
        settings=DescopeSettings(project_id=emulator.project_id, base_url=IDP, public_url=APP),
        clock=emulator.clock,
        transport=_Distant(emulator),
        refresh_store=RemoteStore(emulator.clock),
    )
    add_routes(app)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP)
    finished = 0
    for steps in range(STEPS):
        pair = emulator.issue("ada@acme.example", "acme", session_seconds=-60)
        cookies = {"cookie": f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"}
        request = asyncio.ensure_future(client.get("/session-of", headers=cookies))
        for _ in range(steps):
            await asyncio.sleep(0)
        finished += request.done()
        request.cancel()
        await asyncio.wait([request])

        again = await client.get("/session-of", headers=cookies)

        assert again.status_code == 200, steps
        assert len(again.headers.get_list("set-cookie")) == 2, steps
        assert emulator.requests.count("refresh") == steps + 1
    assert 0 < finished < STEPS - 50  # the last steps are behind the end of a request, the others are not
