"""Refresh, switch and logout of one session in every order and at every distance (F14, TN-09, LO-03)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import permutations

import pytest

from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope.errors import SessionEnded
from tests.helpers.event_loop import VirtualTimeLoop
from tests.helpers.strict_upstream import RemoteStore, StrictDescope

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Use a loop in which timeouts take no real time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


class Scenario:
    """One session, and its operations."""

    def __init__(self, *, distant: bool) -> None:
        self.descope = StrictDescope()
        self.held = self.descope.sign_in()
        store = RemoteStore(self.descope.clock) if distant else self.descope.store
        self.refresher = self.descope.coordinator(store)
        self.received_tokens = [self.held]

    async def refresh(self) -> None:
        """Send a request with an expired session."""
        outcome = await self.refresher.refresh(self.held)
        if isinstance(outcome, Renewed):
            self.received_tokens.append(outcome.pair.refresh)

    async def switch(self) -> None:
        """Switch the tenant. A logout may come first."""
        with contextlib.suppress(SessionEnded):
            pair = await self.refresher.switch(self.held, *self.descope.select_tenant("globex"))
            self.received_tokens.append(pair.refresh)

    async def log_out(self) -> None:
        """Log out."""
        await self.refresher.revoke(self.held, wait_timeout=1)

    async def play(self, order: tuple[str, ...], steps: int) -> bool:
        """Start the operations ``steps`` event loop iterations apart, and wait for all of them.

        Returns whether one of them began before an earlier one had ended, with all that it does afterwards.
        """
        before = asyncio.all_tasks()
        tasks: list[asyncio.Task[None]] = []
        is_concurrent = False
        for name in order:
            is_concurrent |= asyncio.all_tasks() != before
            tasks.append(asyncio.create_task(getattr(self, name)()))
            for _ in range(steps):
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return is_concurrent


async def scenarios(order: tuple[str, ...], *, distant: bool) -> AsyncIterator[tuple[int, Scenario]]:
    """Play the operations at every distance at which they are concurrent, and once one after the other."""
    is_concurrent, steps = True, 0
    while is_concurrent:
        scenario = Scenario(distant=distant)
        is_concurrent = await scenario.play(order, steps)
        yield steps, scenario
        steps += 1


@pytest.mark.parametrize("distant", [False, True], ids=["memory", "network"])
@pytest.mark.parametrize("order", list(permutations(("refresh", "switch", "log_out"))), ids="-".join)
async def test_f14_no_request_gets_a_pair_after_a_logout(order: tuple[str, ...], *, distant: bool) -> None:
    """With every token that a browser got, and every concurrent operation. No token is used twice."""
    async for steps, scenario in scenarios(order, distant=distant):
        calls = list(scenario.descope.calls)
        assert len(set(calls)) == len(calls), steps
        for token in scenario.received_tokens:
            assert await scenario.refresher.refresh(token) == Ended(), (steps, token.text)
        assert scenario.descope.calls == calls


@pytest.mark.parametrize("distant", [False, True], ids=["memory", "network"])
@pytest.mark.parametrize("order", sorted(set(permutations(("refresh", "switch", "refresh")))), ids="-".join)
async def test_f14_session_has_the_new_tenant_after_a_switch(
    order: tuple[str, ...], *, distant: bool
) -> None:
    """With every concurrent operation. No token is used twice, and late requests are in the new tenant."""
    async for steps, scenario in scenarios(order, distant=distant):
        latest = await scenario.refresher.outcome(scenario.held)
        assert isinstance(latest, Renewed), steps
        assert latest.pair.session.tenant_id == "globex", steps
        assert len(set(scenario.descope.calls)) == len(scenario.descope.calls) <= 2, steps
