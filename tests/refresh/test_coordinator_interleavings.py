"""Refresh, switch and logout of one session in every order and at every distance (F14, TN-09, LO-03)."""

import asyncio
import contextlib
from itertools import permutations

import pytest

from fastapi_descope._refresh.outcome import Ended, Renewed
from fastapi_descope.errors import SessionEnded
from tests.helpers.event_loop import VirtualTimeLoop
from tests.helpers.strict_upstream import RemoteStore, StrictDescope

pytestmark = pytest.mark.anyio

STEPS = 160
"""More turns of the event loop than any of the three takes alone."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Deadlines pass at once."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


class Scene:
    """One session, and what may happen to it."""

    def __init__(self, *, distant: bool) -> None:
        self.descope = StrictDescope()
        self.held = self.descope.sign_in()
        store = RemoteStore(self.descope.clock) if distant else self.descope.store
        self.refresher = self.descope.coordinator(store)
        self.handed_out = [self.held]

    async def refresh(self) -> None:
        """A request with a dead session."""
        outcome = await self.refresher.refresh(self.held)
        if isinstance(outcome, Renewed):
            self.handed_out.append(outcome.pair.refresh)

    async def switch(self) -> None:
        """A switch, which a logout may forestall."""
        with contextlib.suppress(SessionEnded):
            pair = await self.refresher.switch(self.held, *self.descope.select_tenant("globex"))
            self.handed_out.append(pair.refresh)

    async def log_out(self) -> None:
        """A logout."""
        await self.refresher.revoke(self.held, wait_timeout=1)

    async def play(self, order: tuple[str, ...], steps: int) -> None:
        """Begin one after the other, ``steps`` turns of the event loop apart, and let all of them land."""
        tasks: list[asyncio.Task[None]] = []
        for name in order:
            tasks.append(asyncio.create_task(getattr(self, name)()))
            for _ in range(steps):
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("distant", [False, True], ids=["memory", "network"])
@pytest.mark.parametrize("order", list(permutations(("refresh", "switch", "log_out"))), ids="-".join)
async def test_f14_no_request_gets_a_pair_after_a_logout(order: tuple[str, ...], *, distant: bool) -> None:
    """Whatever ran beside it, and whichever token is presented that anybody got; none is used twice."""
    for steps in range(STEPS):
        scene = Scene(distant=distant)
        await scene.play(order, steps)

        calls = list(scene.descope.calls)
        assert len(set(calls)) == len(calls), steps
        for token in scene.handed_out:
            assert await scene.refresher.refresh(token) == Ended(), (steps, token.text)
        assert scene.descope.calls == calls


@pytest.mark.parametrize("distant", [False, True], ids=["memory", "network"])
@pytest.mark.parametrize("order", sorted(set(permutations(("refresh", "switch", "refresh")))), ids="-".join)
async def test_f14_session_has_the_new_tenant_after_a_switch(
    order: tuple[str, ...], *, distant: bool
) -> None:
    """Whatever ran beside it: no token is used twice, and late twins are in the new tenant."""
    for steps in range(STEPS):
        scene = Scene(distant=distant)
        await scene.play(order, steps)

        latest = await scene.refresher.outcome(scene.held)
        assert isinstance(latest, Renewed), steps
        assert latest.pair.session.tenant_id == "globex", steps
        assert len(set(scene.descope.calls)) == len(scene.descope.calls) <= 2, steps
