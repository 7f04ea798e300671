"""The circuit breaker of the guard, with calls that start and end in any order (RF-09)."""

import math

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from fastapi_descope._upstream.resilience import CallPermit
from fastapi_descope.errors import (
    CircuitOpen,
    InvalidUpstreamResponse,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.events import Event, UpstreamDegraded, UpstreamRecovered
from tests.helpers.breaker_harness import ADA, GRACE, BreakerHarness, finish_call


class OutageMachine(RuleBasedStateMachine):
    """Calls that start and end in any order. It models which ones the guard must admit."""

    def __init__(self) -> None:
        super().__init__()
        self.harness = BreakerHarness(0.5)
        self.in_flight: list[CallPermit] = []
        self.probe: CallPermit | None = None
        self.probed_at = 0.0
        self.failed_at: list[float] = []
        self.first_failure = math.inf
        self.opened_at: float | None = None
        self.event_count = 0

    def _new_events(self) -> list[Event]:
        events = self.harness.recorded_events[self.event_count :]
        self.event_count += len(events)
        return events

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0, 31.0]))
    def advance_clock(self, seconds: float) -> None:
        """Let delays and probe timeouts end."""
        self.harness.clock.now += seconds

    @rule(bearer=st.sampled_from([ADA, GRACE]))
    def start(self, bearer: str) -> None:
        """While closed, every call is admitted; while open, none for five seconds, then one at a time."""
        permit = self._try_start(bearer)
        assert permit is not None or self.opened_at is not None
        if permit is not None and self.opened_at is not None:
            now = self.harness.clock.now
            assert now >= self.opened_at + 5
            assert self.probe is None or now >= self.probed_at + 6
            self.probe, self.probed_at = permit, now

    @precondition(lambda self: self.in_flight)
    @rule(
        data=st.data(),
        error=st.sampled_from([None, UpstreamRejected(400), InvalidUpstreamResponse("redirect")]),
    )
    def respond(self, data: st.DataObject, error: UpstreamError | None) -> None:
        """Only a response to the probe, or to a call no older than the failures, ends an outage."""
        permit = self._pop(data)
        finish_call(permit, error)
        is_current = permit is self.probe or permit.sent_at >= self.first_failure
        ends_outage = self.opened_at is not None and is_current
        assert self._new_events() == ([UpstreamRecovered()] if ends_outage else [])
        if ends_outage:
            self.opened_at = self.probe = None
        if self.opened_at is None:
            self.failed_at.clear()
            self.first_failure = math.inf

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """Five failures in a row within ten seconds start an outage, and no fewer."""
        permit = self._pop(data)
        finish_call(permit, UpstreamUnavailable())
        if permit is self.probe:
            self.probe = None
        now = self.harness.clock.now
        starts_outage = False
        if self.opened_at is None:
            self.first_failure = min(self.first_failure, permit.sent_at)
            self.failed_at.append(now)
            starts_outage = len(self.failed_at) >= 5 and now - self.failed_at[-5] <= 10
        assert self._new_events() == ([UpstreamDegraded("server_error")] if starts_outage else [])
        if starts_outage:
            self.opened_at = now

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """A cancelled call does not change the state."""
        permit = self._pop(data)
        finish_call(permit, KeyboardInterrupt())
        if permit is self.probe:
            self.probe = None
        assert self._new_events() == []

    @precondition(lambda self: self.opened_at is not None)
    @rule()
    def probe_after_the_longest_delay(self) -> None:
        """After the longest delay a probe is due in every state."""
        self.harness.clock.now += 31
        self.start(ADA)
        assert self.probe is self.in_flight[-1]

    def _try_start(self, bearer: str) -> CallPermit | None:
        try:
            self.in_flight.append(self.harness.start_call(bearer))
        except CircuitOpen:
            return None
        return self.in_flight[-1]

    def _pop(self, data: st.DataObject) -> CallPermit:
        return self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))


TestOutage = OutageMachine.TestCase
