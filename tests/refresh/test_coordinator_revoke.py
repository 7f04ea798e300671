"""A logout concurrent with refreshes and switches of the same session: nothing revives it (LO-03)."""

import asyncio

import pytest
from typing_extensions import override

from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.errors import SessionEnded
from fastapi_descope.session import TokenPair
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import RemoteStore, StrictDescope

pytestmark = pytest.mark.anyio


class SilentStore(MemoryRefreshStore):
    """A store whose responses to ``force_set`` are lost."""

    @override
    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """Set the result, but do not return the replaced one."""
        await super().force_set(token, result, ttl)
        return None


class SlowStore(MemoryRefreshStore):
    """A store that takes 0.9 seconds for each operation of a logout."""

    @override
    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """Do as the in-memory store does, 0.9 seconds later."""
        await asyncio.sleep(0.9)
        return await super().acquire(token, ignore_cached=ignore_cached)

    @override
    async def get(self, token: str) -> RefreshResult | None:
        """Do as the in-memory store does, 0.9 seconds later."""
        await asyncio.sleep(0.9)
        return await super().get(token)

    @override
    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """Do as the in-memory store does, 0.9 seconds later."""
        await asyncio.sleep(0.9)
        return await super().force_set(token, result, ttl)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Use a loop in which timeouts take no real time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_lo03_revoked_session_stays_ended() -> None:
    """No request calls Descope for ten minutes."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()

    assert await refresher.revoke(refresh_token, wait_timeout=1) == "ada/0/acme"

    descope.now += 599
    assert await refresher.refresh(refresh_token) == Ended()
    assert await refresher.outcome(refresh_token) == Ended()
    assert descope.calls == []
    assert descope.recorded_events == []


async def test_revoke_returns_the_current_token_and_ends_the_family() -> None:
    """The token of the request is spent, so Descope's logout needs the current one."""
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
    """The result of the refresh expires soon, the end of the session does not."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator(grace=30)
    await refresher.refresh(refresh_token)
    refresher.mark_presented("ada/1/acme")
    await run_ready()
    await refresher.revoke(refresh_token, wait_timeout=1)
    descope.now += 599

    assert await refresher.refresh(refresh_token) == Ended()
    assert await refresher.refresh(descope.latest_pair("ada/1/acme").refresh) == Ended()
    assert len(descope.calls) == 1


async def test_revoke_waits_for_a_refresh_and_ends_its_new_session() -> None:
    """Its token is the one to revoke. The requests that waited have their pair, which ends too."""
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
    """Its result is discarded, and the requests that waited for it get ``Ended``."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    refresh = asyncio.create_task(refresher.refresh(refresh_token))
    await run_ready()

    assert await refresher.revoke(refresh_token, wait_timeout=1) == "ada/0/acme"

    assert asyncio.get_running_loop().time() == pytest.approx(1)
    gate.set()
    assert await refresh == Ended(superseded=True)  # the response to the logout clears the cookies
    assert await refresher.refresh(refresh_token) == Ended()


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_lo03_logout_cancelled_at_any_step_ends_the_session(steps: int) -> None:
    """The client disconnects. The logout continues, and leaves no lease."""
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
    """Without rotation: the cached result is invalid, and the same token is about to be used again."""
    descope = StrictDescope()
    descope.rotates = False
    store = RemoteStore(descope.clock)
    refresh_token, process = descope.sign_in(), descope.coordinator(store)
    await store.force_set(refresh_token.text, RefreshResult("unknown session", refresh_token.text), 600)
    refresh = asyncio.create_task(process.refresh(refresh_token))
    for _ in range(steps):
        await asyncio.sleep(0)
    await store.force_set(refresh_token.text, RefreshResult.ended(), 600)
    await refresh

    assert await process.refresh(refresh_token) == Ended()


async def test_revoke_ends_the_current_token_when_store_responses_are_lost() -> None:
    """The store has set the results, but the replaced ones are unknown."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(SilentStore(descope.clock))
    await process.refresh(refresh_token)

    assert await process.revoke(refresh_token, wait_timeout=1) == "ada/1/acme"

    assert await process.refresh(descope.latest_pair("ada/1/acme").refresh) == Ended()


async def test_revoke_with_a_slow_store_ends_the_session() -> None:
    """Each operation takes 0.9 seconds. After one second the logout no longer waits for the lease."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(SlowStore(descope.clock))

    await process.revoke(refresh_token, wait_timeout=1)

    assert asyncio.get_running_loop().time() == pytest.approx(1.9)
    assert await process.refresh(refresh_token) == Ended()


async def test_lo03_logout_with_an_old_token_ends_a_running_refresh() -> None:
    """The current token was being refreshed."""
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
    """Three processes switch, 0.9 seconds each. The logout waits for one second in all."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    exchange, verify = descope.select_tenant("globex")

    async def slow_exchange(token: str) -> RefreshResult:
        await asyncio.sleep(0.9)
        return await exchange(token)

    queue = [
        asyncio.create_task(descope.coordinator().switch(refresh_token, slow_exchange, verify))
        for _ in range(3)
    ]
    await run_ready()

    await descope.coordinator().revoke(refresh_token, wait_timeout=1)

    assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.1)
    results = await asyncio.gather(*queue, return_exceptions=True)
    assert [type(each) for each in results] == [TokenPair, SessionEnded, SessionEnded]
    assert await descope.coordinator().refresh(refresh_token) == Ended()
    assert await descope.coordinator().refresh(descope.latest_pair("ada/1/globex").refresh) == Ended()
