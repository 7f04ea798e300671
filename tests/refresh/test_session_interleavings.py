"""Random events of one session in two processes, in any order and at any distance (F14).

The suite runs the same 300 sessions each time, HYPOTHESIS_PROFILE=slow 50 000 new ones.
"""

from contextlib import closing

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.helpers.fleet_model import FleetSession
from tests.helpers.fleet_state_machine import STEPS, SessionMachine

_SETTINGS = settings(stateful_step_count=STEPS, max_examples=max(300, settings().max_examples))


def test_f14_lo03_tn09_invariants_hold_for_random_events() -> None:
    """No request gets a pair after a logout, an old tenant after a switch, or a false end.

    No token is used twice, no two calls run concurrently, and every request ends.
    """
    run_state_machine_as_test(SessionMachine, settings=_SETTINGS)


@pytest.mark.parametrize("iterations", range(24))
def test_lo03_switch_that_finishes_as_a_logout_stops_waiting_ends_too(iterations: int) -> None:
    """Its result is stored after the logout has read the store and before it writes."""
    with closing(FleetSession()) as session:
        (refresh_token,) = session.tokens
        session.hold_responses()
        session.switch(1, refresh_token, "globex")
        session.run_ready(90)
        session.log_out(0, refresh_token, reaches_descope=False)
        session.wait(1)
        session.run_ready(iterations)
        session.release_responses()
        session.run_ready(200)

        assert session.is_logged_out
        session.check_end()
