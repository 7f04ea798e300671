"""Hypothesis makes up what happens to one session in two processes: any order, at any distance (F14).

``FleetSession`` plays it, one turn of the event loop at a time, and checks whatever anybody is told.
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fastapi_descope.session import RefreshToken
from tests.helpers.faulty_upstream import Fault
from tests.helpers.fleet_model import Fate, FleetSession

__all__ = ["STEPS", "SessionMachine"]

_PROCESS = st.integers(0, 1)
_ANY = st.integers(0, 5)
_TURNS = st.sampled_from([0, 1, 2, 5, 11, 23, 30, 37, 45, 60, 90, 200])
"""A whole refresh takes some fifty turns."""

STEPS = 40
"""How many rules a session goes through at most."""

_MOST_SECONDS = 300
"""Results are remembered for ten minutes: what anybody holds stays good for as long as a run takes."""


class SessionMachine(RuleBasedStateMachine):
    """The rules: what people, machines and Descope may do, each followed by some turns of the loop."""

    @initialize(
        rotates=st.sampled_from([True, True, True, False]),
        reuse_grace=st.sampled_from([600, 0]),
        lifetime=st.sampled_from([600, 60]),
        quiet_steps=st.integers(0, STEPS),
    )
    def sign_in(self, *, rotates: bool, reuse_grace: float, lifetime: int, quiet_steps: int) -> None:
        """A session begins, at one of several kinds of Descope; nobody ends it for some time."""
        self.session = FleetSession(rotates=rotates, reuse_grace=reuse_grace, lifetime=lifetime)
        self.quiet_steps = quiet_steps
        self.crashes = 0

    @rule(process=_PROCESS, number=_ANY, fate=st.sampled_from(Fate), turns=_TURNS)
    def request(self, process: int, number: int, fate: Fate, turns: int) -> None:
        """A request with a dead session, perhaps a late twin, begins."""
        for held in self.chosen(number):
            self.session.request(process, held, fate)
        self.go_on(turns)

    @rule(process=_PROCESS, number=_ANY, tenant=st.sampled_from(["globex", "initech"]), turns=_TURNS)
    def switch(self, process: int, number: int, tenant: str, turns: int) -> None:
        """A tenant switch begins."""
        for held in self.chosen(number):
            self.session.switch(process, held, tenant)
        self.go_on(turns)

    @precondition(lambda self: self.quiet_steps <= 0)
    @rule(
        process=_PROCESS,
        number=_ANY,
        reaches_descope=st.sampled_from([False, False, True]),
        seconds=st.sampled_from([0, 1, 2]),
        turns=_TURNS,
    )
    def sign_out(
        self, process: int, number: int, seconds: float, turns: int, *, reaches_descope: bool
    ) -> None:
        """A logout begins; perhaps until its patience is over."""
        for held in self.chosen(number):
            self.session.sign_out(process, held, reaches_descope=reaches_descope)
        self.session.wait(seconds)
        self.go_on(turns)

    @rule(number=_ANY, turns=_TURNS)
    def hang_up(self, number: int, turns: int) -> None:
        """Somebody who waits does not want to any more."""
        self.session.hang_up(number)
        self.go_on(turns)

    @precondition(lambda self: self.crashes < 2)
    @rule(process=_PROCESS, turns=_TURNS)
    def crash(self, process: int, turns: int) -> None:
        """A process is replaced, with all that it had in flight."""
        self.crashes += 1
        self.session.crash(process)
        self.go_on(turns)

    @precondition(lambda self: not self.session.descope.faults)
    @rule(fault=st.sampled_from([fault for fault in Fault if fault is not Fault.REVOKED]))
    def spoil_a_call(self, fault: Fault) -> None:
        """The next call goes wrong."""
        self.session.descope.faults.append(fault)

    @precondition(lambda self: self.quiet_steps <= 0)
    @rule()
    def revoke(self) -> None:
        """An administrator ends the session at Descope, just before the next call."""
        self.session.descope.faults.append(Fault.REVOKED)

    @rule()
    def hold_answers(self) -> None:
        """Descope is slow from now on."""
        self.session.hold()

    @rule(turns=_TURNS)
    def release_answers(self, turns: int) -> None:
        """Descope is quick again."""
        self.session.release()
        self.go_on(turns)

    @rule(turns=_TURNS)
    def lose_the_keys(self, turns: int) -> None:
        """For some turns nobody can verify anything."""
        self.session.descope.keys_known = False
        self.go_on(turns)
        self.session.descope.keys_known = True

    @precondition(lambda self: self.session.elapsed < _MOST_SECONDS)
    @rule(seconds=st.sampled_from([0.05, 0.1, 0.5, 1, 1.5, 2, 4, 6, 16, 31, 61]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.session.wait(seconds)
        self.go_on(0)

    def go_on(self, turns: int) -> None:
        """One step is done."""
        self.quiet_steps -= 1
        self.session.turn(turns)

    def chosen(self, number: int) -> list[RefreshToken]:
        """One of the tokens that somebody may come with, counted from the newest; none if there is none."""
        tokens = self.session.tokens
        return [tokens[-1 - number % len(tokens)]] if tokens else []

    def teardown(self) -> None:
        """Whatever happened: everybody is told something, and the session is where it has to be."""
        try:
            self.session.check_end()
        finally:
            self.session.close()
