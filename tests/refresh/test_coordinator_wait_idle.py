"""The current token of a session that no process is refreshing (RF-05)."""

import asyncio
from contextlib import suppress

import pytest

from fastapi_descope._refresh.outcome import Renewed
from fastapi_descope._refresh.store import Lease
from fastapi_descope.errors import UpstreamUnavailable
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import RemoteStore, StrictDescope

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Use a loop in which timeouts take no real time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_idle_session_returns_its_token_and_releases_the_lease() -> None:
    """No call is made."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator()

    assert await process.wait_idle(refresh_token.text) == "ada/0/acme"

    assert descope.calls == []
    assert isinstance(await descope.store.acquire(refresh_token.text), Lease)


async def test_waits_for_a_refresh_in_another_process_and_returns_its_token() -> None:
    """The token of the running refresh is the current one."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    here, elsewhere = descope.coordinator(), descope.coordinator()
    gate = descope.hold_responses()
    refresh = asyncio.create_task(elsewhere.refresh(refresh_token))
    await run_ready()
    waiting = asyncio.create_task(here.wait_idle(refresh_token.text))
    await run_ready()
    gate.set()

    assert await waiting == "ada/1/acme"
    assert isinstance(await refresh, Renewed)


async def test_logged_out_session_has_no_current_token() -> None:
    """The result is None."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator()
    await process.revoke(refresh_token, wait_timeout=1)

    assert await process.wait_idle(refresh_token.text) is None


async def test_fails_when_another_process_holds_the_lease_too_long() -> None:
    """After six seconds it raises ``UpstreamUnavailable``."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(wait_timeout=6)
    await descope.store.acquire(refresh_token.text)

    with pytest.raises(UpstreamUnavailable):
        await process.wait_idle(refresh_token.text)

    assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("steps", range(0, 60, 5))
async def test_cancelling_at_any_step_leaves_no_lease(steps: int) -> None:
    """The next request refreshes without waiting."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(RemoteStore(descope.clock))
    waiting = asyncio.create_task(process.wait_idle(refresh_token.text))
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting

    assert await process.refresh(refresh_token) == Renewed(descope.latest_pair("ada/1/acme"))
    assert asyncio.get_running_loop().time() < 1
