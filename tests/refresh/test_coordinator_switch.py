"""A tenant switch concurrent with refreshes of one session: in order, and never undone (TN-07, TN-09)."""

import asyncio

import pytest

from fastapi_descope._refresh.coordinator import RefreshCoordinator
from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope._refresh.outcome import Ended, Renewed, SwitchFailed, Unavailable
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.errors import (
    InvalidUpstreamResponse,
    SessionEnded,
    TokenError,
    TokenReason,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.session import RefreshToken, TokenPair
from tests.helpers.event_loop import VirtualTimeLoop, run_ready
from tests.helpers.strict_upstream import RemoteStore, StrictDescope

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Use a loop in which timeouts take no real time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def refreshed_token(refresher: RefreshCoordinator, refresh_token: RefreshToken) -> str:
    """Return the refresh token that a request with ``refresh_token`` gets."""
    outcome = await refresher.refresh(refresh_token)
    assert isinstance(outcome, Renewed)
    return outcome.pair.refresh.text


async def test_late_requests_get_the_new_tenant() -> None:
    """A switch makes one call. Requests with the old token are in the new tenant too."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()

    pair = await refresher.switch(refresh_token, *descope.select_tenant("globex"))

    assert pair.session.tenant_id == "globex"
    assert await refresher.refresh(refresh_token) == Renewed(pair)
    assert descope.calls == ["ada/0/acme"]


async def test_tn09_switch_waits_for_a_refresh_and_uses_its_token() -> None:
    """The refresh was first, so the switch needs its token."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    refresh = asyncio.create_task(refresher.refresh(refresh_token))
    await run_ready()
    switch = asyncio.create_task(refresher.switch(refresh_token, *descope.select_tenant("globex")))
    await run_ready()
    assert descope.calls == ["ada/0/acme"]
    gate.set()

    pair = await switch

    assert pair.refresh.text == "ada/2/globex"
    assert await refresh == Renewed(descope.latest_pair("ada/1/acme"))
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]
    assert await refreshed_token(refresher, refresh_token) == "ada/2/globex"
    assert await refreshed_token(refresher, descope.latest_pair("ada/1/acme").refresh) == "ada/2/globex"


async def test_tn09_refresh_during_a_switch_gets_the_new_tenant() -> None:
    """It joins the switch instead of spending the old token a second time."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    switch = asyncio.create_task(refresher.switch(refresh_token, *descope.select_tenant("globex")))
    await run_ready()
    refresh = asyncio.create_task(refresher.refresh(refresh_token))
    await run_ready()
    gate.set()

    assert await refresh == Renewed(await switch)
    assert descope.calls == ["ada/0/acme"]


async def test_tn09_outcome_after_a_switch_is_the_new_tenant() -> None:
    """The cached outcome is that of the switch, for every token of the family."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    assert await refresher.outcome(refresh_token) is None
    first = await refresher.refresh(refresh_token)
    assert await refresher.outcome(refresh_token) == first

    switched = await refresher.switch(refresh_token, *descope.select_tenant("globex"))

    assert await refresher.outcome(refresh_token) == Renewed(switched)
    assert await refresher.outcome(descope.latest_pair("ada/1/acme").refresh) == Renewed(switched)
    assert await refresher.outcome(switched.refresh) is None
    assert len(descope.calls) == 2


@pytest.mark.parametrize("store", [MemoryRefreshStore, RemoteStore])
async def test_concurrent_switches_run_in_order(store: type[MemoryRefreshStore]) -> None:
    """Many tabs switch at the same time. Each switch uses the current token and gets its own tenant."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator(store(descope.clock))
    tenants = [f"tenant{number}" for number in range(10)]

    pairs = await asyncio.gather(
        *[refresher.switch(refresh_token, *descope.select_tenant(tenant)) for tenant in tenants],
    )

    assert [pair.session.tenant_id for pair in pairs] == tenants
    spent = ["ada/0/acme", *[f"ada/{number + 1}/tenant{number}" for number in range(9)]]
    assert descope.calls == spent
    assert await refreshed_token(refresher, refresh_token) == "ada/10/tenant9"


async def test_concurrent_switches_with_old_and_new_tokens_run_in_order() -> None:
    """Tabs with the current token and tabs with an old one share the order."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)
    newer = descope.latest_pair("ada/1/acme").refresh

    first, second, third = await asyncio.gather(
        refresher.switch(newer, *descope.select_tenant("globex")),
        refresher.switch(refresh_token, *descope.select_tenant("initech")),
        refresher.switch(newer, *descope.select_tenant("hooli")),
    )

    tenants = [pair.session.tenant_id for pair in (first, second, third)]
    assert tenants == ["globex", "initech", "hooli"]
    assert len(set(descope.calls)) == len(descope.calls) == 4


async def test_switch_with_an_old_token_waits_for_a_refresh_of_the_current_token() -> None:
    """The token of the running refresh counts."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)
    refresher.mark_presented("ada/1/acme")
    gate = descope.hold_responses()
    newer = descope.latest_pair("ada/1/acme").refresh
    refresh = asyncio.create_task(refresher.refresh(newer))
    await run_ready()
    switch = asyncio.create_task(refresher.switch(refresh_token, *descope.select_tenant("globex")))
    await run_ready()
    gate.set()

    assert (await switch).refresh.text == "ada/3/globex"
    assert isinstance(await refresh, Renewed)
    assert descope.calls == ["ada/0/acme", "ada/1/acme", "ada/2/acme"]


@pytest.mark.parametrize("error", [UpstreamRejected(403, "E011004"), UpstreamUnavailable(9)])
async def test_failed_switch_changes_nothing(
    error: UpstreamRejected | UpstreamUnavailable,
) -> None:
    """Its error is raised unchanged, nothing is cached, and the session stays valid."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.scripted_errors = [error]

    with pytest.raises(type(error)) as caught:
        await refresher.switch(refresh_token, *descope.select_tenant("globex"))

    assert caught.value is error
    assert descope.recorded_events == []
    assert await refresher.outcome(refresh_token) is None
    assert await refreshed_token(refresher, refresh_token) == "ada/1/acme"


async def test_refresh_that_waited_for_a_failed_switch_still_runs() -> None:
    """The requests that waited have no result, so they refresh."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.scripted_errors = [UpstreamRejected(403)]
    gate = descope.hold_responses()
    switch = asyncio.create_task(refresher.switch(refresh_token, *descope.select_tenant("globex")))
    await run_ready()
    joined = refresher.start_refresh(refresh_token)
    waiting = [asyncio.create_task(refresher.refresh(refresh_token)) for _ in range(20)]
    await run_ready()
    gate.set()

    with pytest.raises(UpstreamRejected):
        await switch
    assert isinstance(await joined, SwitchFailed)
    assert await asyncio.gather(*waiting) == [Renewed(descope.latest_pair("ada/1/acme"))] * 20
    assert descope.calls == ["ada/0/acme", "ada/0/acme"]


async def test_tn07_pair_that_fails_verification_is_discarded() -> None:
    """The verification of the switch decides, not that of the refresh. It may require another tenant."""
    descope = StrictDescope()
    descope.rotates = False
    refresh_token, refresher = descope.sign_in(), descope.coordinator()

    async def reject(_result: RefreshResult, _refresh_token: RefreshToken) -> TokenPair:
        raise InvalidUpstreamResponse("tenant")

    with pytest.raises(InvalidUpstreamResponse, match="unexpected"):
        await refresher.switch(refresh_token, descope.select_tenant("globex")[0], reject)
    assert await refresher.outcome(refresh_token) is None
    assert await refreshed_token(refresher, refresh_token) == "ada/0/acme"


async def test_unverified_switch_is_cached_until_keys_are_available() -> None:
    """Descope has rotated the token, and its response holds the only copy of the new one."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)
    descope.keys_available = False
    with pytest.raises(UpstreamUnavailable) as caught:
        await refresher.switch(refresh_token, *descope.select_tenant("globex"))
    assert caught.value.retry_after == 7
    assert await refresher.outcome(refresh_token) == Unavailable(7)

    descope.keys_available = True

    assert await refreshed_token(refresher, refresh_token) == "ada/2/globex"
    assert len(descope.calls) == 2


async def test_switch_with_a_token_that_fits_in_no_header_fails() -> None:
    """It was cached unverified, for lack of keys. The state of the session is unknown."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.scripted_errors = [TokenError(TokenReason.MALFORMED)]

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await refresher.switch(refresh_token, *descope.select_tenant("globex"))

    assert caught.value.reason == "refresh_token"


async def test_lo03_switch_does_not_revive_a_logged_out_session() -> None:
    """No call is made, even if the logout never reached Descope."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(refresh_token)
    await refresher.revoke(refresh_token, wait_timeout=1)

    with pytest.raises(SessionEnded):
        await refresher.switch(refresh_token, *descope.select_tenant("globex"))

    assert len(descope.calls) == 1


async def test_lo03_logout_during_a_switch_ends_the_session() -> None:
    """The call was already running. Its result is discarded."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    gate = descope.hold_responses()
    switch = asyncio.create_task(refresher.switch(refresh_token, *descope.select_tenant("globex")))
    await run_ready()
    await refresher.revoke(refresh_token, wait_timeout=1)
    gate.set()

    with pytest.raises(SessionEnded):
        await switch
    assert await refresher.refresh(refresh_token) == Ended()
    assert len(descope.calls) == 1


async def test_switch_cancelled_by_a_shutdown_is_unavailable() -> None:
    """The client may try again."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    descope.hold_responses()
    switch = asyncio.create_task(refresher.switch(refresh_token, *descope.select_tenant("globex")))
    await run_ready()

    await refresher.drain(1)

    with pytest.raises(UpstreamUnavailable):
        await switch


@pytest.mark.parametrize("steps", range(51))
async def test_rf06_switch_cancelled_at_any_step_keeps_the_session(steps: int) -> None:
    """The switch has happened or it has not. In either case the session stays valid."""
    descope = StrictDescope()
    refresh_token, refresher = descope.sign_in(), descope.coordinator()
    switch = asyncio.create_task(refresher.switch(refresh_token, *descope.select_tenant("globex")))
    for _ in range(steps):
        await asyncio.sleep(0)
    switch.cancel()
    await asyncio.wait([switch])

    assert await refreshed_token(refresher, refresh_token) == ("ada/1/globex" if steps else "ada/1/acme")
    assert descope.calls == ["ada/0/acme"]
