"""Calls through an ``UpstreamGuard`` without a network."""

import pytest

from fastapi_descope._upstream.resilience import CallPermit, UpstreamGuard
from fastapi_descope.errors import UpstreamUnavailable
from fastapi_descope.events import Event, EventBus
from tests.helpers.fake_clock import FakeClock

ADA, GRACE = "Bearer P:ada", "Bearer P:grace"


class BreakerHarness:
    """A guard, its clock and its events, and calls that end as the test decides."""

    def __init__(self, jitter: float = 0.0, call_timeout: float = 5.0) -> None:
        self.clock = FakeClock()
        self.recorded_events: list[Event] = []
        events = EventBus()
        events.subscribe(self.recorded_events.append)
        self.guard = UpstreamGuard(
            monotonic=self.clock, events=events, call_timeout=call_timeout, jitter=lambda: jitter
        )

    def start_call(self, bearer: str = ADA) -> CallPermit:
        """Return the permit of a call that has been sent."""
        permit = self.guard.call(bearer)
        permit.acquire()
        return permit

    def complete_call(self, error: BaseException | None, bearer: str = ADA) -> None:
        """Make a call that ends immediately."""
        finish_call(self.start_call(bearer), error)

    def fail(self, times: int = 5) -> None:
        """Make calls that get no response."""
        for _ in range(times):
            self.complete_call(UpstreamUnavailable())

    def rejected_call(self, bearer: str = ADA) -> UpstreamUnavailable:
        """Return the error of a call that the guard rejects."""
        with pytest.raises(UpstreamUnavailable) as caught:
            self.guard.call(bearer)
        return caught.value


def finish_call(permit: CallPermit, error: BaseException | None) -> None:
    """Leave the context of a call, with or without an error."""
    permit.__exit__(None if error is None else type(error), error, None)
