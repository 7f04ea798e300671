"""The newest token once nobody is at the session any more, in no process (RF-05)."""

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
    """Deadlines pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_idle_session_returns_its_token_and_releases_the_lease() -> None:
    """Nothing is asked of Descope, and the right to refresh is free afterwards."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator()

    assert await process.wait_idle(refresh_token.text) == "ada/0/acme"

    assert descope.calls == []
    assert isinstance(await descope.store.acquire(refresh_token.text), Lease)


async def test_waits_for_a_refresh_in_another_process_and_returns_its_token() -> None:
    """A refresh is under way there: its token is the newest."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    here, elsewhere = descope.coordinator(), descope.coordinator()
    gate = descope.hold_responses()
    refreshing = asyncio.create_task(elsewhere.refresh(refresh_token))
    await run_ready()
    settling = asyncio.create_task(here.wait_idle(refresh_token.text))
    await run_ready()
    gate.set()

    assert await settling == "ada/1/acme"
    assert isinstance(await refreshing, Renewed)


async def test_logged_out_session_has_no_current_token() -> None:
    """It is over, which is an answer."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator()
    await process.revoke(refresh_token, wait_timeout=1)

    assert await process.wait_idle(refresh_token.text) is None


async def test_fails_when_another_process_holds_the_lease_too_long() -> None:
    """Six seconds, then nothing is known."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(wait_timeout=6)
    await descope.store.acquire(refresh_token.text)

    with pytest.raises(UpstreamUnavailable):
        await process.wait_idle(refresh_token.text)

    assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("steps", range(0, 60, 5))
async def test_cancelling_at_any_step_leaves_no_lease(steps: int) -> None:
    """The next request refreshes without waiting for anybody."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(RemoteStore(descope.clock))
    settling = asyncio.create_task(process.wait_idle(refresh_token.text))
    for _ in range(steps):
        await asyncio.sleep(0)
    settling.cancel()
    with suppress(asyncio.CancelledError):
        await settling

    assert await process.refresh(refresh_token) == Renewed(descope.latest_pair("ada/1/acme"))
    assert asyncio.get_running_loop().time() < 1
