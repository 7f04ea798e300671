"""Calls to Descope without a network: they begin when a restraint lets them, and end as a test says."""

import pytest

from fastapi_descope._upstream.resilience import CallPermit, UpstreamGuard
from fastapi_descope.errors import UpstreamUnavailable
from fastapi_descope.events import Event, EventBus
from tests.helpers.fake_clock import FakeClock

ADA, GRACE = "Bearer P:ada", "Bearer P:grace"


class BreakerHarness:
    """A restraint, its clock, what it told, and calls that end as they are told to."""

    def __init__(self, jitter: float = 0.0, call_timeout: float = 5.0) -> None:
        self.clock = FakeClock()
        self.recorded_events: list[Event] = []
        events = EventBus()
        events.subscribe(self.recorded_events.append)
        self.guard = UpstreamGuard(
            monotonic=self.clock, events=events, call_timeout=call_timeout, jitter=lambda: jitter
        )

    def start_call(self, bearer: str = ADA) -> CallPermit:
        """A call that has gone out."""
        attempt = self.guard.call(bearer)
        attempt.acquire()
        return attempt

    def complete_call(self, error: BaseException | None, bearer: str = ADA) -> None:
        """A call that ends at once, so."""
        finish_call(self.start_call(bearer), error)

    def fail(self, times: int = 5) -> None:
        """Calls that are not answered."""
        for _ in range(times):
            self.complete_call(UpstreamUnavailable())

    def rejected_call(self, bearer: str = ADA) -> UpstreamUnavailable:
        """What a call meets that does not go out."""
        with pytest.raises(UpstreamUnavailable) as caught:
            self.guard.call(bearer)
        return caught.value


def finish_call(permit: CallPermit, error: BaseException | None) -> None:
    """Leave the context of a call, with an error or without."""
    permit.__exit__(None if error is None else type(error), error, None)
