"""F14: switches, refreshes, logouts and crashes of one session, in orders that Hypothesis makes up.

The one scenario without processes of its own: a scheduler that can be repeated finds more than a clock.
"""

import asyncio

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from typing_extensions import override

from tests.helpers.fleet_state_machine import STEPS, SessionMachine

from .observer import Report
from .rig import Scale

__all__ = ["interleavings"]

_SESSIONS = {Scale.SHORT: 100, Scale.LONG: 2000}


async def interleavings(_: None, scale: Scale) -> Report:
    """Nobody gets a pair after a logout, an old tenant after a switch, or an end while Descope knows them.

    ``FleetSession`` checks it whenever anybody is told anything, and a session that fails ends the run.
    """
    plays = settings(
        stateful_step_count=STEPS,
        max_examples=_SESSIONS[scale],
        deadline=None,
        database=None,
        report_multiple_bugs=False,  # one line says it
    )
    calls: list[int] = []

    class Counted(SessionMachine):
        """Tells how much was asked of Descope."""

        @override
        def teardown(self) -> None:
            calls.append(len(self.session.descope.exchanges))
            super().teardown()

    broken: tuple[str, ...] = ()
    try:
        await asyncio.to_thread(run_state_machine_as_test, Counted, settings=plays)
    except AssertionError as error:
        broken = (
            str(error) or "a promise was broken; tests/refresh/test_session_interleavings.py shows how",
        )
    return Report(
        "F14",
        f"switch, refresh, logout, crash: {len(calls)} sessions of {STEPS} steps",
        upstream_calls=sum(calls),
        wrongly_logged_out=len(broken),
        foreign_identities=0,
        cookies_cleared=0,
        revoked=0,
        violations=broken,
    )
