"""Several processes with one store: one of them refreshes, the others take its result (RF-03, RF-05)."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from fastapi_descope._refresh.outcome import Ended, Renewed, Unavailable
from fastapi_descope._refresh.store import Lease
from fastapi_descope.errors import (
    DescopeError,
    InvalidUpstreamResponse,
    SessionEnded,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.events import RefreshFailed, RefreshRefused, SessionRefreshed
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import DistantStore, StrictDescope

pytestmark = pytest.mark.anyio

T = TypeVar("T")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Deadlines pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def late_for_its_lease(
    descope: StrictDescope, trading: Coroutine[Any, Any, T]
) -> tuple[asyncio.Task[T], asyncio.Event]:
    """``trading`` under way, its lease over, and the event that hands out Descope's answer to it."""
    hanging = descope.hold()
    late = asyncio.create_task(trading)
    await run_ready()
    descope.now += 31
    return late, hanging


async def test_rf03_four_processes_cost_one_call() -> None:
    """A thousand requests, spread over the fleet: all get the same pair."""
    descope = StrictDescope()
    held, fleet = descope.sign_in(), [descope.coordinator() for _ in range(4)]

    outcomes = await asyncio.gather(*[process.refresh(held) for process in fleet for _ in range(250)])

    assert outcomes == [Renewed(descope.pair_of("ada/1/acme"))] * 1000
    assert descope.calls == ["ada/0/acme"]
    assert descope.told == [SessionRefreshed("ada", "acme")]


async def test_whoever_waits_for_another_process_too_long_decides_nothing() -> None:
    """Six seconds, then the cookies are kept and the client is asked to come back; no second call."""
    descope = StrictDescope()
    held = descope.sign_in()
    holder, other = descope.coordinator(), descope.coordinator(patience=6)
    hanging = descope.hold()
    first = asyncio.create_task(holder.refresh(held))
    await run_ready()

    assert await other.refresh(held) == Unavailable(5)

    assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.1)
    assert descope.told == [RefreshFailed("upstream_unavailable")]
    hanging.set()
    assert await first == await other.refresh(held)
    assert descope.calls == ["ada/0/acme"]


async def test_a_process_that_died_blocks_the_others_for_its_lease_only() -> None:
    """It held the right to refresh; thirty seconds later the next one takes over."""
    descope = StrictDescope()
    held, alive = descope.sign_in(), descope.coordinator()
    await descope.store.acquire(held.text)

    assert await alive.refresh(held) == Unavailable(5)
    descope.now += 30
    assert await alive.refresh(held) == Renewed(descope.pair_of("ada/1/acme"))


async def test_rf05_a_late_loser_takes_the_result_of_the_winner() -> None:
    """It was refused because another process had renewed the session: nobody is logged out."""
    descope = StrictDescope()
    held = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    descope.script = [UpstreamRejected(400, "E064006")]
    loser, hanging = await late_for_its_lease(descope, slow.refresh(held))
    descope.serve()
    winner = await quick.refresh(held)
    hanging.set()

    assert isinstance(winner, Renewed)
    assert await loser == winner
    assert await slow.refresh(held) == winner
    assert descope.told == [SessionRefreshed("ada", "acme"), RefreshRefused("E064006")]


async def test_rf03_a_late_holder_overwrites_nothing() -> None:
    """Its lease has passed on: what the store says is what counts, also for itself."""
    descope = StrictDescope()
    held = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    late, hanging = await late_for_its_lease(descope, slow.refresh(held))
    descope.serve()

    assert await quick.refresh(held) == Ended()  # Descope takes it for a theft
    hanging.set()
    assert await late == Ended(superseded=True)
    assert await slow.outcome(held) == Ended()


async def test_rf04_a_holder_whose_lease_passed_on_waits_for_the_word_of_the_next() -> None:
    """Or its pair would be in no memory, and no response would carry it; the next one's is in both."""
    descope = StrictDescope()
    descope.rotates = False
    held = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    late, first = await late_for_its_lease(descope, slow.refresh(held))
    second = descope.hold()
    winner = asyncio.create_task(quick.refresh(held))
    await run_ready()
    first.set()
    await run_ready()
    assert not late.done()
    second.set()

    assert isinstance(await winner, Renewed)
    assert await late == await winner == await slow.outcome(held)


async def test_rf04_a_holder_whose_lease_passed_on_to_one_that_died_has_its_own_remembered() -> None:
    """With rotation it is the only copy there is."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator()
    late, hanging = await late_for_its_lease(descope, process.refresh(held))
    await descope.store.acquire(held.text)
    hanging.set()
    await run_ready()
    descope.now += 31

    assert await late == Renewed(descope.pair_of("ada/1/acme")) == await process.outcome(held)


async def test_a_holder_whose_lease_passed_on_to_one_that_hangs_goes_by_its_own_answer() -> None:
    """There is no other word in the time that anybody waits."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator()
    late, hanging = await late_for_its_lease(descope, process.refresh(held))
    await descope.store.acquire(held.text)
    hanging.set()

    assert await late == Renewed(descope.pair_of("ada/1/acme"))


async def test_rf05_a_refusal_of_who_lost_the_lease_decides_nothing() -> None:
    """The winner has spent the token and has no answer yet: nobody deletes the cookies it will write."""
    descope = StrictDescope()
    held, loser = descope.sign_in(), descope.coordinator()
    descope.script = [UpstreamRejected(400, "E064006")]
    late, hanging = await late_for_its_lease(descope, loser.refresh(held))
    await descope.store.acquire(held.text)
    hanging.set()

    assert await late == Unavailable()


@pytest.mark.parametrize(
    ("response", "raised"),
    [
        (UpstreamRejected(401, "E064006"), UpstreamUnavailable),
        (InvalidUpstreamResponse("html"), InvalidUpstreamResponse),
    ],
)
async def test_rf05_a_switch_that_lost_the_lease_does_not_end_the_session(
    response: DescopeError, raised: type[DescopeError]
) -> None:
    """A refusal says that the winner was quicker; what is no verdict anyway stays what it is."""
    descope = StrictDescope()
    held = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    descope.script = [response]
    switch, hanging = await late_for_its_lease(descope, slow.switch(held, *descope.select("globex")))
    descope.serve()
    assert isinstance(await quick.refresh(held), Renewed)
    hanging.set()

    with pytest.raises(raised):
        await switch


async def test_whoever_goes_on_with_the_newest_token_waits_for_another_process_too() -> None:
    """The remembered session has run out, and its refresh token is being traded elsewhere right now."""
    descope = StrictDescope()
    descope.lifetime = 180
    held = descope.sign_in()
    here, elsewhere = descope.coordinator(), descope.coordinator()
    await here.refresh(held)
    descope.now += 400
    hanging = descope.hold()
    newer = asyncio.create_task(elsewhere.refresh(descope.pair_of("ada/1/acme").refresh))
    await run_ready()
    older = asyncio.create_task(here.refresh(held))
    await run_ready()
    hanging.set()

    assert await older == await newer == Renewed(descope.pair_of("ada/2/acme"))
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]


async def test_a_switch_waits_for_a_refresh_in_another_process_and_uses_its_token() -> None:
    """When it gets the lease, the token it came with is spent."""
    descope = StrictDescope()
    held = descope.sign_in()
    refreshing, switching = descope.coordinator(), descope.coordinator()
    hanging = descope.hold()
    refresh = asyncio.create_task(refreshing.refresh(held))
    await run_ready()
    switch = asyncio.create_task(switching.switch(held, *descope.select("globex")))
    await run_ready()
    hanging.set()

    assert (await switch).refresh.text == "ada/2/globex"
    assert isinstance(await refresh, Renewed)
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]
    assert await refreshing.outcome(held) == Renewed(await switch)


async def test_a_switch_does_not_wait_for_another_process_for_ever() -> None:
    """Nothing was asked of Descope; the client may try again."""
    descope = StrictDescope()
    held, process = descope.sign_in(), descope.coordinator(patience=6)
    await descope.store.acquire(held.text)

    with pytest.raises(UpstreamUnavailable):
        await process.switch(held, *descope.select("globex"))

    assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.1)
    assert descope.calls == []


async def test_lo03_a_logout_in_another_process_ends_a_switch_that_waits() -> None:
    """The session was over before its turn came."""
    descope = StrictDescope()
    held = descope.sign_in()
    first, second = descope.coordinator(), descope.coordinator()
    await descope.store.acquire(held.text)
    switch = asyncio.create_task(first.switch(held, *descope.select("globex")))
    await run_ready()
    await second.revoke(held, wait_timeout=1)

    with pytest.raises(SessionEnded):
        await switch
    assert descope.calls == []
    assert isinstance(await descope.store.acquire(held.text, ignore_cached=True), Lease)  # it was given back


async def test_lo03_a_logout_in_another_process_ends_a_refresh_under_way() -> None:
    """What it brings home is dropped."""
    descope = StrictDescope()
    held = descope.sign_in()
    first, second = descope.coordinator(), descope.coordinator()
    hanging = descope.hold()
    refresh = asyncio.create_task(first.refresh(held))
    await run_ready()
    await second.revoke(held, wait_timeout=1)
    hanging.set()

    assert await refresh == Ended(superseded=True)
    assert await first.refresh(held) == Ended()


async def test_a_switch_whose_lease_lapsed_is_a_switch_all_the_same() -> None:
    """Another process refreshed meanwhile, which did not end the session."""
    descope = StrictDescope()
    descope.rotates = False
    held = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    switch, hanging = await late_for_its_lease(descope, slow.switch(held, *descope.select("globex")))
    descope.serve()
    await quick.refresh(held)
    hanging.set()

    assert (await switch).session.tenant_id == "globex"


@pytest.mark.parametrize("rotates", [True, False], ids=["rotating", "not rotating"])
async def test_rf17_of_many_processes_with_a_wrong_clock_one_asks(*, rotates: bool) -> None:
    """All of them find the remembered answer over, half a minute later; it is one call all the same."""
    descope = StrictDescope()
    descope.rotates, descope.lifetime = rotates, -600
    held, shared = descope.sign_in(), DistantStore(descope.clock)
    fleet = [descope.coordinator(shared) for _ in range(4)]
    for calls in range(1, 4):
        outcomes = await asyncio.gather(*(process.refresh(held) for process in fleet))
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        assert len(descope.calls) == calls
        descope.now += 31
