"""One refresh per session: single flight, memory, and what a cancelled caller cannot lose.

Requirements RF-02, RF-04, RF-06, RF-16 and RF-17.
"""

import asyncio

import pytest

from fastapi_descope._refresh.outcome import Ended, Outcome, Renewed, Unavailable
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.errors import TokenError, TokenReason, UpstreamUnavailable
from fastapi_descope.events import RefreshFailed, RefreshRefused, SessionRefreshed
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import LIFETIME, StrictDescope

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Deadlines pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_rf02_two_hundred_at_once_cost_one_call() -> None:
    """All of them get the same pair, and one event tells of it."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()

    outcomes = await asyncio.gather(*[refresher.refresh(held) for _ in range(200)])

    assert isinstance(outcomes[0], Renewed)
    assert outcomes[0].pair.refresh.text == "ada/1/acme"
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert descope.calls == ["ada/0/acme"]
    assert descope.told == [SessionRefreshed("ada", "acme")]


async def test_rf04_two_hundred_late_twins_cost_no_further_call() -> None:
    """Whoever comes after the result has landed, with the old token still, gets the same pair."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()

    outcomes = [await refresher.refresh(held) for _ in range(200)]

    assert isinstance(outcomes[0], Renewed)
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert descope.calls == ["ada/0/acme"]


async def test_rf02_other_users_do_not_wait() -> None:
    """While one user's refresh hangs, another's goes through."""
    descope = StrictDescope()
    ada, bob, refresher = descope.sign_in("ada"), descope.sign_in("bob"), descope.coordinator()
    hanging = descope.hold()
    slow = asyncio.create_task(refresher.refresh(ada))
    await run_ready()
    descope.serve()

    assert isinstance(await refresher.refresh(bob), Renewed)
    assert not slow.done()
    hanging.set()
    assert isinstance(await slow, Renewed)


async def test_rf04_the_grace_begins_with_the_delivery() -> None:
    """Thirty seconds after a response has carried the result it is forgotten, and Descope is asked again."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator(grace=30)
    first = await refresher.refresh(held)
    descope.now += 100
    await refresher.mark_delivered(held)

    descope.now += 29
    assert await refresher.refresh(held) == first
    await refresher.mark_delivered(held)  # to a twin: this does not begin the grace anew
    descope.now += 1
    assert await refresher.refresh(held) == Ended()
    assert descope.calls == ["ada/0/acme", "ada/0/acme"]


async def test_rf06_a_result_that_nobody_received_is_kept_for_ten_minutes() -> None:
    """Until then the browser that lost the answer gets it with its next request."""
    descope = StrictDescope()
    descope.lifetime = 3600
    held, refresher = descope.sign_in(), descope.coordinator()
    first = await refresher.refresh(held)

    descope.now += 599
    assert await refresher.refresh(held) == first
    assert len(descope.calls) == 1
    descope.now += 1
    assert await refresher.refresh(held) == Ended()
    assert len(descope.calls) == 2


async def test_rf06_a_result_outlives_its_session_if_the_old_token_is_spent() -> None:
    """The newest token goes on where the presented one would look like a theft."""
    descope = StrictDescope()
    descope.lifetime = 180
    held, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(held)
    descope.now += 400

    later = await refresher.refresh(held)

    assert isinstance(later, Renewed)
    assert later.pair.refresh.text == "ada/2/acme"
    assert await refresher.refresh(held) == later
    assert await refresher.refresh(descope.pair_of("ada/1/acme").refresh) == later
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]


async def test_a_result_never_stands_in_for_the_next_refresh() -> None:
    """Without rotation a token is refreshed again and again: it is remembered for 3/4 of the session."""
    descope = StrictDescope()
    descope.rotates = False
    held, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(held)

    descope.now += 0.75 * LIFETIME - 1
    await refresher.refresh(held)
    assert len(descope.calls) == 1
    descope.now += 1
    await refresher.refresh(held)
    assert len(descope.calls) == 2


async def test_rf17_a_session_that_is_over_by_our_clock_is_not_remembered_as_good() -> None:
    """Without rotation nothing is lost: asked again in half a minute, however many requests come before."""
    descope = StrictDescope()
    descope.rotates, descope.lifetime = False, 1
    held, refresher = descope.sign_in(), descope.coordinator()
    hanging = descope.hold()
    running = asyncio.create_task(refresher.refresh(held))
    await run_ready()
    descope.now += 2
    hanging.set()
    descope.serve()

    assert await running == Unavailable(5)
    assert descope.told == [RefreshFailed("expired")]
    descope.lifetime = 600
    assert [await refresher.refresh(held) for _ in range(50)] == [Unavailable(30)] * 50
    assert len(descope.calls) == 1
    descope.now += 30
    assert isinstance(await refresher.refresh(held), Renewed)


@pytest.mark.parametrize("left", [1, 10, 24])
async def test_rf17_a_session_that_is_nearly_over_by_our_clock_costs_no_call_a_request(left: int) -> None:
    """It is good for what is left of it; Descope is asked again in half a minute."""
    descope = StrictDescope()
    descope.rotates, descope.lifetime = False, 50
    held, refresher = descope.sign_in(), descope.coordinator()
    hanging = descope.hold()
    running = asyncio.create_task(refresher.refresh(held))
    await run_ready()
    descope.now += 50 - left
    hanging.set()
    assert isinstance(await running, Renewed)

    kinds = list[type[Outcome]]()
    for _ in range(29):
        descope.now += 1
        kinds.append(type(await refresher.refresh(held)))

    good = kinds.count(Renewed)
    assert good == pytest.approx(left, abs=1)
    assert kinds == [Renewed] * good + [Unavailable] * (29 - good)
    assert len(descope.calls) == 1


async def test_rf17_a_rotated_token_is_kept_though_our_clock_is_ahead() -> None:
    """The only copy of it is in that answer: the next refresh, half a minute later, goes on with it."""
    descope = StrictDescope()
    descope.lifetime = -600
    held, refresher = descope.sign_in(), descope.coordinator()
    assert await refresher.refresh(held) == Unavailable(5)
    descope.lifetime = 600

    assert [await refresher.refresh(held) for _ in range(50)] == [Unavailable(30)] * 50
    descope.now += 30
    assert isinstance(await refresher.refresh(held), Renewed)
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]


async def test_rf17_a_kept_answer_is_the_session_as_soon_as_our_clock_is_right() -> None:
    """Half a minute is not waited out then, and Descope not asked again."""
    descope = StrictDescope()
    descope.now += 1000
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.lifetime = -600
    assert await refresher.refresh(held) == Unavailable(5)
    descope.now -= 700

    assert isinstance(await refresher.refresh(held), Renewed)
    assert descope.calls == ["ada/0/acme"]


async def test_rf16_a_refusal_is_remembered_for_thirty_seconds() -> None:
    """A dead token that keeps coming costs one call in that time."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.log_out(held.text)

    assert await refresher.refresh(held) == Ended()
    descope.now += 29
    assert [await refresher.refresh(held) for _ in range(50)] == [Ended()] * 50
    assert len(descope.calls) == 1
    assert descope.told == [RefreshRefused("E064001")]
    descope.now += 1
    assert await refresher.refresh(held) == Ended()
    assert len(descope.calls) == 2


async def test_no_verdict_is_forgotten_at_once() -> None:
    """When Descope is back, so is the session."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.script = [UpstreamUnavailable(9), UpstreamUnavailable(5)]

    assert await refresher.refresh(held) == Unavailable(9)
    assert await refresher.refresh(held) == Unavailable(5)
    assert isinstance(await refresher.refresh(held), Renewed)
    assert descope.calls == ["ada/0/acme"] * 3


async def test_a_token_that_cannot_be_sent_decides_nothing() -> None:
    """A refresh never raises, and what it raised inside is not told to anybody."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.script = [TokenError(TokenReason.MALFORMED)]

    assert await refresher.refresh(held) == Unavailable(5)
    assert descope.told == [RefreshFailed("refresh_token")]
    descope.now += 5
    assert isinstance(await refresher.refresh(held), Renewed)


async def test_a_result_that_cannot_be_verified_is_kept_until_it_can() -> None:
    """There are no keys right now; the rotated token is not thrown away for that."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.keys_known = False
    assert await refresher.refresh(held) == Unavailable(7)
    assert await refresher.refresh(held) == Unavailable(7)

    descope.keys_known = True

    assert isinstance(await refresher.refresh(held), Renewed)
    assert descope.calls == ["ada/0/acme"]


async def test_rd03_a_forged_result_in_the_store_counts_for_nothing() -> None:
    """What is recalled is verified like any answer; if it fails, Descope is asked."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    await descope.store.force_set(held.text, RefreshResult("forged", "forged"), 600)

    renewed = await refresher.refresh(held)

    assert isinstance(renewed, Renewed)
    assert renewed.pair.refresh.text == "ada/1/acme"
    assert descope.calls == ["ada/0/acme"]


async def test_kd06_a_result_for_somebody_else_counts_for_nothing() -> None:
    """A pair that is genuine but another user's is no answer to this refresh."""
    descope = StrictDescope()
    ada, bob, refresher = descope.sign_in("ada"), descope.sign_in("bob"), descope.coordinator()
    other = await descope.refresh(bob.text)
    await descope.store.force_set(ada.text, other, 600)

    renewed = await refresher.refresh(ada)

    assert isinstance(renewed, Renewed)
    assert renewed.pair.session.user.id == "ada"


@pytest.mark.parametrize("steps", range(51))
async def test_rf06_a_caller_cancelled_at_any_step_loses_nothing(steps: int) -> None:
    """The call goes on without its caller, and the next request with the old token gets the result."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    caller = asyncio.create_task(refresher.refresh(held))
    for _ in range(steps):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])

    later = await refresher.refresh(held)

    assert isinstance(later, Renewed)
    assert later.pair.refresh.text == "ada/1/acme"
    assert descope.calls == ["ada/0/acme"]


async def test_rf06_a_refresh_outlives_all_its_callers() -> None:
    """Two hundred give up, one comes back."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    hanging = descope.hold()
    callers = [asyncio.create_task(refresher.refresh(held)) for _ in range(200)]
    await run_ready()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    hanging.set()

    assert isinstance(await refresher.refresh(held), Renewed)
    assert all(caller.cancelled() for caller in callers)
    assert descope.calls == ["ada/0/acme"]


async def test_a_drain_waits_for_what_is_in_flight() -> None:
    """A shutdown loses no rotated token."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    flight = refresher.start_refresh(held)

    await refresher.drain(10)

    assert isinstance(flight.result(), Renewed)
    assert await descope.store.get(held.text) is not None


async def test_a_drain_does_not_wait_for_ever() -> None:
    """Those who wait for a refresh that is cut off are told that nothing is decided."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.hold()
    caller = asyncio.create_task(refresher.refresh(held))
    await run_ready()

    await refresher.drain(10)

    assert await caller == Unavailable(5)
    assert asyncio.get_running_loop().time() == pytest.approx(10)
