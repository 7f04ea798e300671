"""The guard of calls to Descope: when it rejects calls, when it probes, and its events (RF-09)."""

import pytest

from fastapi_descope.errors import (
    CircuitOpen,
    InvalidUpstreamResponse,
    RateLimited,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from fastapi_descope.events import UpstreamDegraded, UpstreamRecovered
from tests.helpers.breaker_harness import ADA, GRACE, BreakerHarness, finish_call

FAILURE = UpstreamUnavailable()
RESPONSES = {
    "yes": None,
    "a refusal": UpstreamRejected(401, "E061005"),
    "an unsigned 401": InvalidUpstreamResponse("unsigned_refusal"),
    "a redirect": InvalidUpstreamResponse("redirect"),
    "a 429": RateLimited(60),
}


def test_rf09_five_failures_in_a_row_reject_every_call() -> None:
    """The error says when to retry."""
    harness = BreakerHarness()
    harness.fail(4)
    harness.start_call(GRACE)
    harness.fail(1)
    for bearer in (ADA, GRACE):
        error = harness.rejected_call(bearer)
        assert (type(error), error.retry_after) == (CircuitOpen, 5)
    harness.clock.now += 3.5
    assert harness.rejected_call().retry_after == 2


def test_rf09_slow_failures_do_not_open_the_breaker() -> None:
    """One failure every three seconds is not an outage."""
    harness = BreakerHarness()
    for _ in range(20):
        harness.complete_call(FAILURE)
        harness.clock.now += 3
    assert harness.recorded_events == []


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
def test_rf09_any_response_but_a_5xx_is_no_outage(response: UpstreamError | None) -> None:
    """A hundred of them open no breaker, and one of them resets the count of failures."""
    harness = BreakerHarness()
    for _ in range(100):
        harness.complete_call(response)
    for _ in range(10):
        harness.fail(4)
        harness.complete_call(response)
    assert harness.recorded_events == []


def test_rf09_one_call_probes_while_others_are_rejected() -> None:
    """The response to the probe ends the outage for all callers."""
    harness = BreakerHarness()
    harness.fail()
    harness.clock.now += 5
    probe = harness.start_call()
    assert [type(harness.rejected_call()) for _ in range(20)] == [CircuitOpen] * 20
    finish_call(probe, None)
    harness.complete_call(None, GRACE)
    assert [type(event) for event in harness.recorded_events] == [UpstreamDegraded, UpstreamRecovered]


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
def test_rf09_any_response_to_the_probe_ends_the_outage(response: UpstreamError | None) -> None:
    """A refusal shows as well that Descope responds."""
    harness = BreakerHarness()
    harness.fail()
    harness.clock.now += 5
    harness.complete_call(response)
    harness.complete_call(None)
    assert harness.recorded_events[-1] == UpstreamRecovered()


def test_rf09_delays_grow_from_five_to_thirty_seconds() -> None:
    """Each failed probe makes the next delay longer, up to a maximum."""
    for jitter, waits in ((0.0, [5, 10, 15, 15, 15]), (1.0, [10, 20, 30, 30, 30])):
        harness = BreakerHarness(jitter)
        harness.fail()
        for wait in waits:
            harness.clock.now += wait - 0.1
            harness.rejected_call()
            harness.clock.now += 0.1
            harness.complete_call(FAILURE)
        assert len(harness.recorded_events) == 1


def test_rf09_retry_after_of_a_5xx_extends_the_delay() -> None:
    """It never shortens the delay."""
    harness = BreakerHarness()
    harness.fail(4)
    harness.complete_call(UpstreamUnavailable(45))
    assert harness.rejected_call().retry_after == 45
    harness.clock.now += 45
    harness.complete_call(UpstreamUnavailable(1))
    assert harness.rejected_call().retry_after == 10


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TypeError("a bug of ours")])
def test_rf09_probe_without_a_result_is_repeated(error: BaseException) -> None:
    """A probe that was cancelled, or failed because of our own bug, goes to the next caller."""
    harness = BreakerHarness()
    harness.fail()
    harness.clock.now += 5
    harness.complete_call(error)
    harness.complete_call(None)
    assert harness.recorded_events[-1] == UpstreamRecovered()


def test_rf09_probe_that_never_ends_is_replaced() -> None:
    """Another call probes after the longest time that a call can take. A late end of the first is ignored."""
    harness = BreakerHarness(call_timeout=20.0)
    harness.fail()
    harness.clock.now += 5
    lost_probe = harness.start_call()
    harness.clock.now += 20.9
    harness.rejected_call()
    harness.clock.now += 0.1
    probe = harness.start_call()
    finish_call(lost_probe, KeyboardInterrupt())
    harness.rejected_call()
    finish_call(probe, None)
    harness.complete_call(None)


def test_response_to_a_call_from_before_the_outage_does_not_end_it() -> None:
    """Late failures do not emit a second event."""
    harness = BreakerHarness()
    early = [harness.start_call() for _ in range(10)]
    harness.clock.now += 0.1
    harness.fail()
    for number, permit in enumerate(early):
        finish_call(permit, None if number % 2 else FAILURE)
    harness.rejected_call()
    assert len(harness.recorded_events) == 1


@pytest.mark.parametrize("later", [0.0, 0.1])
def test_rf09_response_to_a_call_as_recent_as_the_failures_ends_the_outage(later: float) -> None:
    """In a burst of calls the failures may arrive before the successes."""
    harness = BreakerHarness()
    failing = [harness.start_call() for _ in range(5)]
    harness.clock.now += later
    good = harness.start_call()
    for permit in failing:
        finish_call(permit, FAILURE)
    harness.rejected_call()
    finish_call(good, None)
    harness.complete_call(None)
    assert harness.recorded_events == [UpstreamDegraded("server_error"), UpstreamRecovered()]


def test_calls_that_were_not_sent_do_not_count() -> None:
    """A call that ends in our own queue is no failure of Descope."""
    harness = BreakerHarness()
    for _ in range(100):
        finish_call(harness.guard.call(ADA), FAILURE)
        finish_call(harness.guard.call(ADA), None)
    harness.fail(4)
    finish_call(harness.guard.call(ADA), None)
    harness.fail(1)
    harness.rejected_call()


def test_failures_without_a_reason_do_not_count() -> None:
    """The transport clears the reason if the failure was not Descope's. A probe is then repeated."""
    harness = BreakerHarness()
    for _ in range(10):
        permit = harness.start_call()
        permit.failure_reason = None
        finish_call(permit, FAILURE)
    harness.fail()
    harness.clock.now += 5
    probe = harness.start_call()
    probe.failure_reason = None
    finish_call(probe, FAILURE)
    harness.complete_call(None)
    assert harness.recorded_events == [UpstreamDegraded("server_error"), UpstreamRecovered()]


def test_queued_calls_are_rejected_when_the_breaker_opens() -> None:
    """A rejected call does not become the probe."""
    harness = BreakerHarness()
    waiting = [harness.guard.call(ADA) for _ in range(3)]
    harness.fail()
    for permit in waiting:
        with pytest.raises(CircuitOpen) as caught:
            permit.acquire()
        finish_call(permit, caught.value)
    harness.clock.now += 5
    harness.complete_call(None)
    assert harness.recorded_events[-1] == UpstreamRecovered()


def test_rf09_shared_rate_limit_rejects_every_call() -> None:
    """Two callers got a 429 in a row. The error says when to retry."""
    harness = BreakerHarness()
    harness.complete_call(RateLimited(20), ADA)
    harness.complete_call(RateLimited(30), GRACE)
    harness.clock.now += 10.5
    for bearer in (ADA, GRACE, "Bearer P"):
        error = harness.rejected_call(bearer)
        assert (type(error), error.retry_after) == (RateLimited, 20)
    harness.clock.now += 19.5
    harness.complete_call(None)
    assert harness.recorded_events == [UpstreamDegraded("rate_limited"), UpstreamRecovered()]


def test_rf09_rate_limit_of_one_caller_rejects_no_call() -> None:
    """Not even the calls of the same caller are rejected here."""
    harness = BreakerHarness()
    for _ in range(10):
        harness.complete_call(RateLimited(60), ADA)
        harness.complete_call(None, GRACE)
        harness.complete_call(RateLimited(60), GRACE)
        harness.complete_call(UpstreamRejected(401), ADA)
    assert harness.recorded_events == []


def test_late_success_does_not_end_a_rate_limit() -> None:
    """A call that was in progress may succeed. No event is emitted."""
    harness = BreakerHarness()
    late = harness.start_call()
    harness.complete_call(RateLimited(20), ADA)
    harness.complete_call(RateLimited(20), GRACE)
    finish_call(late, None)
    assert harness.rejected_call().retry_after == 20
    assert harness.recorded_events == [UpstreamDegraded("rate_limited")]


def test_rate_limit_and_outage_emit_two_degradations_and_one_recovery() -> None:
    """The recovery is emitted when both have ended."""
    harness = BreakerHarness()
    harness.complete_call(RateLimited(1), ADA)
    harness.complete_call(RateLimited(1), GRACE)
    harness.clock.now += 1
    harness.fail()
    harness.clock.now += 5
    harness.complete_call(None)
    harness.complete_call(None)
    assert harness.recorded_events == [
        UpstreamDegraded("rate_limited"),
        UpstreamDegraded("server_error"),
        UpstreamRecovered(),
    ]


def test_event_has_the_reason_of_the_last_failure() -> None:
    """The transport sets a more exact reason than ``server_error``."""
    harness = BreakerHarness()
    harness.fail(4)
    permit = harness.start_call()
    permit.failure_reason = "ConnectError"
    finish_call(permit, FAILURE)
    assert harness.recorded_events == [UpstreamDegraded("ConnectError")]
