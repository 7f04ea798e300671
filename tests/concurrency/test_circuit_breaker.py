"""The circuit breaker: when it opens, and when it lets a probe through."""

from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._concurrency import CircuitBreaker
from tests.helpers.fake_clock import FakeClock


def probe_delays(breaker: CircuitBreaker, clock: FakeClock, number: int) -> list[float]:
    """Return the seconds until each of ``number`` failing probes is due, to a hundredth."""
    found: list[float] = []
    for _ in range(number):
        start = clock.now
        while not breaker.try_probe():
            clock.now += 0.01
        found.append(clock.now - start)
    return found


def test_new_breaker_is_closed() -> None:
    """A service that has not failed needs no probe."""
    breaker = CircuitBreaker(FakeClock())
    assert breaker.is_open() is False
    assert breaker.try_probe() is False


def test_only_the_first_failure_opens_the_breaker() -> None:
    """Failures of calls that were already in progress change nothing."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    assert breaker.record_failure() is True
    clock.now += 0.4
    assert breaker.record_failure() is False
    assert breaker.is_open() is True
    clock.now += 0.6
    assert breaker.try_probe() is True


def test_only_one_caller_gets_the_probe() -> None:
    """The breaker stays open until the probe has succeeded."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    breaker.record_failure()
    clock.now += 1
    assert [breaker.try_probe() for _ in range(50)] == [True] + [False] * 49
    assert breaker.is_open() is True
    breaker.record_success()
    assert breaker.is_open() is False
    assert breaker.record_failure() is True


def test_probe_delays_double_up_to_the_maximum() -> None:
    """1, 2, 4 ... 30 seconds; jitter takes off up to half."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    breaker.record_failure()
    for wait, longest in zip(probe_delays(breaker, clock, 8), (1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        assert longest / 2 <= wait <= longest + 0.02


def test_new_outage_starts_with_the_shortest_delay() -> None:
    """A success resets the delay."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    breaker.record_failure()
    probe_delays(breaker, clock, 6)
    breaker.record_success()
    breaker.record_failure()
    assert probe_delays(breaker, clock, 1)[0] <= 1.02


def test_jitter_spreads_the_probes_of_many_processes() -> None:
    """A hundred processes that lost the service together probe at different times."""
    moments: set[float] = set()
    for _ in range(100):
        clock = FakeClock()
        breaker = CircuitBreaker(clock)
        breaker.record_failure()
        moments.add(round(probe_delays(breaker, clock, 1)[0], 2))
    assert len(moments) > 10


def test_enough_failures_within_the_window_open_the_breaker() -> None:
    """The window slides: the first of the counted failures must be recent enough."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, failures=3, window=10)
    assert [breaker.record_failure(), breaker.record_failure()] == [False, False]
    clock.now += 10.1
    assert [breaker.record_failure(), breaker.is_open()] == [False, False]
    clock.now += 9.9
    assert [breaker.record_failure(), breaker.is_open()] == [False, False]
    clock.now += 0.1
    assert [breaker.record_failure(), breaker.is_open()] == [True, True]


def test_success_resets_the_failure_count() -> None:
    """Failures with a success in between are not in a row."""
    breaker = CircuitBreaker(FakeClock(), failures=2)
    for _ in range(10):
        assert breaker.record_failure() is False
        breaker.record_success()
    assert [breaker.record_failure(), breaker.record_failure()] == [False, True]


def test_seconds_left_counts_down_to_the_probe() -> None:
    """It is 0 while the breaker is closed, and when the probe is due."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, min_delay=8, jitter=lambda: 0.5)
    assert breaker.seconds_left() == 0
    breaker.record_failure()
    assert breaker.seconds_left() == 6
    clock.now += 5.5
    assert breaker.seconds_left() == 0.5
    clock.now += 60
    assert breaker.seconds_left() == 0
    assert breaker.is_open() is True


def test_service_may_ask_for_a_longer_delay() -> None:
    """Its request lengthens a delay, also later, and never shortens it."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, min_delay=8, jitter=lambda: 1.0)
    breaker.record_failure(20)
    assert breaker.seconds_left() == 20
    breaker.record_failure(5)
    assert breaker.seconds_left() == 20
    breaker.record_failure(30)
    assert breaker.seconds_left() == 30


def test_no_second_probe_before_the_probe_timeout() -> None:
    """The next probe is not due while one may be in progress, however short the delays are."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, min_delay=1, max_delay=1, probe_timeout=6)
    breaker.record_failure()
    clock.now += 1
    assert breaker.try_probe() is True
    clock.now += 5.9
    assert breaker.try_probe() is False
    clock.now += 0.1
    assert breaker.try_probe() is True


def test_released_probe_goes_to_the_next_caller() -> None:
    """The next delay is the same as if the released probe had not happened."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, min_delay=10, jitter=lambda: 1.0)
    breaker.record_failure()
    clock.now += 10
    breaker.try_probe()
    breaker.release_probe()
    assert breaker.is_open() is True
    assert breaker.try_probe() is True
    assert breaker.seconds_left() == 20


def test_release_probe_does_not_open_a_closed_breaker() -> None:
    """A probe may end after another one has closed the breaker."""
    breaker = CircuitBreaker(FakeClock())
    breaker.release_probe()
    assert breaker.is_open() is False


@given(st.lists(st.sampled_from(["failure", "probe", "success", "wait"]), max_size=60))
def test_probes_happen_only_while_open_and_one_at_a_time(steps: list[str]) -> None:
    """This holds for every order of events."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    probed_at: list[float] = []
    for step in steps:
        if step == "probe" and breaker.try_probe():
            assert breaker.is_open()
            probed_at.append(clock.now)
        elif step == "failure":
            breaker.record_failure()
        elif step == "success":
            breaker.record_success()
        elif step == "wait":
            clock.now += 0.7
    assert len(probed_at) == len(set(probed_at))
