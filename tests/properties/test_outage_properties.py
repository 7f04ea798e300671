"""RF-09: calls that begin and end in any order, while Descope fails and comes back."""

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


class Outage(RuleBasedStateMachine):
    """Calls that begin and end in any order: what may go out, and what must not."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = BreakerHarness(0.5)
        self.under_way: list[CallPermit] = []
        self.trial: CallPermit | None = None
        self.tried_at = 0.0
        self.failed_at: list[float] = []
        self.first_failure = math.inf
        self.opened_at: float | None = None
        self.told = 0

    def _told_now(self) -> list[Event]:
        news, self.told = self.desk.recorded_events[self.told :], len(self.desk.recorded_events)
        return news

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        """So that waits end, and trials that are not heard of are given up."""
        self.desk.clock.now += seconds

    @rule(bearer=st.sampled_from([ADA, GRACE]))
    def begin(self, bearer: str) -> None:
        """While open, nothing for five seconds; then one at a time. While closed, everything."""
        attempt = self._begun(bearer)
        assert attempt is not None or self.opened_at is not None
        if attempt is not None and self.opened_at is not None:
            now = self.desk.clock.now
            assert now >= self.opened_at + 5
            assert self.trial is None or now >= self.tried_at + 6
            self.trial, self.tried_at = attempt, now

    @precondition(lambda self: self.under_way)
    @rule(
        data=st.data(),
        error=st.sampled_from([None, UpstreamRejected(400), InvalidUpstreamResponse("redirect")]),
    )
    def response(self, data: st.DataObject, error: UpstreamError | None) -> None:
        """Only the trial's ends an outage, or that of a call no older than the failures; none begins one."""
        attempt = self._take(data)
        finish_call(attempt, error)
        is_news = attempt is self.trial or attempt.sent_at >= self.first_failure
        ends_it = self.opened_at is not None and is_news
        assert self._told_now() == ([UpstreamRecovered()] if ends_it else [])
        if ends_it:
            self.opened_at = self.trial = None
        if self.opened_at is None:
            self.failed_at.clear()
            self.first_failure = math.inf

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """Five in a row within ten seconds, and no fewer, begin an outage."""
        attempt = self._take(data)
        finish_call(attempt, UpstreamUnavailable())
        if attempt is self.trial:
            self.trial = None
        now = self.desk.clock.now
        begins = False
        if self.opened_at is None:
            self.first_failure = min(self.first_failure, attempt.sent_at)
            self.failed_at.append(now)
            begins = len(self.failed_at) >= 5 and now - self.failed_at[-5] <= 10
        assert self._told_now() == ([UpstreamDegraded("server_error")] if begins else [])
        if begins:
            self.opened_at = now

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Nothing is learnt from it."""
        attempt = self._take(data)
        finish_call(attempt, KeyboardInterrupt())
        if attempt is self.trial:
            self.trial = None
        assert self._told_now() == []

    @precondition(lambda self: self.opened_at is not None)
    @rule()
    def nothing_is_wedged(self) -> None:
        """Whatever happened: after the longest wait somebody may try."""
        self.desk.clock.now += 31
        self.begin(ADA)
        assert self.trial is self.under_way[-1]

    def _begun(self, bearer: str) -> CallPermit | None:
        try:
            self.under_way.append(self.desk.start_call(bearer))
        except CircuitOpen:
            return None
        return self.under_way[-1]

    def _take(self, data: st.DataObject) -> CallPermit:
        return self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))


TestOutage = Outage.TestCase
