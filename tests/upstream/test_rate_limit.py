"""The rate limit shared by all callers, and the limit on a single user (RF-09)."""

from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._upstream.resilience import SharedRateLimit
from tests.helpers.fake_clock import FakeClock

ADA, GRACE, HANK = b"ada", b"grace", b"hank"


def test_rf09_limit_on_one_caller_does_not_affect_others() -> None:
    """This holds however often the caller gets a 429."""
    clock = FakeClock()
    limit = SharedRateLimit(clock)
    for _ in range(10):
        assert limit.record_429(ADA, 60) is False
        assert limit.seconds_left() == 0
        clock.now += 5


def test_rf09_two_limited_callers_limit_all_callers() -> None:
    """The later of their two times applies."""
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


def test_rf09_success_between_two_limited_callers_prevents_a_shared_limit() -> None:
    """A success proves that the limit is not on all callers."""
    limit = SharedRateLimit(FakeClock())
    limit.record_429(ADA, 60)
    limit.record_success()
    assert limit.record_429(GRACE, 60) is False
    assert limit.seconds_left() == 0


def test_rf09_expired_limit_of_one_caller_does_not_count() -> None:
    """The next limited caller counts as the first one."""
    clock = FakeClock()
    limit = SharedRateLimit(clock)
    limit.record_429(ADA, 5)
    clock.now += 5
    assert limit.record_429(GRACE, 60) is False
    assert limit.record_429(ADA, 1) is True
    assert limit.seconds_left() == 60


def test_further_429s_extend_a_shared_limit() -> None:
    """Calls that were in progress may still get a 429. A shorter time changes nothing."""
    limit = SharedRateLimit(FakeClock())
    limit.record_429(ADA, 5)
    limit.record_429(GRACE, 5)
    assert [limit.record_429(HANK, 40), limit.record_429(ADA, 1)] == [False, False]
    assert limit.seconds_left() == 40


@given(st.lists(st.sampled_from(["429", "success", "wait"]), max_size=60))
def test_single_caller_never_limits_others(steps: list[str]) -> None:
    """This holds for every order of 429s, successes and time."""
    clock = FakeClock()
    limit = SharedRateLimit(clock)
    for step in steps:
        if step == "429":
            limit.record_429(ADA, 60)
        elif step == "success":
            limit.record_success()
        else:
            clock.now += 25
        assert limit.seconds_left() == 0
