"""Several processes with one store: one of them refreshes, the others use its result (RF-03, RF-05)."""

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
from tests.helpers.strict_upstream import RemoteStore, StrictDescope

pytestmark = pytest.mark.anyio

T = TypeVar("T")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Use a loop in which timeouts take no real time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def start_late(
    descope: StrictDescope, operation: Coroutine[Any, Any, T]
) -> tuple[asyncio.Task[T], asyncio.Event]:
    """Start an operation and let its lease expire; return its task and the event for its response."""
    gate = descope.hold_responses()
    late = asyncio.create_task(operation)
    await run_ready()
    descope.now += 31
    return late, gate


async def test_rf03_four_processes_make_one_call() -> None:
    """A thousand requests, spread over the processes, get the same pair."""
    descope = StrictDescope()
    refresh_token, processes = descope.sign_in(), [descope.coordinator() for _ in range(4)]

    outcomes = await asyncio.gather(
        *[process.refresh(refresh_token) for process in processes for _ in range(250)]
    )

    assert outcomes == [Renewed(descope.latest_pair("ada/1/acme"))] * 1000
    assert descope.calls == ["ada/0/acme"]
    assert descope.recorded_events == [SessionRefreshed("ada", "acme")]


async def test_refresh_is_unavailable_when_another_process_holds_the_lease_too_long() -> None:
    """After six seconds the request ends with its cookies kept. No second call is made."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    holder, other = descope.coordinator(), descope.coordinator(wait_timeout=6)
    gate = descope.hold_responses()
    first = asyncio.create_task(holder.refresh(refresh_token))
    await run_ready()

    assert await other.refresh(refresh_token) == Unavailable(5)

    assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.1)
    assert descope.recorded_events == [RefreshFailed("upstream_unavailable")]
    gate.set()
    assert await first == await other.refresh(refresh_token)
    assert descope.calls == ["ada/0/acme"]


async def test_lease_of_a_crashed_process_expires() -> None:
    """After thirty seconds another process refreshes."""
    descope = StrictDescope()
    refresh_token, alive = descope.sign_in(), descope.coordinator()
    await descope.store.acquire(refresh_token.text)

    assert await alive.refresh(refresh_token) == Unavailable(5)
    descope.now += 30
    assert await alive.refresh(refresh_token) == Renewed(descope.latest_pair("ada/1/acme"))


async def test_rf05_process_without_lease_returns_the_cached_result() -> None:
    """Descope rejected its token because another process had refreshed. The session does not end."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    descope.scripted_errors = [UpstreamRejected(400, "E064006")]
    late, gate = await start_late(descope, slow.refresh(refresh_token))
    descope.stop_holding()
    winner = await quick.refresh(refresh_token)
    gate.set()

    assert isinstance(winner, Renewed)
    assert await late == winner
    assert await slow.refresh(refresh_token) == winner
    assert descope.recorded_events == [SessionRefreshed("ada", "acme"), RefreshRefused("E064006")]


async def test_rf03_process_without_lease_overwrites_nothing() -> None:
    """The cached result counts, also for this process."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    late, gate = await start_late(descope, slow.refresh(refresh_token))
    descope.stop_holding()

    assert await quick.refresh(refresh_token) == Ended()  # Descope treats it as theft
    gate.set()
    assert await late == Ended(superseded=True)
    assert await slow.outcome(refresh_token) == Ended()


async def test_rf04_process_that_lost_its_lease_waits_for_the_new_holder() -> None:
    """Otherwise its pair would be in no cache, and no response would carry it."""
    descope = StrictDescope()
    descope.rotates = False
    refresh_token = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    late, first = await start_late(descope, slow.refresh(refresh_token))
    second = descope.hold_responses()
    winner = asyncio.create_task(quick.refresh(refresh_token))
    await run_ready()
    first.set()
    await run_ready()
    assert not late.done()
    second.set()

    assert isinstance(await winner, Renewed)
    assert await late == await winner == await slow.outcome(refresh_token)


async def test_rf04_result_is_cached_when_the_new_holder_crashes() -> None:
    """With rotation it is the only copy."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator()
    late, gate = await start_late(descope, process.refresh(refresh_token))
    await descope.store.acquire(refresh_token.text)
    gate.set()
    await run_ready()
    descope.now += 31

    assert await late == Renewed(descope.latest_pair("ada/1/acme")) == await process.outcome(refresh_token)


async def test_own_result_is_returned_when_the_new_holder_hangs() -> None:
    """There is no other result within the wait timeout."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator()
    late, gate = await start_late(descope, process.refresh(refresh_token))
    await descope.store.acquire(refresh_token.text)
    gate.set()

    assert await late == Renewed(descope.latest_pair("ada/1/acme"))


async def test_rf05_rejection_without_lease_is_unavailable() -> None:
    """The new holder has spent the token and has no result yet. The cookies must stay."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator()
    descope.scripted_errors = [UpstreamRejected(400, "E064006")]
    late, gate = await start_late(descope, process.refresh(refresh_token))
    await descope.store.acquire(refresh_token.text)
    gate.set()

    assert await late == Unavailable()


@pytest.mark.parametrize(
    ("response", "raised"),
    [
        (UpstreamRejected(401, "E064006"), UpstreamUnavailable),
        (InvalidUpstreamResponse("html"), InvalidUpstreamResponse),
    ],
)
async def test_rf05_failed_switch_without_lease_does_not_end_the_session(
    response: DescopeError, raised: type[DescopeError]
) -> None:
    """A rejection means that the new holder was faster. Any other error is raised as it is."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    descope.scripted_errors = [response]
    switch, gate = await start_late(descope, slow.switch(refresh_token, *descope.select_tenant("globex")))
    descope.stop_holding()
    assert isinstance(await quick.refresh(refresh_token), Renewed)
    gate.set()

    with pytest.raises(raised):
        await switch


async def test_refresh_with_the_current_token_waits_for_another_process() -> None:
    """The cached session has expired, and another process is exchanging its refresh token."""
    descope = StrictDescope()
    descope.lifetime = 180
    refresh_token = descope.sign_in()
    here, elsewhere = descope.coordinator(), descope.coordinator()
    await here.refresh(refresh_token)
    descope.now += 400
    gate = descope.hold_responses()
    newer = asyncio.create_task(elsewhere.refresh(descope.latest_pair("ada/1/acme").refresh))
    await run_ready()
    older = asyncio.create_task(here.refresh(refresh_token))
    await run_ready()
    gate.set()

    assert await older == await newer == Renewed(descope.latest_pair("ada/2/acme"))
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]


async def test_switch_waits_for_a_refresh_in_another_process_and_uses_its_token() -> None:
    """When it gets the lease, its own token is spent."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    refreshing, switching = descope.coordinator(), descope.coordinator()
    gate = descope.hold_responses()
    refresh = asyncio.create_task(refreshing.refresh(refresh_token))
    await run_ready()
    switch = asyncio.create_task(switching.switch(refresh_token, *descope.select_tenant("globex")))
    await run_ready()
    gate.set()

    assert (await switch).refresh.text == "ada/2/globex"
    assert isinstance(await refresh, Renewed)
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]
    assert await refreshing.outcome(refresh_token) == Renewed(await switch)


async def test_switch_fails_when_another_process_holds_the_lease_too_long() -> None:
    """No call is made, and the client may try again."""
    descope = StrictDescope()
    refresh_token, process = descope.sign_in(), descope.coordinator(wait_timeout=6)
    await descope.store.acquire(refresh_token.text)

    with pytest.raises(UpstreamUnavailable):
        await process.switch(refresh_token, *descope.select_tenant("globex"))

    assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.1)
    assert descope.calls == []


async def test_lo03_logout_in_another_process_ends_a_waiting_switch() -> None:
    """The session ends before the switch gets the lease."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    first, second = descope.coordinator(), descope.coordinator()
    await descope.store.acquire(refresh_token.text)
    switch = asyncio.create_task(first.switch(refresh_token, *descope.select_tenant("globex")))
    await run_ready()
    await second.revoke(refresh_token, wait_timeout=1)

    with pytest.raises(SessionEnded):
        await switch
    assert descope.calls == []
    assert isinstance(
        await descope.store.acquire(refresh_token.text, ignore_cached=True), Lease
    )  # it was released


async def test_lo03_logout_in_another_process_ends_a_running_refresh() -> None:
    """Its result is discarded."""
    descope = StrictDescope()
    refresh_token = descope.sign_in()
    first, second = descope.coordinator(), descope.coordinator()
    gate = descope.hold_responses()
    refresh = asyncio.create_task(first.refresh(refresh_token))
    await run_ready()
    await second.revoke(refresh_token, wait_timeout=1)
    gate.set()

    assert await refresh == Ended(superseded=True)
    assert await first.refresh(refresh_token) == Ended()


async def test_switch_succeeds_after_its_lease_has_expired() -> None:
    """Another process has refreshed, which did not end the session."""
    descope = StrictDescope()
    descope.rotates = False
    refresh_token = descope.sign_in()
    slow, quick = descope.coordinator(), descope.coordinator()
    switch, gate = await start_late(descope, slow.switch(refresh_token, *descope.select_tenant("globex")))
    descope.stop_holding()
    await quick.refresh(refresh_token)
    gate.set()

    assert (await switch).session.tenant_id == "globex"


@pytest.mark.parametrize("rotates", [True, False], ids=["rotating", "not rotating"])
async def test_rf17_processes_with_a_wrong_clock_make_one_call(*, rotates: bool) -> None:
    """All of them find the cached result expired at the same time, thirty seconds later."""
    descope = StrictDescope()
    descope.rotates, descope.lifetime = rotates, -600
    refresh_token, shared = descope.sign_in(), RemoteStore(descope.clock)
    processes = [descope.coordinator(shared) for _ in range(4)]
    for calls in range(1, 4):
        outcomes = await asyncio.gather(*(process.refresh(refresh_token) for process in processes))
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        assert len(descope.calls) == calls
        descope.now += 31
