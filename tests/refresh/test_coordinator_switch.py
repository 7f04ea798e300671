"""A tenant switch among refreshes of the same session: in order, and never undone (TN-07, TN-09)."""

import asyncio

import pytest

from fastapi_descope._refresh.coordinator import RefreshCoordinator
from fastapi_descope._refresh.outcome import Ended, Renewed, SwitchFailed, Unavailable
from fastapi_descope._refresh.store import MemoryRefreshStore, RefreshResult
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
from tests.helpers.strict_upstream import DistantStore, StrictDescope

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Deadlines pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def known(refresher: RefreshCoordinator, held: RefreshToken) -> str:
    """The newest refresh token that those get who still hold this one."""
    outcome = await refresher.refresh(held)
    assert isinstance(outcome, Renewed)
    return outcome.pair.refresh.text


async def test_a_switch_is_what_late_twins_get_from_then_on() -> None:
    """One call; whoever still carries the old token is in the new tenant too."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()

    pair = await refresher.switch(held, *descope.select("globex"))

    assert pair.session.tenant_id == "globex"
    assert await refresher.refresh(held) == Renewed(pair)
    assert descope.calls == ["ada/0/acme"]


async def test_tn09_a_switch_waits_for_a_refresh_and_uses_its_token() -> None:
    """The refresh was first: its token is the newest, and the switch comes last."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    hanging = descope.hold()
    refresh = asyncio.create_task(refresher.refresh(held))
    await run_ready()
    switch = asyncio.create_task(refresher.switch(held, *descope.select("globex")))
    await run_ready()
    assert descope.calls == ["ada/0/acme"]
    hanging.set()

    pair = await switch

    assert pair.refresh.text == "ada/2/globex"
    assert await refresh == Renewed(descope.pair_of("ada/1/acme"))
    assert descope.calls == ["ada/0/acme", "ada/1/acme"]
    assert await known(refresher, held) == "ada/2/globex"
    assert await known(refresher, descope.pair_of("ada/1/acme").refresh) == "ada/2/globex"


async def test_tn09_a_refresh_behind_a_switch_gets_the_new_tenant() -> None:
    """It joins the switch rather than to spend the old token a second time."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    hanging = descope.hold()
    switch = asyncio.create_task(refresher.switch(held, *descope.select("globex")))
    await run_ready()
    refresh = asyncio.create_task(refresher.refresh(held))
    await run_ready()
    hanging.set()

    assert await refresh == Renewed(await switch)
    assert descope.calls == ["ada/0/acme"]


async def test_tn09_a_pair_that_a_switch_has_overtaken_is_not_the_latest() -> None:
    """What is remembered of the session by now is the switch, for every token of the chain."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    assert await refresher.outcome(held) is None
    first = await refresher.refresh(held)
    assert await refresher.outcome(held) == first

    switched = await refresher.switch(held, *descope.select("globex"))

    assert await refresher.outcome(held) == Renewed(switched)
    assert await refresher.outcome(descope.pair_of("ada/1/acme").refresh) == Renewed(switched)
    assert await refresher.outcome(switched.refresh) is None
    assert len(descope.calls) == 2


@pytest.mark.parametrize("store", [MemoryRefreshStore, DistantStore])
async def test_switches_queue_and_each_gets_its_own_tenant(store: type[MemoryRefreshStore]) -> None:
    """Many tabs switch at the same time: one after the other, each with the newest token."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator(store(descope.clock))
    tenants = [f"tenant{number}" for number in range(10)]

    pairs = await asyncio.gather(
        *[refresher.switch(held, *descope.select(tenant)) for tenant in tenants],
    )

    assert [pair.session.tenant_id for pair in pairs] == tenants
    spent = ["ada/0/acme", *[f"ada/{number + 1}/tenant{number}" for number in range(9)]]
    assert descope.calls == spent
    assert await known(refresher, held) == "ada/10/tenant9"


async def test_switches_with_an_old_and_a_new_token_queue_too() -> None:
    """A tab that has the newest token, and one that has not, share the order."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(held)
    newer = descope.pair_of("ada/1/acme").refresh

    first, second, third = await asyncio.gather(
        refresher.switch(newer, *descope.select("globex")),
        refresher.switch(held, *descope.select("initech")),
        refresher.switch(newer, *descope.select("hooli")),
    )

    tenants = [pair.session.tenant_id for pair in (first, second, third)]
    assert tenants == ["globex", "initech", "hooli"]
    assert len(set(descope.calls)) == len(descope.calls) == 4


async def test_a_switch_behind_a_refresh_of_a_newer_token_waits_for_it() -> None:
    """The presented token is old; the one that is being refreshed right now counts."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(held)
    await refresher.mark_delivered(held)
    hanging = descope.hold()
    newer = descope.pair_of("ada/1/acme").refresh
    refresh = asyncio.create_task(refresher.refresh(newer))
    await run_ready()
    switch = asyncio.create_task(refresher.switch(held, *descope.select("globex")))
    await run_ready()
    hanging.set()

    assert (await switch).refresh.text == "ada/3/globex"
    assert isinstance(await refresh, Renewed)
    assert descope.calls == ["ada/0/acme", "ada/1/acme", "ada/2/acme"]


@pytest.mark.parametrize("error", [UpstreamRejected(403, "E011004"), UpstreamUnavailable(9)])
async def test_a_failed_switch_leaves_everything_as_it_was(
    error: UpstreamRejected | UpstreamUnavailable,
) -> None:
    """Its error is raised as it came; nothing is remembered, and the session goes on."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.script = [error]

    with pytest.raises(type(error)) as caught:
        await refresher.switch(held, *descope.select("globex"))

    assert caught.value is error
    assert descope.told == []
    assert await refresher.outcome(held) is None
    assert await known(refresher, held) == "ada/1/acme"


async def test_a_refresh_behind_a_failed_switch_still_runs() -> None:
    """Whoever waited knows nothing yet, and refreshes after all."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.script = [UpstreamRejected(403)]
    hanging = descope.hold()
    switch = asyncio.create_task(refresher.switch(held, *descope.select("globex")))
    await run_ready()
    beside = refresher.start_refresh(held)
    waiting = [asyncio.create_task(refresher.refresh(held)) for _ in range(20)]
    await run_ready()
    hanging.set()

    with pytest.raises(UpstreamRejected):
        await switch
    assert isinstance(await beside, SwitchFailed)
    assert await asyncio.gather(*waiting) == [Renewed(descope.pair_of("ada/1/acme"))] * 20
    assert descope.calls == ["ada/0/acme", "ada/0/acme"]


async def test_tn07_a_pair_that_is_not_accepted_is_dropped() -> None:
    """The switch's own verification decides, not the refresh's: say, that the tenant is another."""
    descope = StrictDescope()
    descope.rotates = False
    held, refresher = descope.sign_in(), descope.coordinator()

    async def refuse(_result: RefreshResult, _held: RefreshToken) -> TokenPair:
        raise InvalidUpstreamResponse("tenant")

    with pytest.raises(InvalidUpstreamResponse, match="unexpected"):
        await refresher.switch(held, descope.select("globex")[0], refuse)
    assert await refresher.outcome(held) is None
    assert await known(refresher, held) == "ada/0/acme"


async def test_a_switch_that_cannot_be_verified_is_kept_until_it_can() -> None:
    """Descope has rotated the token: what it answered is the only copy of the new one."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(held)
    descope.keys_known = False
    with pytest.raises(UpstreamUnavailable) as caught:
        await refresher.switch(held, *descope.select("globex"))
    assert caught.value.retry_after == 7
    assert await refresher.outcome(held) == Unavailable(7)

    descope.keys_known = True

    assert await known(refresher, held) == "ada/2/globex"
    assert len(descope.calls) == 2


async def test_an_unverified_token_that_cannot_be_sent_is_no_error_of_ours() -> None:
    """It was kept for want of keys and turns out to be no token: nothing is decided."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.script = [TokenError(TokenReason.MALFORMED)]

    with pytest.raises(InvalidUpstreamResponse) as caught:
        await refresher.switch(held, *descope.select("globex"))

    assert caught.value.reason == "refresh_token"


async def test_lo03_a_switch_does_not_revive_what_a_logout_ended() -> None:
    """Nothing is asked of Descope, even if the logout never reached it."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    await refresher.refresh(held)
    await refresher.revoke(held, wait_timeout=1)

    with pytest.raises(SessionEnded):
        await refresher.switch(held, *descope.select("globex"))

    assert len(descope.calls) == 1


async def test_lo03_a_logout_during_a_switch_has_the_last_word() -> None:
    """The switch had been asked of Descope already: what it brings is dropped."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    hanging = descope.hold()
    switch = asyncio.create_task(refresher.switch(held, *descope.select("globex")))
    await run_ready()
    await refresher.revoke(held, wait_timeout=1)
    hanging.set()

    with pytest.raises(SessionEnded):
        await switch
    assert await refresher.refresh(held) == Ended()
    assert len(descope.calls) == 1


async def test_a_switch_that_a_shutdown_cuts_off_has_no_verdict() -> None:
    """The one who waits is told to come back."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    descope.hold()
    switch = asyncio.create_task(refresher.switch(held, *descope.select("globex")))
    await run_ready()

    await refresher.drain(1)

    with pytest.raises(UpstreamUnavailable):
        await switch


@pytest.mark.parametrize("steps", range(51))
async def test_rf06_a_switch_cancelled_at_any_step_loses_nothing(steps: int) -> None:
    """It happened or it did not; in neither case is the session lost."""
    descope = StrictDescope()
    held, refresher = descope.sign_in(), descope.coordinator()
    switch = asyncio.create_task(refresher.switch(held, *descope.select("globex")))
    for _ in range(steps):
        await asyncio.sleep(0)
    switch.cancel()
    await asyncio.wait([switch])

    assert await known(refresher, held) == ("ada/1/globex" if steps else "ada/1/acme")
    assert descope.calls == ["ada/0/acme"]
