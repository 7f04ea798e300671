"""One refresh per session: concurrent requests share it, late requests get its cached result.

Requirements RF-02, RF-04, RF-06, RF-16 and RF-17.
"""

import asyncio

import pytest

from fastapi_descope._refresh.outcome import Ended, Outcome, Renewed, Unavailable
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.errors import TokenError, TokenReason, UpstreamUnavailable
from fastapi_descope.events import RefreshFailed, RefreshRefused, SessionRefreshed, SuccessorReplayed
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import LIFETIME, RemoteStore, StrictDescope

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Use a loop in which timeouts take no real time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_rf02_two_hundred_concurrent_requests_make_one_call() -> None:
    """All of them get the same pair, and one event is emitted."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()

    outcomes = await asyncio.gather(*[refresher.refresh(refresh_token) for _ in range(200)])

    assert isinstance(outcomes[0], Renewed)
    assert outcomes[0].pair.refresh.text == "ada/1/acme"
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert descope.calls == ["ada/0/acme"]
    assert descope.recorded_events == [SessionRefreshed("ada", "acme")]


async def test_rf04_two_hundred_late_requests_make_no_further_call() -> None:
    """A request that still carries the old token after the refresh gets the same pair."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()

    outcomes = [await refresher.refresh(refresh_token) for _ in range(200)]

    assert isinstance(outcomes[0], Renewed)
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert descope.calls == ["ada/0/acme"]


async def test_rf02_refreshes_of_other_users_do_not_wait() -> None:
    """While the refresh of one user hangs, the refresh of another succeeds."""
    descope = StrictDescope()
    ada, bob, refresher = descope.sign_in("ada"), descope.sign_in("bob"), descope.coordinator()
    gate = descope.hold_responses()
    slow = asyncio.create_task(refresher.refresh(ada))
    await run_ready()
    descope.stop_holding()

    assert isinstance(await asyncio.wait_for(refresher.refresh(bob), 5), Renewed)
    assert not slow.done()
    gate.set()
    assert isinstance(await slow, Renewed)


async def test_rf04_grace_starts_when_the_successor_is_presented() -> None:
    """The old token works for thirty seconds more. Then Descope is called again, and ends the session."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator(grace=30)
    first = await refresher.refresh(refresh_token)
    descope.now += 100
    refresher.mark_presented("ada/1/acme")
    await run_ready()

    descope.now += 29
    assert await refresher.refresh(refresh_token) == first
    refresher.mark_presented("ada/1/acme")  # by another process: this does not restart the grace
    await run_ready()
    descope.now += 1
    assert await refresher.refresh(refresh_token) == Ended()
    assert descope.calls == ["ada/0/acme", "ada/0/acme"]


async def test_rf04_late_use_of_a_spent_token_is_an_event() -> None:
    """It is not, before a browser has presented the successor."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)
    await refresher.refresh(refresh_token)
    assert descope.recorded_events == [SessionRefreshed("ada", "acme")]
    refresher.mark_presented("ada/1/acme")
    await run_ready()

    await asyncio.gather(*(refresher.refresh(refresh_token) for _ in range(20)))

    assert descope.recorded_events[1:] == [SuccessorReplayed("ada")]


async def test_rf04_drain_waits_for_presentations() -> None:
    """A deploy right after a refresh does not extend the time of the old token."""
    descope = StrictDescope()
    refresh_token, shared = descope.sign_in(), RemoteStore(descope.clock)
    refresher, other = descope.coordinator(shared), descope.coordinator(shared)
    await refresher.refresh(refresh_token)
    refresher.mark_presented("ada/1/acme")
    await refresher.drain(10)

    descope.now += 30
    assert await other.refresh(refresh_token) == Ended()


async def test_rf06_undelivered_result_is_cached_for_ten_minutes() -> None:
    """Until then, a browser that has not received the response gets the result with its next request."""
    descope = StrictDescope()
    descope.lifetime = 3600
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    first = await refresher.refresh(refresh_token)

    descope.now += 599
    assert await refresher.refresh(refresh_token) == first
    assert len(descope.calls) == 1
    descope.now += 1
    assert await refresher.refresh(refresh_token) == Ended()
    assert len(descope.calls) == 2


async def test_rf06_rotated_token_is_cached_for_longer_than_its_session() -> None:
    """The refresh continues with the current token. A second use of the old one would look like theft."""
    descope = StrictDescope()
    descope.lifetime = 180
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)
    descope.now += 400

    later = await refresher.refresh(refresh_token)

    assert isinstance(later, Renewed)
    assert later.pair.refresh.text == "ada/2/acme"
    assert await refresher.refresh(refresh_token) == later
    assert await refresher.refresh(descope.latest_pair("ada/1/acme").refresh) == later
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]


async def test_unrotated_result_is_not_cached_beyond_the_next_refresh() -> None:
    """Without rotation a token is refreshed repeatedly, so its result is cached for 3/4 of the session."""
    descope = StrictDescope()
    descope.rotates = False
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)

    descope.now += 0.75 * LIFETIME - 1
    await refresher.refresh(refresh_token)
    assert len(descope.calls) == 1
    descope.now += 1
    await refresher.refresh(refresh_token)
    assert len(descope.calls) == 2


async def test_rf17_session_expired_on_arrival_is_unavailable_for_thirty_seconds() -> None:
    """Requests in that time make no call. Without rotation nothing is lost."""
    descope = StrictDescope()
    descope.rotates, descope.lifetime = False, 1
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    running = asyncio.create_task(refresher.refresh(refresh_token))
    await run_ready()
    descope.now += 2
    gate.set()
    descope.stop_holding()

    assert await running == Unavailable(5)
    assert descope.recorded_events == [RefreshFailed("expired")]
    descope.lifetime = 600
    assert [await refresher.refresh(refresh_token) for _ in range(50)] == [Unavailable(30)] * 50
    assert len(descope.calls) == 1
    descope.now += 30
    assert isinstance(await refresher.refresh(refresh_token), Renewed)


@pytest.mark.parametrize("left", [1, 10, 24])
async def test_rf17_session_nearly_expired_on_arrival_makes_one_call(left: int) -> None:
    """It is valid until it expires. Descope is called again after thirty seconds."""
    descope = StrictDescope()
    descope.rotates, descope.lifetime = False, 50
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    running = asyncio.create_task(refresher.refresh(refresh_token))
    await run_ready()
    descope.now += 50 - left
    gate.set()
    assert isinstance(await running, Renewed)

    outcome_types = list[type[Outcome]]()
    for _ in range(29):
        descope.now += 1
        outcome_types.append(type(await refresher.refresh(refresh_token)))

    valid = outcome_types.count(Renewed)
    assert valid == pytest.approx(left, abs=1)
    assert outcome_types == [Renewed] * valid + [Unavailable] * (29 - valid)
    assert len(descope.calls) == 1


async def test_rf17_rotated_token_is_kept_when_our_clock_is_ahead() -> None:
    """That response holds its only copy. The next refresh, thirty seconds later, uses it."""
    descope = StrictDescope()
    descope.lifetime = -600
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    assert await refresher.refresh(refresh_token) == Unavailable(5)
    descope.lifetime = 600

    assert [await refresher.refresh(refresh_token) for _ in range(50)] == [Unavailable(30)] * 50
    descope.now += 30
    assert isinstance(await refresher.refresh(refresh_token), Renewed)
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]


async def test_rf17_cached_result_is_used_once_our_clock_is_right() -> None:
    """The request neither waits for thirty seconds nor calls Descope."""
    descope = StrictDescope()
    descope.now += 1000
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.lifetime = -600
    assert await refresher.refresh(refresh_token) == Unavailable(5)
    descope.now -= 700

    assert isinstance(await refresher.refresh(refresh_token), Renewed)
    assert descope.calls == ["ada/0/acme"]


async def test_rf16_rejection_is_cached_for_thirty_seconds() -> None:
    """Repeated requests with a dead token make one call in that time."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.end_session(refresh_token.text)

    assert await refresher.refresh(refresh_token) == Ended()
    descope.now += 29
    assert [await refresher.refresh(refresh_token) for _ in range(50)] == [Ended()] * 50
    assert len(descope.calls) == 1
    assert descope.recorded_events == [RefreshRefused("E064001")]
    descope.now += 1
    assert await refresher.refresh(refresh_token) == Ended()
    assert len(descope.calls) == 2


async def test_outage_is_not_cached() -> None:
    """The session is refreshed as soon as Descope is available."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.scripted_errors = [UpstreamUnavailable(9), UpstreamUnavailable(5)]

    assert await refresher.refresh(refresh_token) == Unavailable(9)
    assert await refresher.refresh(refresh_token) == Unavailable(5)
    assert isinstance(await refresher.refresh(refresh_token), Renewed)
    assert descope.calls == ["ada/0/acme"] * 3


async def test_token_that_fits_in_no_header_is_unavailable() -> None:
    """A refresh never raises, and the event does not show the error."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.scripted_errors = [TokenError(TokenReason.MALFORMED)]

    assert await refresher.refresh(refresh_token) == Unavailable(5)
    assert descope.recorded_events == [RefreshFailed("refresh_token")]
    descope.now += 5
    assert isinstance(await refresher.refresh(refresh_token), Renewed)


async def test_unverified_result_is_cached_until_keys_are_available() -> None:
    """A missing key does not lose the rotated token."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.keys_available = False
    assert await refresher.refresh(refresh_token) == Unavailable(7)
    assert await refresher.refresh(refresh_token) == Unavailable(7)

    descope.keys_available = True

    assert isinstance(await refresher.refresh(refresh_token), Renewed)
    assert descope.calls == ["ada/0/acme"]


async def test_rd03_forged_result_in_the_store_is_ignored() -> None:
    """A cached result is verified like a response. If that fails, Descope is called."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await descope.store.force_set(refresh_token.text, RefreshResult("forged", "forged"), 600)

    renewed = await refresher.refresh(refresh_token)

    assert isinstance(renewed, Renewed)
    assert renewed.pair.refresh.text == "ada/1/acme"
    assert descope.calls == ["ada/0/acme"]


async def test_kd06_result_of_another_user_is_ignored() -> None:
    """A valid pair of another user is not the result of this refresh."""
    descope = StrictDescope()
    ada, bob, refresher = descope.sign_in("ada"), descope.sign_in("bob"), descope.coordinator()
    other = await descope.refresh(bob.text)
    await descope.store.force_set(ada.text, other, 600)

    renewed = await refresher.refresh(ada)

    assert isinstance(renewed, Renewed)
    assert renewed.pair.session.user.id == "ada"


@pytest.mark.parametrize("steps", range(51))
async def test_rf06_refresh_survives_cancelling_its_caller_at_any_step(steps: int) -> None:
    """The call continues, and the next request with the old token gets its result."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    caller = asyncio.create_task(refresher.refresh(refresh_token))
    for _ in range(steps):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])

    later = await refresher.refresh(refresh_token)

    assert isinstance(later, Renewed)
    assert later.pair.refresh.text == "ada/1/acme"
    assert descope.calls == ["ada/0/acme"]


async def test_rf06_refresh_survives_cancelling_all_its_callers() -> None:
    """Two hundred callers are cancelled. A later one gets the result."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    callers = [asyncio.create_task(refresher.refresh(refresh_token)) for _ in range(200)]
    await run_ready()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    gate.set()

    assert isinstance(await refresher.refresh(refresh_token), Renewed)
    assert all(caller.cancelled() for caller in callers)
    assert descope.calls == ["ada/0/acme"]


async def test_drain_waits_for_running_refreshes() -> None:
    """A shutdown loses no rotated token."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    flight = refresher.start_refresh(refresh_token)

    await refresher.drain(10)

    assert isinstance(flight.result(), Renewed)
    assert await descope.store.get(refresh_token.text) is not None


async def test_drain_cancels_refreshes_after_its_timeout() -> None:
    """Requests that wait for a cancelled refresh get ``Unavailable``."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.hold_responses()
    caller = asyncio.create_task(refresher.refresh(refresh_token))
    await run_ready()

    await refresher.drain(10)

    assert await caller == Unavailable(5)
    assert asyncio.get_running_loop().time() == pytest.approx(10)
