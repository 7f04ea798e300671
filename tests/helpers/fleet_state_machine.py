"""A Hypothesis state machine: random events of one session in two processes, in any order (F14).

``FleetSession`` executes them, one event loop iteration at a time, and checks every outcome.
"""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fastapi_descope.session import RefreshToken
from tests.helpers.faulty_upstream import Fault
from tests.helpers.fleet_model import Delivery, FleetSession

__all__ = ["STEPS", "SessionMachine"]

_PROCESS = st.integers(0, 1)
_TOKEN_INDEX = st.integers(0, 5)
_ITERATIONS = st.sampled_from([0, 1, 2, 5, 11, 23, 30, 37, 45, 60, 90, 200])
"""Event loop iterations after a rule. A whole refresh takes about fifty."""

STEPS = 40
"""The maximum number of rules per session."""

_MAX_SECONDS = 300
"""The time limit of a run. Results are cached for ten minutes, so none expires during a run."""


class SessionMachine(RuleBasedStateMachine):
    """The rules: what users, machines and Descope may do, each followed by some event loop iterations."""

    @initialize(
        rotates=st.sampled_from([True, True, True, False]),
        reuse_grace=st.sampled_from([600, 0]),
        lifetime=st.sampled_from([600, 60]),
        quiet_steps=st.integers(0, STEPS),
    )
    def sign_in(self, *, rotates: bool, reuse_grace: float, lifetime: int, quiet_steps: int) -> None:
        """Start a session at one of several kinds of Descope. It is not ended for ``quiet_steps``."""
        self.session = FleetSession(rotates=rotates, reuse_grace=reuse_grace, lifetime=lifetime)
        self.quiet_steps = quiet_steps
        self.crashes = 0

    @rule(process=_PROCESS, index=_TOKEN_INDEX, delivery=st.sampled_from(Delivery), iterations=_ITERATIONS)
    def request(self, process: int, index: int, delivery: Delivery, iterations: int) -> None:
        """Start a request with an expired session, possibly with an old refresh token."""
        for refresh_token in self.choose_token(index):
            self.session.request(process, refresh_token, delivery)
        self.finish_step(iterations)

    @rule(
        process=_PROCESS,
        index=_TOKEN_INDEX,
        tenant=st.sampled_from(["globex", "initech"]),
        delivery=st.sampled_from(Delivery),
        iterations=_ITERATIONS,
    )
    def switch(self, process: int, index: int, tenant: str, delivery: Delivery, iterations: int) -> None:
        """Start a tenant switch."""
        for refresh_token in self.choose_token(index):
            self.session.switch(process, refresh_token, tenant, delivery)
        self.finish_step(iterations)

    @precondition(lambda self: self.quiet_steps <= 0)
    @rule(
        process=_PROCESS,
        index=_TOKEN_INDEX,
        reaches_descope=st.sampled_from([False, False, True]),
        seconds=st.sampled_from([0, 1, 2]),
        iterations=_ITERATIONS,
    )
    def log_out(
        self, process: int, index: int, seconds: float, iterations: int, *, reaches_descope: bool
    ) -> None:
        """Start a logout, possibly until it stops waiting."""
        for refresh_token in self.choose_token(index):
            self.session.log_out(process, refresh_token, reaches_descope=reaches_descope)
        self.session.wait(seconds)
        self.finish_step(iterations)

    @rule(index=_TOKEN_INDEX, iterations=_ITERATIONS)
    def cancel_request(self, index: int, iterations: int) -> None:
        """Cancel a request that is waiting."""
        self.session.cancel_request(index)
        self.finish_step(iterations)

    @precondition(lambda self: self.crashes < 2)
    @rule(process=_PROCESS, iterations=_ITERATIONS)
    def crash(self, process: int, iterations: int) -> None:
        """Replace a process and cancel everything that it runs."""
        self.crashes += 1
        self.session.crash(process)
        self.finish_step(iterations)

    @precondition(lambda self: not self.session.descope.faults)
    @rule(fault=st.sampled_from([fault for fault in Fault if fault is not Fault.REVOKED]))
    def inject_fault(self, fault: Fault) -> None:
        """Make the next call to Descope fail."""
        self.session.descope.faults.append(fault)

    @precondition(lambda self: self.quiet_steps <= 0)
    @rule()
    def revoke(self) -> None:
        """End the session at Descope just before the next call, as an administrator does."""
        self.session.descope.faults.append(Fault.REVOKED)

    @rule()
    def hold_responses(self) -> None:
        """Make Descope slow."""
        self.session.hold_responses()

    @rule(iterations=_ITERATIONS)
    def release_responses(self, iterations: int) -> None:
        """Make Descope fast again."""
        self.session.release_responses()
        self.finish_step(iterations)

    @rule(iterations=_ITERATIONS)
    def lose_keys(self, iterations: int) -> None:
        """Make verification impossible for some event loop iterations."""
        self.session.descope.keys_available = False
        self.finish_step(iterations)
        self.session.descope.keys_available = True

    @precondition(lambda self: self.session.elapsed < _MAX_SECONDS)
    @rule(seconds=st.sampled_from([0.05, 0.1, 0.5, 1, 1.5, 2, 4, 6, 16, 31, 61]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.session.wait(seconds)
        self.finish_step(0)

    def finish_step(self, iterations: int) -> None:
        """Run the event loop and count the step."""
        self.quiet_steps -= 1
        self.session.run_ready(iterations)

    def choose_token(self, index: int) -> list[RefreshToken]:
        """Return one of the tokens that a browser may send, counted from the newest, or nothing."""
        tokens = self.session.tokens
        return [tokens[-1 - index % len(tokens)]] if tokens else []

    def teardown(self) -> None:
        """Check that every request ends and the session is in the right state."""
        try:
            self.session.check_end()
        finally:
            self.session.close()
