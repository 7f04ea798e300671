"""The tokens of a login that was completed a moment ago, without the web layer (CB-04, CB-16)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fastapi_descope._auth.completed_logins import CompletedLogins, LoginEnded
from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope._refresh.outcome import Ended, Renewed, Unavailable
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope.emulator import JwtPair
from fastapi_descope.errors import UpstreamUnavailable
from tests.helpers.auth_harness import AuthHarness
from tests.helpers.event_loop import VirtualTimeLoop

pytestmark = pytest.mark.anyio

SECRET = "secret-of-a-login-cookie"


def _new_logins(auth: AuthHarness, store: MemoryRefreshStore) -> CompletedLogins:
    return CompletedLogins(store, auth.coordinator, auth.tokens)


@pytest.fixture
def logins() -> Callable[[AuthHarness], CompletedLogins]:
    """Build the logins of a process; its leases do not expire."""

    def build(auth: AuthHarness) -> CompletedLogins:
        return _new_logins(auth, MemoryRefreshStore(lambda: 0.0))

    return build


async def _completed(auth: AuthHarness, logins: CompletedLogins) -> JwtPair:
    issued = auth.issue()
    await logins.keep(SECRET, await auth.pair(issued))
    return issued


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"loop_factory": VirtualTimeLoop})], ids=["virtual"])
async def test_cb16_request_waits_half_a_minute_for_a_slow_hook(
    logins: Callable[[AuthHarness], CompletedLogins],
) -> None:
    """Then it is a 503, because the login may still succeed."""
    completed = logins(AuthHarness())
    assert isinstance(await completed.acquire(SECRET), Lease)

    with pytest.raises(UpstreamUnavailable):
        await completed.acquire(SECRET)


async def test_cb04_refused_login_is_not_completed_again() -> None:
    """For as long as its cookie lives."""
    now = 0.0
    auth = AuthHarness()
    completed = _new_logins(auth, MemoryRefreshStore(lambda: now))
    lease = await completed.acquire(SECRET)
    assert isinstance(lease, Lease)

    await completed.refuse(SECRET, lease)

    now = 599.0
    assert await completed.acquire(SECRET) is None
    with pytest.raises(LoginEnded):
        await completed.newest_pair(SECRET, [])
    now = 601.0
    assert isinstance(await completed.acquire(SECRET), Lease)


async def test_cb04_completed_login_is_not_completed_again() -> None:
    """Its tokens are kept for a minute, and its code stays spent for as long as its cookie lives."""
    now = 0.0
    auth = AuthHarness()
    completed = _new_logins(auth, MemoryRefreshStore(lambda: now))
    assert isinstance(await completed.acquire(SECRET), Lease)
    await _completed(auth, completed)

    now = 599.0
    assert await completed.acquire(SECRET) is None
    with pytest.raises(LoginEnded):
        await completed.newest_pair(SECRET, [])
    assert isinstance(await completed.acquire("secret-of-another-login-cookie"), Lease)


async def test_cb04_repeat_gets_the_time_of_the_next_refresh(
    logins: Callable[[AuthHarness], CompletedLogins],
) -> None:
    """It is part of the pair: an inactivity timeout can be shorter than the session token's life."""
    auth = AuthHarness()
    completed = logins(auth)
    pair = replace(await auth.pair(auth.issue()), refresh_at=auth.clock() + 60)
    await completed.keep(SECRET, pair)

    assert await completed.newest_pair(SECRET, []) == pair


async def test_cb04_repeat_after_a_refresh_gets_the_new_tokens(
    logins: Callable[[AuthHarness], CompletedLogins],
) -> None:
    """The refresh has replaced the refresh token."""
    auth = AuthHarness()
    completed = logins(auth)
    issued = await _completed(auth, completed)
    refreshed = await auth.coordinator.refresh(await auth.refresh_token(issued))
    assert isinstance(refreshed, Renewed)

    assert await completed.newest_pair(SECRET, []) == refreshed.pair


async def test_cb04_repeat_after_a_failed_refresh_gets_the_tokens_of_the_login(
    logins: Callable[[AuthHarness], CompletedLogins],
) -> None:
    """A rate limit ends no session."""
    auth = AuthHarness()
    completed = logins(auth)
    issued = await _completed(auth, completed)
    auth.emulator.faults.add("refresh", status=429, retry_after=20)
    outcome = await auth.coordinator.refresh(await auth.refresh_token(issued))
    assert isinstance(outcome, Unavailable)

    assert await completed.newest_pair(SECRET, []) == await auth.pair(issued)


async def test_cb04_repeat_after_the_end_of_the_session_gets_nothing(
    logins: Callable[[AuthHarness], CompletedLogins],
) -> None:
    """Descope has refused a refresh since."""
    auth = AuthHarness()
    completed = logins(auth)
    issued = await _completed(auth, completed)
    auth.clock.advance(1)
    auth.emulator.revoke_sessions("ada@acme.example")
    outcome = await auth.coordinator.refresh(await auth.refresh_token(issued))
    assert outcome == Ended()

    with pytest.raises(LoginEnded):
        await completed.newest_pair(SECRET, [])


async def test_cb04_login_of_the_same_second_is_not_replaced(
    logins: Callable[[AuthHarness], CompletedLogins],
) -> None:
    """The browser has signed in again, so it gets nothing from the login before."""
    auth = AuthHarness()
    completed = logins(auth)
    await _completed(auth, completed)
    later = await auth.refresh_token(auth.issue("hank@globex.example", "globex"))

    with pytest.raises(LoginEnded):
        await completed.newest_pair(SECRET, [later])


async def test_cb04_ended_session_is_no_reason_to_continue() -> None:
    """Its refresh token is still in the browser, and the process has forgotten the login."""
    auth = AuthHarness()
    store = MemoryRefreshStore(lambda: 0.0)
    completed = _new_logins(auth, store)
    token = await auth.refresh_token(auth.issue())
    assert await completed.newest_pair(SECRET, [token]) is None
    await store.force_set(token.text, RefreshResult.ended(), 60.0)

    with pytest.raises(LoginEnded):
        await completed.newest_pair(SECRET, [token])


@pytest.mark.parametrize("superseded", [True, False])
async def test_cb04_end_of_a_login_ends_its_session(*, superseded: bool) -> None:
    """Requests with its refresh token learn whether the browser has signed in again since."""
    auth = AuthHarness()
    store = MemoryRefreshStore(lambda: 0.0)
    completed = _new_logins(auth, store)
    issued = await _completed(auth, completed)

    await completed.end(SECRET, superseded=superseded)

    assert await store.get(issued.refresh_jwt) == RefreshResult.ended(superseded=superseded)
