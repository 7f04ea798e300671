"""Timeouts that follow ``DESCOPE_UPSTREAM_TIMEOUT``: shutdowns, and leases of crashed processes (F8, F15)."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope.emulator import Clock, Emulator, JwtPair, Project
from tests.helpers.app_harness import APP, IDP, add_routes
from tests.helpers.emulator import signing_key
from tests.helpers.event_loop import VirtualTimeLoop

pytestmark = pytest.mark.anyio

EPOCH = 1_800_000_000.0


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Run in virtual time, so that timeouts pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


class Process:
    """An app whose Descope may be slow, with a store whose leases last as long as those in Redis."""

    def __init__(self, *, upstream_timeout: float) -> None:
        loop = asyncio.get_running_loop()
        clock = Clock(lambda: EPOCH + loop.time())
        self.emulator = Emulator(
            Project(rotate_refresh=True), clock=clock, base_url=IDP, signing_key=signing_key()
        )
        self.store = MemoryRefreshStore(clock, lease_seconds=5.0)
        self.app = FastAPI()
        self.descope = Descope(
            self.app,
            settings=DescopeSettings(
                project_id=self.emulator.project_id,
                base_url=IDP,
                public_url=APP,
                upstream_timeout=upstream_timeout,
            ),
            clock=clock,
            transport=httpx.ASGITransport(self.emulator),
            refresh_store=self.store,
        )
        add_routes(self.app)

    def expired_session(self) -> JwtPair:
        """Return a pair whose session token has expired."""
        return self.emulator.issue("ada@acme.example", session_seconds=-60)

    async def request(self, pair: JwtPair) -> int:
        """Send a request with its refresh token, and return the status."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=APP) as browser:
            return (
                await browser.get("/session-of", headers={"cookie": f"DSR={pair.refresh_jwt}"})
            ).status_code


@pytest.mark.parametrize("upstream_timeout", [5.0, 30.0])
async def test_f15_shutdown_waits_as_long_as_a_call_may_take(upstream_timeout: float) -> None:
    """Descope has rotated the token and responds just before the timeout; the client has disconnected."""
    process = Process(upstream_timeout=upstream_timeout)
    pair = process.expired_session()
    process.emulator.faults.add("refresh", hold=True, when="after")
    asking = asyncio.create_task(process.request(pair))
    await process.emulator.faults.wait_until_held()
    asking.cancel()
    loop = asyncio.get_running_loop()
    loop.call_later(upstream_timeout - 1, process.emulator.faults.release)
    begun = loop.time()

    await process.descope.aclose()

    assert await process.store.get(pair.refresh_jwt) is not None
    assert loop.time() - begun == pytest.approx(upstream_timeout - 1, abs=0.1)


@pytest.mark.parametrize("upstream_timeout", [0.5, 2.0, 5.0])
async def test_f8_request_waits_for_the_lease_of_a_crashed_process(
    upstream_timeout: float,
) -> None:
    """After five seconds the request refreshes, however short the timeout of a call is: no 503."""
    process = Process(upstream_timeout=upstream_timeout)
    pair = process.expired_session()
    await process.store.acquire(pair.refresh_jwt)

    assert await process.request(pair) == 200
    assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.5)
