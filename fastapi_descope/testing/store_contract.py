"""The contract of every ``RefreshStore``, as tests that run against a store of your own.

    class TestMyStore(RefreshStoreContract):
        @pytest.fixture
        async def stores(self) -> AsyncIterator[StorePair]:
            ...

The tests are coroutines and run with anyio's pytest plugin on asyncio.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from ..stores import Lease, RefreshResult, RefreshStore

__all__ = ["RefreshStoreContract", "StorePair"]

_TOKEN = "canary-head.canary-body.canary-seal"
_FIRST = RefreshResult("first-session", "first-refresh", 1_800_000_000.25)
_SECOND = RefreshResult("second-session", "second-refresh")
_LONG = 3600.0


@dataclass(frozen=True, slots=True)
class StorePair:
    """The stores of two processes, which may be the same object if there is only one process.

    Attributes:
        store: the store of one process.
        other: the store of another one.
        advance: advances the clock of both by seconds.
    """

    store: RefreshStore
    other: RefreshStore
    advance: Callable[[float], None]


@pytest.mark.anyio
class RefreshStoreContract:
    """The contract of every ``RefreshStore``. Its fixture ``stores`` returns a ``StorePair``.

    A lease must expire within a minute.
    """

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on asyncio, as the package does."""
        return "asyncio"

    async def test_unknown_token_gets_a_lease(self, stores: StorePair) -> None:
        """Nothing is cached, so the first caller may refresh."""
        assert await stores.store.get(_TOKEN) is None
        await _acquire_lease(stores.store)

    @pytest.mark.parametrize(
        "result",
        [
            _FIRST,
            _SECOND,
            RefreshResult("session", None),
            RefreshResult.ended(),
            RefreshResult("š\ud7ff\x00\N{GRINNING FACE}", '"\\', 1_800_000_000),
        ],
    )
    async def test_result_is_returned_unchanged(self, stores: StorePair, result: RefreshResult) -> None:
        """Every field is returned, to the process that refreshed and to any other."""
        await _cache_result(stores.store, result, 30)
        for store in (stores.store, stores.other):
            assert await store.get(_TOKEN) == result
            assert await store.acquire(_TOKEN) == result

    async def test_result_expires_after_its_ttl(self, stores: StorePair) -> None:
        """It is gone for every process, and the token can be refreshed again."""
        await _cache_result(stores.store, _FIRST, 30)
        stores.advance(29)
        assert await stores.other.get(_TOKEN) == _FIRST
        stores.advance(1.1)
        assert await stores.other.get(_TOKEN) is None
        assert await stores.store.get(_TOKEN) is None
        await _acquire_lease(stores.store)

    @pytest.mark.parametrize("ttl", [0.0, -5.0])
    async def test_result_without_ttl_replaces_and_expires_at_once(
        self, stores: StorePair, ttl: float
    ) -> None:
        """The previous result is gone too."""
        await _cache_result(stores.store, _FIRST, 30)
        lease = await _acquire_lease(stores.store, ignore_cached=True)
        assert await stores.store.complete(_TOKEN, lease, _SECOND, ttl)
        assert await stores.other.get(_TOKEN) is None
        assert await stores.store.get(_TOKEN) is None

    async def test_token_has_one_lease_at_a_time(self, stores: StorePair) -> None:
        """While it is held, no caller gets it, with or without ``ignore_cached``."""
        lease = await _acquire_lease(stores.store)
        for store in (stores.store, stores.other):
            assert await store.acquire(_TOKEN) is None
            assert await store.acquire(_TOKEN, ignore_cached=True) is None
        assert await stores.store.complete(_TOKEN, lease, None, 0)
        await _acquire_lease(stores.other)

    @pytest.mark.parametrize("ignore_cached", [False, True])
    async def test_fifty_concurrent_callers_get_one_lease(
        self, stores: StorePair, *, ignore_cached: bool
    ) -> None:
        """Of callers in two processes, one refreshes."""
        callers = [stores.store, stores.other] * 25
        acquired = await asyncio.gather(
            *(store.acquire(_TOKEN, ignore_cached=ignore_cached) for store in callers)
        )
        assert [type(each) for each in acquired].count(type(None)) == 49

    async def test_fifty_concurrent_callers_get_the_cached_result(self, stores: StorePair) -> None:
        """None of them gets a lease."""
        await _cache_result(stores.store, _FIRST, 30)
        acquired = await asyncio.gather(*(stores.other.acquire(_TOKEN) for _ in range(50)))
        assert acquired == [_FIRST] * 50

    async def test_tokens_are_independent(self, stores: StorePair) -> None:
        """A lease and a result belong to one token."""
        await _cache_result(stores.store, _FIRST, 30, token="one")
        lease = await _acquire_lease(stores.store, "two")
        assert await stores.store.get("two") is None
        assert await stores.store.complete("one", lease, _SECOND, 30) is False
        assert await stores.store.get("one") == _FIRST
        await _acquire_lease(stores.other, "three")

    async def test_lease_of_a_vanished_holder_expires(self, stores: StorePair) -> None:
        """A lease that is never released expires by itself."""
        await _acquire_lease(stores.store)
        stores.advance(61)
        await _acquire_lease(stores.store)

    async def test_expired_lease_cannot_overwrite(self, stores: StorePair) -> None:
        """``complete`` returns False after another process got the lease, and changes nothing."""
        expired = await _acquire_lease(stores.store)
        stores.advance(61)
        newer = await _acquire_lease(stores.other)
        assert await stores.store.complete(_TOKEN, expired, _FIRST, _LONG) is False
        assert await stores.store.get(_TOKEN) is None
        assert await stores.other.acquire(_TOKEN) is None
        assert await stores.other.complete(_TOKEN, newer, _SECOND, _LONG) is True
        assert await stores.store.get(_TOKEN) == _SECOND
        assert await stores.store.complete(_TOKEN, expired, _FIRST, _LONG) is False
        assert await stores.other.get(_TOKEN) == _SECOND

    async def test_lease_is_valid_for_one_complete(self, stores: StorePair) -> None:
        """The second call returns False."""
        lease = await _acquire_lease(stores.store)
        assert await stores.store.complete(_TOKEN, lease, _FIRST, 30) is True
        assert await stores.store.complete(_TOKEN, lease, _SECOND, 30) is False
        assert await stores.store.get(_TOKEN) == _FIRST

    async def test_complete_without_result_releases_the_lease_only(self, stores: StorePair) -> None:
        """A cached result stays."""
        assert await stores.store.complete(_TOKEN, await _acquire_lease(stores.store), None, 30) is True
        assert await stores.other.get(_TOKEN) is None
        await _cache_result(stores.store, _FIRST, 30)
        lease = await _acquire_lease(stores.store, ignore_cached=True)
        assert await stores.store.complete(_TOKEN, lease, None, 30) is True
        assert await stores.other.get(_TOKEN) == _FIRST

    async def test_result_is_replaced_with_ignore_cached(self, stores: StorePair) -> None:
        """Until the new result is stored, other callers get the old one."""
        await _cache_result(stores.store, _FIRST, _LONG)
        lease = await _acquire_lease(stores.other, ignore_cached=True)
        assert await stores.store.acquire(_TOKEN) == _FIRST
        assert await stores.other.acquire(_TOKEN) == _FIRST
        assert await stores.other.complete(_TOKEN, lease, _SECOND, _LONG) is True
        assert await stores.store.get(_TOKEN) == _SECOND
        assert await stores.other.get(_TOKEN) == _SECOND

    async def test_force_set_revokes_the_lease(self, stores: StorePair) -> None:
        """A refresh cannot revive the session after a concurrent logout."""
        lease = await _acquire_lease(stores.store)
        await stores.other.force_set(_TOKEN, RefreshResult.ended(), _LONG)
        assert await stores.store.complete(_TOKEN, lease, _FIRST, _LONG) is False
        for store in (stores.store, stores.other):
            assert await store.acquire(_TOKEN) == RefreshResult.ended()

    async def test_force_set_returns_the_replaced_result(self, stores: StorePair) -> None:
        """The result of an earlier ``complete`` is returned. A later one is discarded."""
        assert await stores.store.force_set("unknown", RefreshResult.ended(), _LONG) is None
        await _cache_result(stores.store, _FIRST, _LONG)
        assert await stores.other.force_set(_TOKEN, RefreshResult.ended(), 30) == _FIRST
        assert await stores.store.force_set(_TOKEN, _SECOND, 30) == RefreshResult.ended()
        stores.advance(31)
        assert await stores.other.force_set(_TOKEN, _FIRST, _LONG) is None

    async def test_force_set_without_a_lease_replaces_the_result(self, stores: StorePair) -> None:
        """The lease stays free."""
        await _cache_result(stores.store, _FIRST, _LONG)
        await stores.other.force_set(_TOKEN, _SECOND, 30)
        assert await stores.store.get(_TOKEN) == _SECOND
        await _acquire_lease(stores.other, ignore_cached=True)

    async def test_presented_token_expires_the_result_that_led_to_it(self, stores: StorePair) -> None:
        """The browser has received it. Until then the result keeps its TTL."""
        await _cache_result(stores.store, _FIRST, _LONG)
        stores.advance(100)
        await stores.other.mark_presented("first-refresh", 30)
        stores.advance(29)
        for store in (stores.store, stores.other):
            assert await store.get(_TOKEN) == _FIRST
        stores.advance(1.1)
        assert await stores.other.get(_TOKEN) is None
        assert await stores.store.get(_TOKEN) is None

    async def test_presented_token_marks_the_result_as_delivered(self, stores: StorePair) -> None:
        """For every process."""
        await _cache_result(stores.store, _FIRST, _LONG)
        for store in (stores.store, stores.other):
            assert await _is_delivered(store) is False
        await stores.other.mark_presented("first-refresh", 30)
        for store in (stores.store, stores.other):
            assert await _is_delivered(store) is True

    async def test_presented_token_expires_all_results_that_led_to_it(self, stores: StorePair) -> None:
        """The browser has received the last of three tokens, and will send none of those before it."""
        tokens = ["zero", "one", "two", "three"]
        for old, new in pairwise(tokens):
            await _cache_result(stores.store, RefreshResult("session", new), _LONG, token=old)
        await stores.other.mark_presented("two", 30)
        stores.advance(30.1)
        assert await stores.other.get("zero") is None
        assert await stores.other.get("one") is None
        assert await stores.other.get("two") == RefreshResult("session", "three")

    async def test_presented_token_does_not_expire_its_own_result(self, stores: StorePair) -> None:
        """It was replaced before the browser sent it. The next response carries its successor."""
        await _cache_result(stores.store, _FIRST, _LONG)
        await _cache_result(stores.store, _SECOND, _LONG, token="first-refresh")
        await stores.store.mark_presented("first-refresh", 30)
        stores.advance(60)
        assert await stores.other.get("first-refresh") == _SECOND
        assert await _is_delivered(stores.other, "first-refresh") is False

    async def test_presented_token_never_extends_a_ttl(self, stores: StorePair) -> None:
        """A result with a shorter TTL keeps it, and a second request does not restart the time."""
        await _cache_result(stores.store, _FIRST, 10)
        await stores.store.mark_presented("first-refresh", _LONG)
        stores.advance(10.1)
        assert await stores.store.get(_TOKEN) is None
        await _cache_result(stores.store, _SECOND, _LONG)
        await stores.store.mark_presented("second-refresh", 30)
        stores.advance(20)
        await stores.other.mark_presented("second-refresh", 30)
        stores.advance(10.1)
        assert await stores.other.get(_TOKEN) is None

    async def test_presented_token_keeps_the_end_of_a_session(self, stores: StorePair) -> None:
        """A request concurrent with a logout does not shorten the effect of the logout."""
        await _cache_result(stores.store, _FIRST, _LONG)
        await stores.other.force_set(_TOKEN, RefreshResult.ended(), _LONG)
        await stores.store.mark_presented("first-refresh", 30)
        stores.advance(60)
        assert await stores.other.get(_TOKEN) == RefreshResult.ended()
        assert await stores.store.get(_TOKEN) == RefreshResult.ended()

    async def test_presented_token_may_expire_the_result_at_once(self, stores: StorePair) -> None:
        """Without a grace period."""
        await _cache_result(stores.store, _FIRST, _LONG)
        await stores.store.mark_presented("first-refresh", 0)
        assert await stores.other.get(_TOKEN) is None
        assert await stores.store.get(_TOKEN) is None

    @pytest.mark.parametrize("refresh_jwt", [_TOKEN, None])
    async def test_presented_token_without_rotation_changes_nothing(
        self, stores: StorePair, refresh_jwt: str | None
    ) -> None:
        """The token is its own successor."""
        result = RefreshResult("session", refresh_jwt)
        await _cache_result(stores.store, result, _LONG)
        await stores.store.mark_presented(_TOKEN, 30)
        stores.advance(31)
        assert await stores.other.get(_TOKEN) == result
        assert await _is_delivered(stores.other) is False

    async def test_presented_token_that_no_result_led_to_changes_nothing(self, stores: StorePair) -> None:
        """As after a login, or after ten minutes."""
        await stores.store.mark_presented("unknown", 30)
        assert await stores.store.get("unknown") is None
        await _cache_result(stores.store, _FIRST, 10)
        stores.advance(11)
        await stores.store.mark_presented("first-refresh", 30)
        await _acquire_lease(stores.store)

    async def test_tokens_that_replace_each_other_do_not_hang(self, stores: StorePair) -> None:
        """Descope never sends them, but a store must not rely on it."""
        await _cache_result(stores.store, RefreshResult("session", "two"), _LONG, token="one")
        await _cache_result(stores.store, RefreshResult("session", "one"), _LONG, token="two")
        await stores.store.mark_presented("one", 30)
        stores.advance(31)
        assert await stores.other.get("two") is None

    async def test_closing_keeps_results(self, stores: StorePair) -> None:
        """A closed store can be used again."""
        await _cache_result(stores.store, _FIRST, _LONG)
        await stores.store.aclose()
        assert await stores.store.get(_TOKEN) == _FIRST
        await _acquire_lease(stores.store, ignore_cached=True)

    async def test_repr_hides_tokens(self, stores: StorePair) -> None:
        """Neither the store nor a lease has a token in its ``repr``."""
        lease = await _acquire_lease(stores.store)
        output = repr((stores.store, lease))
        assert await stores.store.complete(_TOKEN, lease, _FIRST, 30)
        output += repr((stores.store, _FIRST))
        assert "canary" not in output
        assert "first-" not in output


async def _acquire_lease(store: RefreshStore, token: str = _TOKEN, *, ignore_cached: bool = False) -> Lease:
    """Acquire the lease, which must be free."""
    acquired = await store.acquire(token, ignore_cached=ignore_cached)
    assert isinstance(acquired, Lease)
    return acquired


async def _cache_result(store: RefreshStore, result: RefreshResult, ttl: float, token: str = _TOKEN) -> None:
    """Acquire the lease and complete it with a result."""
    assert await store.complete(token, await _acquire_lease(store, token), result, ttl)


async def _is_delivered(store: RefreshStore, token: str = _TOKEN) -> bool:
    """Return whether the result, which must be cached, is marked as delivered."""
    results = [await store.get(token), await store.acquire(token)]
    delivered = {result.delivered for result in results if isinstance(result, RefreshResult)}
    assert len(delivered) == 1, results
    return delivered.pop()
