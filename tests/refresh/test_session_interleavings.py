"""Whatever happens to one session in two processes, in any order and at any distance (F14).

The suite plays the same 300 sessions each time, HYPOTHESIS_PROFILE=slow 50 000 new ones.
"""

from contextlib import closing

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.helpers.fleet_model import FleetSession
from tests.helpers.fleet_state_machine import STEPS, SessionMachine

_SETTINGS = settings(stateful_step_count=STEPS, max_examples=max(300, settings().max_examples))


def test_f14_lo03_tn09_no_order_of_events_breaks_a_promise() -> None:
    """Nobody gets a pair after a logout, an old tenant after a switch, or an end while Descope knows them.

    And no token is used twice, no two calls are under way at once, and nobody waits for ever.
    """
    run_state_machine_as_test(SessionMachine, settings=_SETTINGS)


@pytest.mark.parametrize("turns", range(24))
def test_lo03_a_switch_that_lands_as_a_logout_loses_patience_ends_too(turns: int) -> None:
    """It is stored between the look that the logout takes and the word that it leaves."""
    with closing(FleetSession()) as session:
        (held,) = session.tokens
        session.hold()
        session.switch(1, held, "globex")
        session.turn(90)
        session.sign_out(0, held, reaches_descope=False)
        session.wait(1)
        session.turn(turns)
        session.release()
        session.turn(200)

        assert session.knows_of_a_logout
        session.check_end()
