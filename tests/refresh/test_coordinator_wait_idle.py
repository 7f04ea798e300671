"""The newest token once nobody is at the session any more, in no process (RF-05)."""

import asyncio
from contextlib import suppress

import pytest

from fastapi_descope._refresh.outcome import Renewed
from fastapi_descope._refresh.store import Lease
from fastapi_descope.errors import UpstreamUnavailable
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import DistantStore, StrictDescope

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Deadlines pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_a_session_at_rest_is_settled_as_it_is() -> None:
    """Nothing is asked of Descope, and the right to refresh is free afterwards."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator()

    assert await process.wait_idle(held.text) == "ada/0/acme"

    assert descope.calls == []
    assert isinstance(await descope.store.acquire(held.text), Lease)


async def test_it_waits_for_another_process_and_follows_the_chain() -> None:
    """A refresh is under way there: its token is the newest."""
    descope = StrictDescope()
    held = descope.sign_in()
    here, elsewhere = descope.coordinator(), descope.coordinator()
    hanging = descope.hold()
    refreshing = asyncio.create_task(elsewhere.refresh(held))
    await run_ready()
    settling = asyncio.create_task(here.wait_idle(held.text))
    await run_ready()
    hanging.set()

    assert await settling == "ada/1/acme"
    assert isinstance(await refreshing, Renewed)


async def test_a_session_that_was_signed_out_has_no_newest_token() -> None:
    """It is over, which is an answer."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator()
    await process.revoke(held, wait_timeout=1)

    assert await process.wait_idle(held.text) is None


async def test_it_does_not_wait_for_ever() -> None:
    """Six seconds, then nothing is known."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator(patience=6)
    await descope.store.acquire(held.text)

    with pytest.raises(UpstreamUnavailable):
        await process.wait_idle(held.text)

    assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("steps", range(0, 60, 5))
async def test_whoever_is_cancelled_at_any_step_leaves_no_lease_behind(steps: int) -> None:
    """The next request refreshes without waiting for anybody."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator(DistantStore(descope.clock))
    settling = asyncio.create_task(process.wait_idle(held.text))
    for _ in range(steps):
        await asyncio.sleep(0)
    settling.cancel()
    with suppress(asyncio.CancelledError):
        await settling

    assert await process.refresh(held) == Renewed(descope.pair_of("ada/1/acme"))
    assert asyncio.get_running_loop().time() < 1
