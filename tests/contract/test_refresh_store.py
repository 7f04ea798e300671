"""What every refresh store promises, whatever it keeps its results in (requirements RF-03, RF-04, RF-16)."""

import asyncio

import pytest

from fastapi_descope._refresh.store import Lease, RefreshResult, RefreshStore

from .conftest import Bench

pytestmark = pytest.mark.anyio

TOKEN = "canary-head.canary-body.canary-seal"
FIRST = RefreshResult("first-session", "first-refresh", 1_800_000_000.25)
SECOND = RefreshResult("second-session", "second-refresh")
LONG = 3600.0


async def lease_of(store: RefreshStore, token: str = TOKEN, *, anew: bool = False) -> Lease:
    """The lease that a store grants, as it has to."""
    begun = await store.acquire(token, ignore_cached=anew)
    assert isinstance(begun, Lease)
    return begun


async def remember(store: RefreshStore, result: RefreshResult, seconds: float, token: str = TOKEN) -> None:
    """A refresh from its beginning to its end."""
    assert await store.complete(token, await lease_of(store, token), result, seconds)


async def test_unknown_token_gets_a_lease(bench: Bench) -> None:
    """Nothing is remembered of it, so whoever asks first may refresh."""
    assert await bench.store.get(TOKEN) is None
    await lease_of(bench.store)


@pytest.mark.parametrize(
    "result",
    [
        FIRST,
        SECOND,
        RefreshResult("session", None),
        RefreshResult.ended(),
        RefreshResult("š\ud7ff\x00\N{GRINNING FACE}", '"\\', 1_800_000_000),
    ],
)
async def test_result_is_returned_unchanged(bench: Bench, result: RefreshResult) -> None:
    """Every field, for the process that refreshed and for every other."""
    await remember(bench.store, result, 30)
    for store in (bench.store, bench.other):
        assert await store.get(TOKEN) == result
        assert await store.acquire(TOKEN) == result


async def test_result_expires_after_its_ttl(bench: Bench) -> None:
    """After its seconds it is gone for everybody, and the token may be refreshed again."""
    await remember(bench.store, FIRST, 30)
    bench.elapse(29)
    assert await bench.other.get(TOKEN) == FIRST
    bench.elapse(1.1)
    assert await bench.other.get(TOKEN) is None
    assert await bench.store.get(TOKEN) is None
    await lease_of(bench.store)


@pytest.mark.parametrize("seconds", [0.0, -5.0])
async def test_result_without_ttl_replaces_and_expires_at_once(bench: Bench, seconds: float) -> None:
    """A result without a future is not remembered, and replaces what was."""
    await remember(bench.store, FIRST, 30)
    lease = await lease_of(bench.store, anew=True)
    assert await bench.store.complete(TOKEN, lease, SECOND, seconds)
    assert await bench.other.get(TOKEN) is None
    assert await bench.store.get(TOKEN) is None


async def test_token_has_one_lease_at_a_time(bench: Bench) -> None:
    """While somebody refreshes, nobody else does, whether they want any result or a newer one."""
    lease = await lease_of(bench.store)
    for store in (bench.store, bench.other):
        assert await store.acquire(TOKEN) is None
        assert await store.acquire(TOKEN, ignore_cached=True) is None
    assert await bench.store.complete(TOKEN, lease, None, 0)
    await lease_of(bench.other)


@pytest.mark.parametrize("anew", [False, True])
async def test_fifty_concurrent_callers_get_one_lease(bench: Bench, *, anew: bool) -> None:
    """Of fifty that begin at once, from two processes, one refreshes (RF-02, RF-03)."""
    stores = [bench.store, bench.other] * 25
    begun = await asyncio.gather(*(store.acquire(TOKEN, ignore_cached=anew) for store in stores))
    assert [type(each) for each in begun].count(type(None)) == 49


async def test_fifty_concurrent_callers_get_the_cached_result(bench: Bench) -> None:
    """Fifty latecomers are served from memory, all of them."""
    await remember(bench.store, FIRST, 30)
    begun = await asyncio.gather(*(bench.other.acquire(TOKEN) for _ in range(50)))
    assert begun == [FIRST] * 50


async def test_tokens_are_independent(bench: Bench) -> None:
    """A lease and a result belong to one token."""
    await remember(bench.store, FIRST, 30, token="one")
    lease = await lease_of(bench.store, "two")
    assert await bench.store.get("two") is None
    assert await bench.store.complete("one", lease, SECOND, 30) is False
    assert await bench.store.get("one") == FIRST
    await lease_of(bench.other, "three")


async def test_lease_of_a_vanished_holder_expires(bench: Bench) -> None:
    """A lease that is never given back ends by itself (fault scenario F8)."""
    await lease_of(bench.store)
    bench.elapse(61)
    await lease_of(bench.store)


async def test_expired_lease_cannot_overwrite(bench: Bench) -> None:
    """Whoever lost the lease to another is told so, and changes nothing (RF-03)."""
    late = await lease_of(bench.store)
    bench.elapse(61)
    newer = await lease_of(bench.other)
    assert await bench.store.complete(TOKEN, late, FIRST, LONG) is False
    assert await bench.store.get(TOKEN) is None
    assert await bench.other.acquire(TOKEN) is None
    assert await bench.other.complete(TOKEN, newer, SECOND, LONG) is True
    assert await bench.store.get(TOKEN) == SECOND
    assert await bench.store.complete(TOKEN, late, FIRST, LONG) is False
    assert await bench.other.get(TOKEN) == SECOND


async def test_lease_is_valid_for_one_complete(bench: Bench) -> None:
    """The second time it is lost."""
    lease = await lease_of(bench.store)
    assert await bench.store.complete(TOKEN, lease, FIRST, 30) is True
    assert await bench.store.complete(TOKEN, lease, SECOND, 30) is False
    assert await bench.store.get(TOKEN) == FIRST


async def test_complete_without_result_releases_the_lease_only(bench: Bench) -> None:
    """Giving the lease back without a result leaves nothing, or what was there before."""
    assert await bench.store.complete(TOKEN, await lease_of(bench.store), None, 30) is True
    assert await bench.other.get(TOKEN) is None
    await remember(bench.store, FIRST, 30)
    lease = await lease_of(bench.store, anew=True)
    assert await bench.store.complete(TOKEN, lease, None, 30) is True
    assert await bench.other.get(TOKEN) == FIRST


async def test_result_is_replaced_with_ignore_cached(bench: Bench) -> None:
    """Anew passes over what is remembered; until it is done, others still get the old result."""
    await remember(bench.store, FIRST, LONG)
    lease = await lease_of(bench.other, anew=True)
    assert await bench.store.acquire(TOKEN) == FIRST
    assert await bench.other.acquire(TOKEN) == FIRST
    assert await bench.other.complete(TOKEN, lease, SECOND, LONG) is True
    assert await bench.store.get(TOKEN) == SECOND
    assert await bench.other.get(TOKEN) == SECOND


async def test_force_set_revokes_the_lease(bench: Bench) -> None:
    """A logout during a refresh stands: the refresh cannot revive the session (LO-03)."""
    lease = await lease_of(bench.store)
    await bench.other.force_set(TOKEN, RefreshResult.ended(), LONG)
    assert await bench.store.complete(TOKEN, lease, FIRST, LONG) is False
    for store in (bench.store, bench.other):
        assert await store.acquire(TOKEN) == RefreshResult.ended()


async def test_force_set_returns_the_replaced_result(bench: Bench) -> None:
    """What a holder brought before is handed over; what it brings later is lost (LO-03)."""
    assert await bench.store.force_set("unknown", RefreshResult.ended(), LONG) is None
    await remember(bench.store, FIRST, LONG)
    assert await bench.other.force_set(TOKEN, RefreshResult.ended(), 30) == FIRST
    assert await bench.store.force_set(TOKEN, SECOND, 30) == RefreshResult.ended()
    bench.elapse(31)
    assert await bench.other.force_set(TOKEN, FIRST, LONG) is None


async def test_force_set_without_a_lease_replaces_the_result(bench: Bench) -> None:
    """What is remembered is replaced, and the token is free for a newer result."""
    await remember(bench.store, FIRST, LONG)
    await bench.other.force_set(TOKEN, SECOND, 30)
    assert await bench.store.get(TOKEN) == SECOND
    await lease_of(bench.other, anew=True)


async def test_reduce_ttl_expires_the_result_sooner(bench: Bench) -> None:
    """A result that was to stay an hour is gone after the seconds it was left (RF-04)."""
    await remember(bench.store, FIRST, LONG)
    await bench.store.reduce_ttl(TOKEN, 30)
    bench.elapse(29)
    assert await bench.other.get(TOKEN) == FIRST
    bench.elapse(1.1)
    assert await bench.other.get(TOKEN) is None
    assert await bench.store.get(TOKEN) is None


async def test_reduce_ttl_never_extends(bench: Bench) -> None:
    """A result that is to go sooner goes sooner."""
    await remember(bench.store, FIRST, 10)
    await bench.store.reduce_ttl(TOKEN, LONG)
    bench.elapse(10.1)
    assert await bench.store.get(TOKEN) is None
    assert await bench.other.get(TOKEN) is None


async def test_reduce_ttl_keeps_the_end_of_a_session(bench: Bench) -> None:
    """A response that went out beside a logout makes nobody forget the logout (LO-03)."""
    await remember(bench.store, FIRST, LONG)
    await bench.other.force_set(TOKEN, RefreshResult.ended(), LONG)
    await bench.store.reduce_ttl(TOKEN, 30)
    bench.elapse(60)
    assert await bench.other.get(TOKEN) == RefreshResult.ended()
    assert await bench.store.get(TOKEN) == RefreshResult.ended()


async def test_reduce_ttl_to_zero_expires_at_once(bench: Bench) -> None:
    """No seconds left is forgotten at once; of an unknown token there is nothing to forget."""
    await remember(bench.store, FIRST, LONG)
    await bench.store.reduce_ttl(TOKEN, 0)
    assert await bench.other.get(TOKEN) is None
    await bench.store.reduce_ttl("unknown", 30)
    assert await bench.store.get("unknown") is None


async def test_closing_keeps_results(bench: Bench) -> None:
    """A store that was closed can be used again, and knows what it knew."""
    await remember(bench.store, FIRST, LONG)
    await bench.store.aclose()
    assert await bench.store.get(TOKEN) == FIRST
    await lease_of(bench.store, anew=True)


async def test_repr_hides_tokens(bench: Bench) -> None:
    """Neither the store nor a lease has a token in its ``repr`` (LG-02)."""
    lease = await lease_of(bench.store)
    shown = repr((bench.store, lease))
    assert await bench.store.complete(TOKEN, lease, FIRST, 30)
    shown += repr((bench.store, FIRST))
    assert "canary" not in shown
    assert "first-" not in shown
