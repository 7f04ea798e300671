"""The contract of every ``RefreshStore`` (requirements RF-03, RF-04, RF-16)."""

import asyncio
from itertools import pairwise

import pytest

from fastapi_descope._refresh.store import Lease, RefreshResult, RefreshStore

from .conftest import StorePair

pytestmark = pytest.mark.anyio

TOKEN = "canary-head.canary-body.canary-seal"
FIRST = RefreshResult("first-session", "first-refresh", 1_800_000_000.25)
SECOND = RefreshResult("second-session", "second-refresh")
LONG = 3600.0


async def acquire_lease(store: RefreshStore, token: str = TOKEN, *, ignore_cached: bool = False) -> Lease:
    """Acquire the lease, which must be free."""
    acquired = await store.acquire(token, ignore_cached=ignore_cached)
    assert isinstance(acquired, Lease)
    return acquired


async def cache_result(store: RefreshStore, result: RefreshResult, ttl: float, token: str = TOKEN) -> None:
    """Acquire the lease and complete it with a result."""
    assert await store.complete(token, await acquire_lease(store, token), result, ttl)


async def is_delivered(store: RefreshStore, token: str = TOKEN) -> bool:
    """Return whether the result, which must be cached, is marked as delivered."""
    results = [await store.get(token), await store.acquire(token)]
    delivered = {result.delivered for result in results if isinstance(result, RefreshResult)}
    assert len(delivered) == 1, results
    return delivered.pop()


async def test_unknown_token_gets_a_lease(stores: StorePair) -> None:
    """Nothing is cached, so the first caller may refresh."""
    assert await stores.store.get(TOKEN) is None
    await acquire_lease(stores.store)


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
async def test_result_is_returned_unchanged(stores: StorePair, result: RefreshResult) -> None:
    """Every field is returned, to the process that refreshed and to any other."""
    await cache_result(stores.store, result, 30)
    for store in (stores.store, stores.other):
        assert await store.get(TOKEN) == result
        assert await store.acquire(TOKEN) == result


async def test_result_expires_after_its_ttl(stores: StorePair) -> None:
    """It is gone for every process, and the token can be refreshed again."""
    await cache_result(stores.store, FIRST, 30)
    stores.advance(29)
    assert await stores.other.get(TOKEN) == FIRST
    stores.advance(1.1)
    assert await stores.other.get(TOKEN) is None
    assert await stores.store.get(TOKEN) is None
    await acquire_lease(stores.store)


@pytest.mark.parametrize("ttl", [0.0, -5.0])
async def test_result_without_ttl_replaces_and_expires_at_once(stores: StorePair, ttl: float) -> None:
    """The previous result is gone too."""
    await cache_result(stores.store, FIRST, 30)
    lease = await acquire_lease(stores.store, ignore_cached=True)
    assert await stores.store.complete(TOKEN, lease, SECOND, ttl)
    assert await stores.other.get(TOKEN) is None
    assert await stores.store.get(TOKEN) is None


async def test_token_has_one_lease_at_a_time(stores: StorePair) -> None:
    """While it is held, no caller gets it, with or without ``ignore_cached``."""
    lease = await acquire_lease(stores.store)
    for store in (stores.store, stores.other):
        assert await store.acquire(TOKEN) is None
        assert await store.acquire(TOKEN, ignore_cached=True) is None
    assert await stores.store.complete(TOKEN, lease, None, 0)
    await acquire_lease(stores.other)


@pytest.mark.parametrize("ignore_cached", [False, True])
async def test_fifty_concurrent_callers_get_one_lease(stores: StorePair, *, ignore_cached: bool) -> None:
    """Of callers in two processes, one refreshes (RF-02, RF-03)."""
    callers = [stores.store, stores.other] * 25
    acquired = await asyncio.gather(*(store.acquire(TOKEN, ignore_cached=ignore_cached) for store in callers))
    assert [type(each) for each in acquired].count(type(None)) == 49


async def test_fifty_concurrent_callers_get_the_cached_result(stores: StorePair) -> None:
    """None of them gets a lease."""
    await cache_result(stores.store, FIRST, 30)
    acquired = await asyncio.gather(*(stores.other.acquire(TOKEN) for _ in range(50)))
    assert acquired == [FIRST] * 50


async def test_tokens_are_independent(stores: StorePair) -> None:
    """A lease and a result belong to one token."""
    await cache_result(stores.store, FIRST, 30, token="one")
    lease = await acquire_lease(stores.store, "two")
    assert await stores.store.get("two") is None
    assert await stores.store.complete("one", lease, SECOND, 30) is False
    assert await stores.store.get("one") == FIRST
    await acquire_lease(stores.other, "three")


async def test_lease_of_a_vanished_holder_expires(stores: StorePair) -> None:
    """A lease that is never released expires by itself (fault scenario F8)."""
    await acquire_lease(stores.store)
    stores.advance(61)
    await acquire_lease(stores.store)


async def test_expired_lease_cannot_overwrite(stores: StorePair) -> None:
    """``complete`` returns False after another process got the lease, and changes nothing (RF-03)."""
    expired = await acquire_lease(stores.store)
    stores.advance(61)
    newer = await acquire_lease(stores.other)
    assert await stores.store.complete(TOKEN, expired, FIRST, LONG) is False
    assert await stores.store.get(TOKEN) is None
    assert await stores.other.acquire(TOKEN) is None
    assert await stores.other.complete(TOKEN, newer, SECOND, LONG) is True
    assert await stores.store.get(TOKEN) == SECOND
    assert await stores.store.complete(TOKEN, expired, FIRST, LONG) is False
    assert await stores.other.get(TOKEN) == SECOND


async def test_lease_is_valid_for_one_complete(stores: StorePair) -> None:
    """The second call returns False."""
    lease = await acquire_lease(stores.store)
    assert await stores.store.complete(TOKEN, lease, FIRST, 30) is True
    assert await stores.store.complete(TOKEN, lease, SECOND, 30) is False
    assert await stores.store.get(TOKEN) == FIRST


async def test_complete_without_result_releases_the_lease_only(stores: StorePair) -> None:
    """A cached result stays."""
    assert await stores.store.complete(TOKEN, await acquire_lease(stores.store), None, 30) is True
    assert await stores.other.get(TOKEN) is None
    await cache_result(stores.store, FIRST, 30)
    lease = await acquire_lease(stores.store, ignore_cached=True)
    assert await stores.store.complete(TOKEN, lease, None, 30) is True
    assert await stores.other.get(TOKEN) == FIRST


async def test_result_is_replaced_with_ignore_cached(stores: StorePair) -> None:
    """Until the new result is stored, other callers get the old one."""
    await cache_result(stores.store, FIRST, LONG)
    lease = await acquire_lease(stores.other, ignore_cached=True)
    assert await stores.store.acquire(TOKEN) == FIRST
    assert await stores.other.acquire(TOKEN) == FIRST
    assert await stores.other.complete(TOKEN, lease, SECOND, LONG) is True
    assert await stores.store.get(TOKEN) == SECOND
    assert await stores.other.get(TOKEN) == SECOND


async def test_force_set_revokes_the_lease(stores: StorePair) -> None:
    """A refresh cannot revive the session after a concurrent logout (LO-03)."""
    lease = await acquire_lease(stores.store)
    await stores.other.force_set(TOKEN, RefreshResult.ended(), LONG)
    assert await stores.store.complete(TOKEN, lease, FIRST, LONG) is False
    for store in (stores.store, stores.other):
        assert await store.acquire(TOKEN) == RefreshResult.ended()


async def test_force_set_returns_the_replaced_result(stores: StorePair) -> None:
    """The result of an earlier ``complete`` is returned. A later one is discarded (LO-03)."""
    assert await stores.store.force_set("unknown", RefreshResult.ended(), LONG) is None
    await cache_result(stores.store, FIRST, LONG)
    assert await stores.other.force_set(TOKEN, RefreshResult.ended(), 30) == FIRST
    assert await stores.store.force_set(TOKEN, SECOND, 30) == RefreshResult.ended()
    stores.advance(31)
    assert await stores.other.force_set(TOKEN, FIRST, LONG) is None


async def test_force_set_without_a_lease_replaces_the_result(stores: StorePair) -> None:
    """The lease stays free."""
    await cache_result(stores.store, FIRST, LONG)
    await stores.other.force_set(TOKEN, SECOND, 30)
    assert await stores.store.get(TOKEN) == SECOND
    await acquire_lease(stores.other, ignore_cached=True)


async def test_presented_token_expires_the_result_that_led_to_it(stores: StorePair) -> None:
    """The browser has received it. Until then the result keeps its TTL (RF-04)."""
    await cache_result(stores.store, FIRST, LONG)
    stores.advance(100)
    await stores.other.mark_presented("first-refresh", 30)
    stores.advance(29)
    for store in (stores.store, stores.other):
        assert await store.get(TOKEN) == FIRST
    stores.advance(1.1)
    assert await stores.other.get(TOKEN) is None
    assert await stores.store.get(TOKEN) is None


async def test_presented_token_marks_the_result_as_delivered(stores: StorePair) -> None:
    """For every process."""
    await cache_result(stores.store, FIRST, LONG)
    for store in (stores.store, stores.other):
        assert await is_delivered(store) is False
    await stores.other.mark_presented("first-refresh", 30)
    for store in (stores.store, stores.other):
        assert await is_delivered(store) is True


async def test_presented_token_expires_all_results_that_led_to_it(stores: StorePair) -> None:
    """The browser has received the last of three tokens, and will send none of those before it."""
    tokens = ["zero", "one", "two", "three"]
    for old, new in pairwise(tokens):
        await cache_result(stores.store, RefreshResult("session", new), LONG, token=old)
    await stores.other.mark_presented("two", 30)
    stores.advance(30.1)
    assert await stores.other.get("zero") is None
    assert await stores.other.get("one") is None
    assert await stores.other.get("two") == RefreshResult("session", "three")


async def test_presented_token_does_not_expire_its_own_result(stores: StorePair) -> None:
    """It was replaced before the browser sent it. The next response carries its successor."""
    await cache_result(stores.store, FIRST, LONG)
    await cache_result(stores.store, SECOND, LONG, token="first-refresh")
    await stores.store.mark_presented("first-refresh", 30)
    stores.advance(60)
    assert await stores.other.get("first-refresh") == SECOND
    assert await is_delivered(stores.other, "first-refresh") is False


async def test_presented_token_never_extends_a_ttl(stores: StorePair) -> None:
    """A result with a shorter TTL keeps it, and a second request with the token does not restart the time."""
    await cache_result(stores.store, FIRST, 10)
    await stores.store.mark_presented("first-refresh", LONG)
    stores.advance(10.1)
    assert await stores.store.get(TOKEN) is None
    await cache_result(stores.store, SECOND, LONG)
    await stores.store.mark_presented("second-refresh", 30)
    stores.advance(20)
    await stores.other.mark_presented("second-refresh", 30)
    stores.advance(10.1)
    assert await stores.other.get(TOKEN) is None


async def test_presented_token_keeps_the_end_of_a_session(stores: StorePair) -> None:
    """A request concurrent with a logout does not shorten the effect of the logout (LO-03)."""
    await cache_result(stores.store, FIRST, LONG)
    await stores.other.force_set(TOKEN, RefreshResult.ended(), LONG)
    await stores.store.mark_presented("first-refresh", 30)
    stores.advance(60)
    assert await stores.other.get(TOKEN) == RefreshResult.ended()
    assert await stores.store.get(TOKEN) == RefreshResult.ended()


async def test_presented_token_may_expire_the_result_at_once(stores: StorePair) -> None:
    """Without a grace period."""
    await cache_result(stores.store, FIRST, LONG)
    await stores.store.mark_presented("first-refresh", 0)
    assert await stores.other.get(TOKEN) is None
    assert await stores.store.get(TOKEN) is None


@pytest.mark.parametrize("refresh_jwt", [TOKEN, None])
async def test_presented_token_without_rotation_changes_nothing(
    stores: StorePair, refresh_jwt: str | None
) -> None:
    """The token is its own successor."""
    result = RefreshResult("session", refresh_jwt)
    await cache_result(stores.store, result, LONG)
    await stores.store.mark_presented(TOKEN, 30)
    stores.advance(31)
    assert await stores.other.get(TOKEN) == result
    assert await is_delivered(stores.other) is False


async def test_presented_token_that_no_result_led_to_changes_nothing(stores: StorePair) -> None:
    """As after a login, or after ten minutes."""
    await stores.store.mark_presented("unknown", 30)
    assert await stores.store.get("unknown") is None
    await cache_result(stores.store, FIRST, 10)
    stores.advance(11)
    await stores.store.mark_presented("first-refresh", 30)
    await acquire_lease(stores.store)


async def test_tokens_that_replace_each_other_do_not_hang(stores: StorePair) -> None:
    """Descope never sends them, but a store must not rely on it."""
    await cache_result(stores.store, RefreshResult("session", "two"), LONG, token="one")
    await cache_result(stores.store, RefreshResult("session", "one"), LONG, token="two")
    await stores.store.mark_presented("one", 30)
    stores.advance(31)
    assert await stores.other.get("two") is None


async def test_closing_keeps_results(stores: StorePair) -> None:
    """A closed store can be used again."""
    await cache_result(stores.store, FIRST, LONG)
    await stores.store.aclose()
    assert await stores.store.get(TOKEN) == FIRST
    await acquire_lease(stores.store, ignore_cached=True)


async def test_repr_hides_tokens(stores: StorePair) -> None:
    """Neither the store nor a lease has a token in its ``repr`` (LG-02)."""
    lease = await acquire_lease(stores.store)
    output = repr((stores.store, lease))
    assert await stores.store.complete(TOKEN, lease, FIRST, 30)
    output += repr((stores.store, FIRST))
    assert "canary" not in output
    assert "first-" not in output
