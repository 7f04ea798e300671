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
from tests.helpers.breaker_harness import ADA, GRACE, BreakerHarness, end

FAILURE = UpstreamUnavailable()
VERDICTS = {
    "yes": None,
    "a refusal": UpstreamRejected(401, "E061005"),
    "an unsigned 401": InvalidUpstreamResponse("unsigned_refusal"),
    "a redirect": InvalidUpstreamResponse("redirect"),
    "a 429": RateLimited(60),
}


def test_rf09_five_failures_in_a_row_hold_every_call_back() -> None:
    """The sixth is not made, whoever wants it; it is told when to come again."""
    desk = BreakerHarness()
    desk.fail(4)
    desk.begin(GRACE)
    desk.fail(1)
    for bearer in (ADA, GRACE):
        error = desk.held_back(bearer)
        assert (type(error), error.retry_after) == (CircuitOpen, 5)
    desk.clock.now += 3.5
    assert desk.held_back().retry_after == 2


def test_rf09_five_failures_within_more_than_ten_seconds_are_bad_luck() -> None:
    """One in three seconds is slow, and no outage."""
    desk = BreakerHarness()
    for _ in range(20):
        desk.call(FAILURE)
        desk.clock.now += 3
    assert desk.told == []


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=VERDICTS)
def test_rf09_whatever_was_answered_is_no_outage(verdict: UpstreamError | None) -> None:
    """A hundred of them hold nobody back, and one of them between four failures and four starts anew."""
    desk = BreakerHarness()
    for _ in range(100):
        desk.call(verdict)
    for _ in range(10):
        desk.fail(4)
        desk.call(verdict)
    assert desk.told == []


def test_rf09_one_call_tries_and_the_others_still_fail() -> None:
    """Until its answer is there; that ends the outage for all."""
    desk = BreakerHarness()
    desk.fail()
    desk.clock.now += 5
    trial = desk.begin()
    assert [type(desk.held_back()) for _ in range(20)] == [CircuitOpen] * 20
    end(trial, None)
    desk.call(None, GRACE)
    assert [type(event) for event in desk.told] == [UpstreamDegraded, UpstreamRecovered]


@pytest.mark.parametrize("verdict", VERDICTS.values(), ids=VERDICTS)
def test_rf09_any_answer_to_the_trial_ends_the_outage(verdict: UpstreamError | None) -> None:
    """Descope is there again, whatever it says."""
    desk = BreakerHarness()
    desk.fail()
    desk.clock.now += 5
    desk.call(verdict)
    desk.call(None)
    assert desk.told[-1] == UpstreamRecovered()


def test_rf09_the_waits_grow_from_five_to_thirty_seconds() -> None:
    """Each trial that fails makes the next wait longer, up to a bound; jitter stays within it."""
    for jitter, waits in ((0.0, [5, 10, 15, 15, 15]), (1.0, [10, 20, 30, 30, 30])):
        desk = BreakerHarness(jitter)
        desk.fail()
        for wait in waits:
            desk.clock.now += wait - 0.1
            desk.held_back()
            desk.clock.now += 0.1
            desk.call(FAILURE)
        assert len(desk.told) == 1


def test_rf09_a_server_error_may_ask_for_a_longer_wait() -> None:
    """Its Retry-After holds for the whole crowd, and never shortens the wait."""
    desk = BreakerHarness()
    desk.fail(4)
    desk.call(UpstreamUnavailable(45))
    assert desk.held_back().retry_after == 45
    desk.clock.now += 45
    desk.call(UpstreamUnavailable(1))
    assert desk.held_back().retry_after == 10


@pytest.mark.parametrize("end_of_it", [KeyboardInterrupt(), TypeError("a bug of ours")])
def test_rf09_a_trial_that_tells_nothing_is_followed_by_another(end_of_it: BaseException) -> None:
    """Whoever is cancelled, or fails for reasons of our own, leaves the trial to the next caller."""
    desk = BreakerHarness()
    desk.fail()
    desk.clock.now += 5
    desk.call(end_of_it)
    desk.call(None)
    assert desk.told[-1] == UpstreamRecovered()


def test_rf09_a_trial_that_never_ends_is_forgotten() -> None:
    """After the longest time that a call may take, another one tries; that the lost one ends is no news."""
    desk = BreakerHarness(longest_call=20.0)
    desk.fail()
    desk.clock.now += 5
    lost = desk.begin()
    desk.clock.now += 20.9
    desk.held_back()
    desk.clock.now += 0.1
    trial = desk.begin()
    end(lost, KeyboardInterrupt())
    desk.held_back()
    end(trial, None)
    desk.call(None)


def test_an_answer_from_before_the_outage_does_not_end_it() -> None:
    """It may be as old as its call; failures that come in late open nothing twice."""
    desk = BreakerHarness()
    early = [desk.begin() for _ in range(10)]
    desk.clock.now += 0.1
    desk.fail()
    for number, attempt in enumerate(early):
        end(attempt, None if number % 2 else FAILURE)
    desk.held_back()
    assert len(desk.told) == 1


@pytest.mark.parametrize("later", [0.0, 0.1])
def test_rf09_an_answer_to_a_call_as_young_as_the_failures_ends_the_outage(later: float) -> None:
    """Of a burst, half of which fails, the failures are in first: that is no outage."""
    desk = BreakerHarness()
    failing = [desk.begin() for _ in range(5)]
    desk.clock.now += later
    good = desk.begin()
    for attempt in failing:
        end(attempt, FAILURE)
    desk.held_back()
    end(good, None)
    desk.call(None)
    assert desk.told == [UpstreamDegraded("server_error"), UpstreamRecovered()]


def test_what_never_went_out_says_nothing() -> None:
    """A call that ends in our own queue, full or too slow, is no failure of Descope's."""
    desk = BreakerHarness()
    for _ in range(100):
        end(desk.restraint.call(ADA), FAILURE)
        end(desk.restraint.call(ADA), None)
    desk.fail(4)
    end(desk.restraint.call(ADA), None)
    desk.fail(1)
    desk.held_back()


def test_a_failure_of_our_own_says_nothing() -> None:
    """Whoever knows that it was not Descope says so: no outage begins, and a trial is tried again."""
    desk = BreakerHarness()
    for _ in range(10):
        attempt = desk.begin()
        attempt.failure = None
        end(attempt, FAILURE)
    desk.fail()
    desk.clock.now += 5
    trial = desk.begin()
    trial.failure = None
    end(trial, FAILURE)
    desk.call(None)
    assert desk.told == [UpstreamDegraded("server_error"), UpstreamRecovered()]


def test_those_who_queue_are_held_back_too() -> None:
    """A call whose turn comes when the outage is known is not made; nor is it the trial."""
    desk = BreakerHarness()
    waiting = [desk.restraint.call(ADA) for _ in range(3)]
    desk.fail()
    for attempt in waiting:
        with pytest.raises(CircuitOpen) as caught:
            attempt.begin()
        end(attempt, caught.value)
    desk.clock.now += 5
    desk.call(None)
    assert desk.told[-1] == UpstreamRecovered()


def test_rf09_a_limit_on_everybody_holds_every_call_back() -> None:
    """Two bearers met a 429 in a row: nobody calls before the time is over, and all are told how long."""
    desk = BreakerHarness()
    desk.call(RateLimited(20), ADA)
    desk.call(RateLimited(30), GRACE)
    desk.clock.now += 10.5
    for bearer in (ADA, GRACE, "Bearer P"):
        error = desk.held_back(bearer)
        assert (type(error), error.retry_after) == (RateLimited, 20)
    desk.clock.now += 19.5
    desk.call(None)
    assert desk.told == [UpstreamDegraded("rate_limited"), UpstreamRecovered()]


def test_rf09_a_limit_on_one_bearer_holds_nobody_back() -> None:
    """Not even itself: its session waits, not its user."""
    desk = BreakerHarness()
    for _ in range(10):
        desk.call(RateLimited(60), ADA)
        desk.call(None, GRACE)
        desk.call(RateLimited(60), GRACE)
        desk.call(UpstreamRejected(401), ADA)
    assert desk.told == []


def test_a_late_answer_does_not_end_a_limit() -> None:
    """A call that was under way when it began is answered; all wait on, and nobody is told otherwise."""
    desk = BreakerHarness()
    late = desk.begin()
    desk.call(RateLimited(20), ADA)
    desk.call(RateLimited(20), GRACE)
    end(late, None)
    assert desk.held_back().retry_after == 20
    assert desk.told == [UpstreamDegraded("rate_limited")]


def test_a_limit_and_then_an_outage_are_two_changes_and_one_recovery() -> None:
    """Whoever watches learns of each trouble once, and of the end once both are over."""
    desk = BreakerHarness()
    desk.call(RateLimited(1), ADA)
    desk.call(RateLimited(1), GRACE)
    desk.clock.now += 1
    desk.fail()
    desk.clock.now += 5
    desk.call(None)
    desk.call(None)
    assert desk.told == [
        UpstreamDegraded("rate_limited"),
        UpstreamDegraded("server_error"),
        UpstreamRecovered(),
    ]


def test_the_reason_is_the_last_failure() -> None:
    """Whoever knows why a call failed says so, in a word."""
    desk = BreakerHarness()
    desk.fail(4)
    attempt = desk.begin()
    attempt.failure = "ConnectError"
    end(attempt, FAILURE)
    assert desk.told == [UpstreamDegraded("ConnectError")]
