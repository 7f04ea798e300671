"""The memory of ``MemoryRefreshStore``. Its behaviour is tested in ``contract/test_refresh_store.py``."""

import pickle
import time

import pytest

from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope._refresh.store import Lease, RefreshResult
from tests.helpers.fake_clock import FakeClock

pytestmark = pytest.mark.anyio

RESULT = RefreshResult("session", "refresh", 1_800_000_000)


async def fill(store: MemoryRefreshStore, numbers: range, ttl: float) -> None:
    """Cache a result for a token of each number."""
    for number in numbers:
        await store.force_set(f"token-{number}", RESULT, ttl)


async def test_expired_entries_are_removed_when_there_are_many() -> None:
    """The entry after a thousand removes the expired ones and keeps the others."""
    clock = FakeClock()
    store = MemoryRefreshStore(clock)
    await fill(store, range(1000), 30)
    await fill(store, range(1000, 1024), 3600)
    clock.now += 31
    assert len(store) == 1024
    assert isinstance(await store.acquire("another token"), Lease)
    assert len(store) == 25
    assert [await store.get(f"token-{number}") for number in (999, 1000, 1023)] == [None, RESULT, RESULT]


async def test_expired_entries_are_removed_once_a_minute() -> None:
    """The next refresh after a minute removes them, also for a token that has an entry."""
    clock = FakeClock()
    store = MemoryRefreshStore(clock)
    await fill(store, range(10), 30)
    await fill(store, range(10, 12), 3600)
    clock.now += 59
    await store.acquire("token-11", ignore_cached=True)
    assert len(store) == 12
    clock.now += 1
    await store.acquire("token-11", ignore_cached=True)
    assert len(store) == 2


async def test_entry_with_a_lease_is_not_removed() -> None:
    """A holder keeps its lease, however many tokens come and go."""
    store = MemoryRefreshStore(FakeClock(), lease_seconds=5)
    lease = await store.acquire("held")
    assert isinstance(lease, Lease)
    await fill(store, range(3000), 0)
    assert await store.complete("held", lease, RESULT, 30) is True


async def test_memory_is_bounded_by_live_entries() -> None:
    """Ten thousand expired entries are never in memory together. Ten thousand live ones are."""
    store = MemoryRefreshStore(FakeClock())
    await fill(store, range(10_000), 0)
    assert len(store) <= 1024
    await fill(store, range(10_000), 3600)
    assert len(store) == 10_000


async def test_lease_expires_after_lease_seconds() -> None:
    """A holder that vanished blocks others exactly that long."""
    clock = FakeClock()
    store = MemoryRefreshStore(clock, lease_seconds=7)
    await store.acquire("token")
    clock.now += 6.99
    assert await store.acquire("token") is None
    clock.now += 0.02
    assert isinstance(await store.acquire("token"), Lease)


async def test_reads_of_unknown_tokens_create_no_entry() -> None:
    """They cost no memory."""
    store = MemoryRefreshStore(FakeClock())
    await store.get("unknown")
    await store.mark_presented("unknown", 30)
    assert len(store) == 0


async def test_keys_are_not_tokens() -> None:
    """The refresh token of a result is not in memory with it."""
    store = MemoryRefreshStore(time.monotonic)
    await store.force_set("canary-token", RESULT, 30)
    memory = pickle.dumps(store)
    assert b"session" in memory
    assert b"canary-token" not in memory


async def test_lease_ids_cannot_be_guessed() -> None:
    """Each is 128 random bits."""
    store = MemoryRefreshStore(FakeClock())
    leases = [await store.acquire(f"token-{number}") for number in range(100)]
    ids = {lease.id for lease in leases if isinstance(lease, Lease)}
    assert len(ids) == 100
    assert {len(bytes.fromhex(each)) for each in ids} == {16}


def test_repr_of_a_result_hides_its_tokens() -> None:
    """``repr`` shows ``refresh_at``, and neither token (LG-02)."""
    assert repr(RESULT) == "RefreshResult(refresh_at=1800000000, superseded=False)"


def test_result_without_session_token_is_ended() -> None:
    """With one it is not."""
    assert RefreshResult.ended().is_ended is True
    assert RefreshResult.ended() == RefreshResult(None, None)
    assert RESULT.is_ended is False
    assert RefreshResult("session", None).is_ended is False
