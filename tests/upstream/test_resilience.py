"""RF-09: when Descope is left alone, when it is tried again, and who is told of it."""

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


def test_rf09_five_failures_in_a_row_hold_every_call_back() -> None:
    """The sixth is not made, whoever wants it; it is told when to come again."""
    harness = BreakerHarness()
    harness.fail(4)
    harness.start_call(GRACE)
    harness.fail(1)
    for bearer in (ADA, GRACE):
        error = harness.rejected_call(bearer)
        assert (type(error), error.retry_after) == (CircuitOpen, 5)
    harness.clock.now += 3.5
    assert harness.rejected_call().retry_after == 2


def test_rf09_five_failures_within_more_than_ten_seconds_are_bad_luck() -> None:
    """One in three seconds is slow, and no outage."""
    harness = BreakerHarness()
    for _ in range(20):
        harness.complete_call(FAILURE)
        harness.clock.now += 3
    assert harness.recorded_events == []


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
def test_rf09_whatever_was_answered_is_no_outage(response: UpstreamError | None) -> None:
    """A hundred of them hold nobody back, and one of them between four failures and four starts anew."""
    harness = BreakerHarness()
    for _ in range(100):
        harness.complete_call(response)
    for _ in range(10):
        harness.fail(4)
        harness.complete_call(response)
    assert harness.recorded_events == []


def test_rf09_one_call_tries_and_the_others_still_fail() -> None:
    """Until its answer is there; that ends the outage for all."""
    harness = BreakerHarness()
    harness.fail()
    harness.clock.now += 5
    probe = harness.start_call()
    assert [type(harness.rejected_call()) for _ in range(20)] == [CircuitOpen] * 20
    finish_call(probe, None)
    harness.complete_call(None, GRACE)
    assert [type(event) for event in harness.recorded_events] == [UpstreamDegraded, UpstreamRecovered]


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
def test_rf09_any_answer_to_the_trial_ends_the_outage(response: UpstreamError | None) -> None:
    """Descope is there again, whatever it says."""
    harness = BreakerHarness()
    harness.fail()
    harness.clock.now += 5
    harness.complete_call(response)
    harness.complete_call(None)
    assert harness.recorded_events[-1] == UpstreamRecovered()


def test_rf09_the_waits_grow_from_five_to_thirty_seconds() -> None:
    """Each trial that fails makes the next wait longer, up to a bound; jitter stays within it."""
    for jitter, waits in ((0.0, [5, 10, 15, 15, 15]), (1.0, [10, 20, 30, 30, 30])):
        harness = BreakerHarness(jitter)
        harness.fail()
        for wait in waits:
            harness.clock.now += wait - 0.1
            harness.rejected_call()
            harness.clock.now += 0.1
            harness.complete_call(FAILURE)
        assert len(harness.recorded_events) == 1


def test_rf09_a_server_error_may_ask_for_a_longer_wait() -> None:
    """Its Retry-After holds for the whole crowd, and never shortens the wait."""
    harness = BreakerHarness()
    harness.fail(4)
    harness.complete_call(UpstreamUnavailable(45))
    assert harness.rejected_call().retry_after == 45
    harness.clock.now += 45
    harness.complete_call(UpstreamUnavailable(1))
    assert harness.rejected_call().retry_after == 10


@pytest.mark.parametrize("end_of_it", [KeyboardInterrupt(), TypeError("a bug of ours")])
def test_rf09_a_trial_that_tells_nothing_is_followed_by_another(end_of_it: BaseException) -> None:
    """Whoever is cancelled, or fails for reasons of our own, leaves the trial to the next caller."""
    harness = BreakerHarness()
    harness.fail()
    harness.clock.now += 5
    harness.complete_call(end_of_it)
    harness.complete_call(None)
    assert harness.recorded_events[-1] == UpstreamRecovered()


def test_rf09_a_trial_that_never_ends_is_forgotten() -> None:
    """After the longest time that a call may take, another one tries; that the lost one ends is no news."""
    harness = BreakerHarness(call_timeout=20.0)
    harness.fail()
    harness.clock.now += 5
    lost = harness.start_call()
    harness.clock.now += 20.9
    harness.rejected_call()
    harness.clock.now += 0.1
    probe = harness.start_call()
    finish_call(lost, KeyboardInterrupt())
    harness.rejected_call()
    finish_call(probe, None)
    harness.complete_call(None)


def test_an_answer_from_before_the_outage_does_not_end_it() -> None:
    """It may be as old as its call; failures that come in late open nothing twice."""
    harness = BreakerHarness()
    early = [harness.start_call() for _ in range(10)]
    harness.clock.now += 0.1
    harness.fail()
    for number, permit in enumerate(early):
        finish_call(permit, None if number % 2 else FAILURE)
    harness.rejected_call()
    assert len(harness.recorded_events) == 1


@pytest.mark.parametrize("later", [0.0, 0.1])
def test_rf09_an_answer_to_a_call_as_young_as_the_failures_ends_the_outage(later: float) -> None:
    """Of a burst, half of which fails, the failures are in first: that is no outage."""
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


def test_what_never_went_out_says_nothing() -> None:
    """A call that ends in our own queue, full or too slow, is no failure of Descope's."""
    harness = BreakerHarness()
    for _ in range(100):
        finish_call(harness.guard.call(ADA), FAILURE)
        finish_call(harness.guard.call(ADA), None)
    harness.fail(4)
    finish_call(harness.guard.call(ADA), None)
    harness.fail(1)
    harness.rejected_call()


def test_a_failure_of_our_own_says_nothing() -> None:
    """Whoever knows that it was not Descope says so: no outage begins, and a trial is tried again."""
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


def test_those_who_queue_are_held_back_too() -> None:
    """A call whose turn comes when the outage is known is not made; nor is it the trial."""
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


def test_rf09_a_limit_on_everybody_holds_every_call_back() -> None:
    """Two bearers met a 429 in a row: nobody calls before the time is over, and all are told how long."""
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


def test_rf09_a_limit_on_one_bearer_holds_nobody_back() -> None:
    """Not even itself: its session waits, not its user."""
    harness = BreakerHarness()
    for _ in range(10):
        harness.complete_call(RateLimited(60), ADA)
        harness.complete_call(None, GRACE)
        harness.complete_call(RateLimited(60), GRACE)
        harness.complete_call(UpstreamRejected(401), ADA)
    assert harness.recorded_events == []


def test_a_late_answer_does_not_end_a_limit() -> None:
    """A call that was under way when it began is answered; all wait on, and nobody is told otherwise."""
    harness = BreakerHarness()
    late = harness.start_call()
    harness.complete_call(RateLimited(20), ADA)
    harness.complete_call(RateLimited(20), GRACE)
    finish_call(late, None)
    assert harness.rejected_call().retry_after == 20
    assert harness.recorded_events == [UpstreamDegraded("rate_limited")]


def test_a_limit_and_then_an_outage_are_two_changes_and_one_recovery() -> None:
    """Whoever watches learns of each trouble once, and of the end once both are over."""
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


def test_the_reason_is_the_last_failure() -> None:
    """Whoever knows why a call failed says so, in a word."""
    harness = BreakerHarness()
    harness.fail(4)
    permit = harness.start_call()
    permit.failure_reason = "ConnectError"
    finish_call(permit, FAILURE)
    assert harness.recorded_events == [UpstreamDegraded("ConnectError")]
