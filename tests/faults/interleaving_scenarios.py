"""Switches, refreshes, logouts and crashes of one session in orders that Hypothesis generates: scenario F14.

This scenario starts no processes: a reproducible scheduler finds more than real time does.
"""

import asyncio

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from typing_extensions import override

from tests.helpers.fleet_state_machine import STEPS, SessionMachine

from .checker import Report
from .testbed import Scale

__all__ = ["interleavings"]

_SESSIONS = {Scale.SHORT: 100, Scale.LONG: 2000}


async def interleavings(_: None, scale: Scale) -> Report:
    """F14: no pair after a logout, no old tenant after a switch, no end of a session that Descope knows.

    ``FleetSession`` checks every result. The first session that fails ends the run.
    """
    run_settings = settings(
        stateful_step_count=STEPS,
        max_examples=_SESSIONS[scale],
        deadline=None,
        database=None,
        report_multiple_bugs=False,  # the report is one line
    )
    calls: list[int] = []

    class Counted(SessionMachine):
        """Counts the calls to Descope."""

        @override
        def teardown(self) -> None:
            calls.append(len(self.session.descope.exchanges))
            super().teardown()

    violations: tuple[str, ...] = ()
    try:
        await asyncio.to_thread(run_state_machine_as_test, Counted, settings=run_settings)
    except AssertionError as error:
        violations = (
            str(error) or "an invariant was violated; tests/refresh/test_session_interleavings.py shows how",
        )
    return Report(
        "F14",
        f"switch, refresh, logout, crash: {len(calls)} sessions of {STEPS} steps",
        upstream_calls=sum(calls),
        wrongly_logged_out=len(violations),
        foreign_identities=0,
        cookies_cleared=0,
        revoked=0,
        violations=violations,
    )
