"""A logout among refreshes and switches of the same session: nothing revives it (LO-03)."""

import asyncio

import pytest
from typing_extensions import override

from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._refresh.store import Lease, MemoryRefreshStore, RefreshResult
from fastapi_descope.errors import SessionEnded
from fastapi_descope.session import TokenPair
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import RemoteStore, StrictDescope

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


async def test_lo03_revoked_session_stays_ended() -> None:
    """For ten minutes nobody asks Descope about it again."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()

    assert await refresher.revoke(refresh_token, wait_timeout=1) == "ada/0/acme"

    descope.now += 599
    assert await refresher.refresh(refresh_token) == Ended()
    assert await refresher.outcome(refresh_token) == Ended()
    assert descope.calls == []
    assert descope.recorded_events == []


async def test_revoke_returns_the_current_token_and_ends_the_family() -> None:
    """The presented token is spent; what Descope is told must be the one in force."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)
    middle = descope.latest_pair("ada/1/acme").refresh
    await refresher.refresh(middle)

    assert await refresher.revoke(refresh_token, wait_timeout=1) == "ada/2/acme"

    tokens = [refresh_token, middle, descope.latest_pair("ada/2/acme").refresh]
    assert [await refresher.refresh(token) for token in tokens] == [Ended()] * 3
    assert len(descope.calls) == 2


async def test_lo03_logout_is_cached_beyond_the_grace_of_a_refresh() -> None:
    """The result of that refresh would be forgotten soon; that the session is over is not."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator(grace=30)
    await refresher.refresh(refresh_token)
    await refresher.mark_delivered(refresh_token)
    await refresher.revoke(refresh_token, wait_timeout=1)
    descope.now += 599

    assert await refresher.refresh(refresh_token) == Ended()
    assert await refresher.refresh(descope.latest_pair("ada/1/acme").refresh) == Ended()
    assert len(descope.calls) == 1


async def test_revoke_waits_for_a_refresh_and_ends_its_new_session() -> None:
    """Its token is the one to revoke; those who waited for it have their pair, and it ends with them."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    refresh = asyncio.create_task(refresher.refresh(refresh_token))
    await run_ready()
    logout = asyncio.create_task(refresher.revoke(refresh_token, wait_timeout=1))
    await run_ready()
    gate.set()

    assert await logout == "ada/1/acme"
    assert isinstance(await refresh, Renewed)
    assert await refresher.outcome(refresh_token) == Ended()
    assert await refresher.refresh(descope.latest_pair("ada/1/acme").refresh) == Ended()


async def test_lo03_slow_refresh_does_not_revive_the_session() -> None:
    """What it brings is dropped, and whoever waited for it learns that the session is over."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    refresh = asyncio.create_task(refresher.refresh(refresh_token))
    await run_ready()

    assert await refresher.revoke(refresh_token, wait_timeout=1) == "ada/0/acme"

    assert asyncio.get_running_loop().time() == pytest.approx(1)
    gate.set()
    assert await refresh == Ended(superseded=True)  # the logout itself clears the cookies
    assert await refresher.refresh(refresh_token) == Ended()


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_lo03_logout_cancelled_at_any_step_ends_the_session(steps: int) -> None:
    """The client hangs up: the logout goes on, and leaves no lease that the next request would wait for."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(RemoteStore(descope.clock))
    logout = asyncio.create_task(process.revoke(refresh_token, wait_timeout=1))
    for _ in range(steps + 1):
        await asyncio.sleep(0)
    logout.cancel()
    await asyncio.wait([logout])

    await process.drain(10)

    assert await process.refresh(refresh_token) == Ended()
    assert asyncio.get_running_loop().time() < 1


@pytest.mark.parametrize("steps", range(0, 120, 4))
async def test_lo03_repeated_refresh_of_one_token_does_not_undo_a_logout(steps: int) -> None:
    """Without rotation: what is remembered is of no use, and the same token is about to be used again."""
    descope = StrictDescope()
    descope.rotates = False
    store = RemoteStore(descope.clock)
    refresh_token, process = descope.sign_in(), descope.coordinator(store)
    await store.force_set(refresh_token.text, RefreshResult("session of nobody", refresh_token.text), 600)
    refresh = asyncio.create_task(process.refresh(refresh_token))
    for _ in range(steps):
        await asyncio.sleep(0)
    await store.force_set(refresh_token.text, RefreshResult.ended(), 600)
    await refresh

    assert await process.refresh(refresh_token) == Ended()


async def test_revoke_ends_the_current_token_when_store_responses_are_lost() -> None:
    """The store did what it was told, and its answer, what that took the place of, is lost."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(SilentStore(descope.clock))
    await process.refresh(refresh_token)

    assert await process.revoke(refresh_token, wait_timeout=1) == "ada/1/acme"

    assert await process.refresh(descope.latest_pair("ada/1/acme").refresh) == Ended()


async def test_revoke_with_a_slow_store_ends_the_session() -> None:
    """Each step takes it 0.9 seconds: after one second the session is ended, whoever may be at it."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(SlowStore(descope.clock))

    await process.revoke(refresh_token, wait_timeout=1)

    assert asyncio.get_running_loop().time() == pytest.approx(1.9)
    assert await process.refresh(refresh_token) == Ended()


async def test_lo03_logout_with_an_old_token_ends_a_running_refresh() -> None:
    """The logout came with an old token, while the newest was being refreshed."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)
    gate = descope.hold_responses()
    refresh = asyncio.create_task(refresher.refresh(descope.latest_pair("ada/1/acme").refresh))
    await run_ready()

    assert await refresher.revoke(refresh_token, wait_timeout=1) == "ada/1/acme"
    gate.set()

    assert await refresh == Ended(superseded=True)


async def test_lo03_logout_does_not_wait_for_queued_switches() -> None:
    """Three processes switch one after the other, 0.9 seconds each: it waits one second in all."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    call, verify = descope.select_tenant("globex")

    async def slow(text: str) -> RefreshResult:
        await asyncio.sleep(0.9)
        return await call(text)

    queue = [asyncio.create_task(descope.coordinator().switch(refresh_token, slow, verify)) for _ in range(3)]
    await run_ready()

    await descope.coordinator().revoke(refresh_token, wait_timeout=1)

    assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.1)
    landed = await asyncio.gather(*queue, return_exceptions=True)
    assert [type(each) for each in landed] == [TokenPair, SessionEnded, SessionEnded]
    assert await descope.coordinator().refresh(refresh_token) == Ended()
    assert await descope.coordinator().refresh(descope.latest_pair("ada/1/globex").refresh) == Ended()
