"""A logout among refreshes and switches of the same session: nothing revives it (LO-03)."""

import asyncio

import pytest
from typing_extensions import override

from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._refresh.store import Lease, MemoryRefreshStore, RefreshResult
from fastapi_descope.errors import SessionEnded
from fastapi_descope.session import TokenPair
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import DistantStore, StrictDescope

pytestmark = pytest.mark.anyio


class SilentStore(MemoryRefreshStore):
    """Overrules, and does not say what."""

    @override
    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """As in memory, but for the answer."""
        await super().force_set(token, result, ttl)
        return None


class SlowStore(MemoryRefreshStore):
    """Takes most of a second to say anything that a logout asks."""

    @override
    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """As in memory, later."""
        await asyncio.sleep(0.9)
        return await super().acquire(token, ignore_cached=ignore_cached)

    @override
    async def get(self, token: str) -> RefreshResult | None:
        """As in memory, later."""
        await asyncio.sleep(0.9)
        return await super().get(token)

    @override
    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """As in memory, later."""
        await asyncio.sleep(0.9)
        return await super().force_set(token, result, ttl)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Deadlines pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_lo03_a_session_that_was_ended_stays_ended() -> None:
    """For ten minutes nobody asks Descope about it again."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()

    assert await refresher.revoke(held, wait_timeout=1) == "ada/0/acme"

    descope.now += 599
    assert await refresher.refresh(held) == Ended()
    assert await refresher.outcome(held) == Ended()
    assert descope.calls == []
    assert descope.told == []


async def test_a_logout_gets_the_newest_token_and_ends_the_whole_chain() -> None:
    """The presented token is spent; what Descope is told must be the one in force."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(held)
    middle = descope.pair_of("ada/1/acme").refresh
    await refresher.refresh(middle)

    assert await refresher.revoke(held, wait_timeout=1) == "ada/2/acme"

    tokens = [held, middle, descope.pair_of("ada/2/acme").refresh]
    assert [await refresher.refresh(token) for token in tokens] == [Ended()] * 3
    assert len(descope.calls) == 2


async def test_lo03_a_logout_outlasts_the_grace_of_the_refresh_before_it() -> None:
    """The result of that refresh would be forgotten soon; that the session is over is not."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator(grace=30)
    await refresher.refresh(held)
    await refresher.mark_delivered(held)
    await refresher.revoke(held, wait_timeout=1)
    descope.now += 599

    assert await refresher.refresh(held) == Ended()
    assert await refresher.refresh(descope.pair_of("ada/1/acme").refresh) == Ended()
    assert len(descope.calls) == 1


async def test_a_logout_waits_for_a_refresh_and_ends_what_it_brought() -> None:
    """Its token is the one to revoke; those who waited for it have their pair, and it ends with them."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    hanging = descope.hold()
    refresh = asyncio.create_task(refresher.refresh(held))
    await run_ready()
    logout = asyncio.create_task(refresher.revoke(held, wait_timeout=1))
    await run_ready()
    hanging.set()

    assert await logout == "ada/1/acme"
    assert isinstance(await refresh, Renewed)
    assert await refresher.outcome(held) == Ended()
    assert await refresher.refresh(descope.pair_of("ada/1/acme").refresh) == Ended()


async def test_lo03_a_refresh_that_is_too_slow_for_a_logout_revives_nothing() -> None:
    """What it brings is dropped, and whoever waited for it learns that the session is over."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    hanging = descope.hold()
    refresh = asyncio.create_task(refresher.refresh(held))
    await run_ready()

    assert await refresher.revoke(held, wait_timeout=1) == "ada/0/acme"

    assert asyncio.get_running_loop().time() == pytest.approx(1)
    hanging.set()
    assert await refresh == Ended(superseded=True)  # the logout itself clears the cookies
    assert await refresher.refresh(held) == Ended()


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_lo03_a_logout_cancelled_at_any_step_ends_the_session(steps: int) -> None:
    """The client hangs up: the logout goes on, and leaves no lease that the next request would wait for."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator(DistantStore(descope.clock))
    logout = asyncio.create_task(process.revoke(held, wait_timeout=1))
    for _ in range(steps + 1):
        await asyncio.sleep(0)
    logout.cancel()
    await asyncio.wait([logout])

    await process.drain(10)

    assert await process.refresh(held) == Ended()
    assert asyncio.get_running_loop().time() < 1


@pytest.mark.parametrize("steps", range(0, 120, 4))
async def test_lo03_a_logout_beside_a_second_refresh_of_one_token_stands(steps: int) -> None:
    """Without rotation: what is remembered is of no use, and the same token is about to be used again."""
    descope = StrictDescope()
    descope.rotates = False
    store = DistantStore(descope.clock)
    held, process = descope.sign_in(), descope.coordinator(store)
    await store.force_set(held.text, RefreshResult("session of nobody", held.text), 600)
    refresh = asyncio.create_task(process.refresh(held))
    for _ in range(steps):
        await asyncio.sleep(0)
    await store.force_set(held.text, RefreshResult.ended(), 600)
    await refresh

    assert await process.refresh(held) == Ended()


async def test_a_logout_whose_steps_are_not_answered_ends_the_newest_token_too() -> None:
    """The store did what it was told, and its answer, what that took the place of, is lost."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator(SilentStore(descope.clock))
    await process.refresh(held)

    assert await process.revoke(held, wait_timeout=1) == "ada/1/acme"

    assert await process.refresh(descope.pair_of("ada/1/acme").refresh) == Ended()


async def test_a_slow_store_does_not_use_up_the_patience_of_a_logout() -> None:
    """Each step takes it 0.9 seconds: after one second the session is ended, whoever may be at it."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator(SlowStore(descope.clock))

    await process.revoke(held, wait_timeout=1)

    assert asyncio.get_running_loop().time() == pytest.approx(1.9)
    assert await process.refresh(held) == Ended()


async def test_lo03_a_refresh_of_a_newer_token_ends_with_the_session() -> None:
    """The logout came with an old token, while the newest was being refreshed."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(held)
    hanging = descope.hold()
    refresh = asyncio.create_task(refresher.refresh(descope.pair_of("ada/1/acme").refresh))
    await run_ready()

    assert await refresher.revoke(held, wait_timeout=1) == "ada/1/acme"
    hanging.set()

    assert await refresh == Ended(superseded=True)


async def test_lo03_a_logout_does_not_stand_in_a_queue() -> None:
    """Three processes switch one after the other, 0.9 seconds each: it waits one second in all."""
    descope = StrictDescope()
    held = descope.sign_in()
    call, verify = descope.select("globex")

    async def slow(text: str) -> RefreshResult:
        await asyncio.sleep(0.9)
        return await call(text)

    queue = [asyncio.create_task(descope.coordinator().switch(held, slow, verify)) for _ in range(3)]
    await run_ready()

    await descope.coordinator().revoke(held, wait_timeout=1)

    assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.1)
    landed = await asyncio.gather(*queue, return_exceptions=True)
    assert [type(each) for each in landed] == [TokenPair, SessionEnded, SessionEnded]
    assert await descope.coordinator().refresh(held) == Ended()
    assert await descope.coordinator().refresh(descope.pair_of("ada/1/globex").refresh) == Ended()
