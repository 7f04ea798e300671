"""RF-09: a 429 of one user's is not everybody's affair, and a 429 of everybody's is."""

from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._upstream.resilience import SharedRateLimit
from tests.helpers.fake_clock import FakeClock

ADA, GRACE, HANK = b"ada", b"grace", b"hank"


def test_rf09_one_callers_limit_is_nobody_elses() -> None:
    """However often one caller meets it."""
    clock = FakeClock()
    limit = SharedRateLimit(clock)
    for _ in range(10):
        assert limit.record_429(ADA, 60) is False
        assert limit.seconds_left() == 0
        clock.now += 5


def test_rf09_a_limit_that_two_callers_meet_is_everybodys() -> None:
    """Both were told how long to wait, and the later time holds."""
    clock = FakeClock()
    limit = SharedRateLimit(clock)
    limit.record_429(ADA, 30)
    clock.now += 10
    assert limit.record_429(GRACE, 5) is True
    assert limit.seconds_left() == 20
    clock.now += 19.5
    assert limit.seconds_left() == 0.5
    clock.now += 0.5
    assert limit.seconds_left() == 0


def test_rf09_an_answer_in_between_acquits_the_first() -> None:
    """Somebody is still answered, so the limit is not everybody's."""
    limit = SharedRateLimit(FakeClock())
    limit.record_429(ADA, 60)
    limit.record_success()
    assert limit.record_429(GRACE, 60) is False
    assert limit.seconds_left() == 0


def test_rf09_what_is_over_does_not_count() -> None:
    """A second caller that meets a limit when the first one's time is over is a first one."""
    clock = FakeClock()
    limit = SharedRateLimit(clock)
    limit.record_429(ADA, 5)
    clock.now += 5
    assert limit.record_429(GRACE, 60) is False
    assert limit.record_429(ADA, 1) is True
    assert limit.seconds_left() == 60


def test_calls_that_were_under_way_make_the_wait_longer_and_not_another() -> None:
    """Their 429s come in while all are waiting already; a shorter one changes nothing."""
    limit = SharedRateLimit(FakeClock())
    limit.record_429(ADA, 5)
    limit.record_429(GRACE, 5)
    assert [limit.record_429(HANK, 40), limit.record_429(ADA, 1)] == [False, False]
    assert limit.seconds_left() == 40


@given(st.lists(st.sampled_from(["limited", "answered", "later"]), max_size=60))
def test_a_single_caller_never_stops_the_others(steps: list[str]) -> None:
    """In whatever order it meets limits, others are answered and time passes."""
    clock = FakeClock()
    limit = SharedRateLimit(clock)
    for step in steps:
        if step == "limited":
            limit.record_429(ADA, 60)
        elif step == "answered":
            limit.record_success()
        else:
            clock.now += 25
        assert limit.seconds_left() == 0
