"""The circuit breaker: when it lets somebody try, and that it lets one at a time."""

from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._concurrency.circuit_breaker import CircuitBreaker
from tests.helpers.fake_clock import FakeClock


def probe_delays(breaker: CircuitBreaker, clock: FakeClock, number: int) -> list[float]:
    """How many seconds pass until each of so many failing trials is due, to a hundredth."""
    found: list[float] = []
    for _ in range(number):
        start = clock.now
        while not breaker.try_probe():
            clock.now += 0.01
        found.append(clock.now - start)
    return found


def test_closed_until_it_trips() -> None:
    """A service that never failed is not to be tried, but used."""
    breaker = CircuitBreaker(FakeClock())
    assert breaker.is_open() is False
    assert breaker.try_probe() is False


def test_one_outage_is_one_trip() -> None:
    """Only the first failure opens; those that were on their way change nothing."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    assert breaker.record_failure() is True
    clock.now += 0.4
    assert breaker.record_failure() is False
    assert breaker.is_open() is True
    clock.now += 0.6
    assert breaker.try_probe() is True


def test_one_trial_at_a_time() -> None:
    """Of many that ask when a trial is due, the first gets it; it stays open until one has succeeded."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    breaker.record_failure()
    clock.now += 1
    assert [breaker.try_probe() for _ in range(50)] == [True] + [False] * 49
    assert breaker.is_open() is True
    breaker.record_success()
    assert breaker.is_open() is False
    assert breaker.record_failure() is True


def test_the_waits_double() -> None:
    """1, 2, 4 ... 30 seconds, each at most that long and at least half of it."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    breaker.record_failure()
    for wait, longest in zip(probe_delays(breaker, clock, 8), (1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        assert longest / 2 <= wait <= longest + 0.02


def test_a_new_outage_begins_with_short_waits() -> None:
    """What was learnt in the last outage is forgotten when it ends."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    breaker.record_failure()
    probe_delays(breaker, clock, 6)
    breaker.record_success()
    breaker.record_failure()
    assert probe_delays(breaker, clock, 1)[0] <= 1.02


def test_breakers_do_not_try_in_step() -> None:
    """A hundred processes that lost the service together come back at different times."""
    moments: set[float] = set()
    for _ in range(100):
        clock = FakeClock()
        breaker = CircuitBreaker(clock)
        breaker.record_failure()
        moments.add(round(probe_delays(breaker, clock, 1)[0], 2))
    assert len(moments) > 10


def test_failures_in_a_row_open_it() -> None:
    """As many as were agreed, and within the time that was agreed: the window moves along with them."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, failures=3, window=10)
    assert [breaker.record_failure(), breaker.record_failure()] == [False, False]
    clock.now += 10.1
    assert [breaker.record_failure(), breaker.is_open()] == [False, False]
    clock.now += 9.9
    assert [breaker.record_failure(), breaker.is_open()] == [False, False]
    clock.now += 0.1
    assert [breaker.record_failure(), breaker.is_open()] == [True, True]


def test_an_answer_starts_the_count_anew() -> None:
    """Failures with an answer in between are not in a row."""
    breaker = CircuitBreaker(FakeClock(), failures=2)
    for _ in range(10):
        assert breaker.record_failure() is False
        breaker.record_success()
    assert [breaker.record_failure(), breaker.record_failure()] == [False, True]


def test_it_tells_how_long_to_wait() -> None:
    """What is left until the trial is due; nothing while closed, and nothing once it is due."""
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


def test_the_service_may_ask_for_more_time() -> None:
    """Its word makes a wait longer, also if it comes late, and never shorter."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, min_delay=8, jitter=lambda: 1.0)
    breaker.record_failure(20)
    assert breaker.seconds_left() == 20
    breaker.record_failure(5)
    assert breaker.seconds_left() == 20
    breaker.record_failure(30)
    assert breaker.seconds_left() == 30


def test_a_trial_has_its_time() -> None:
    """The next one is not due while one may still be under way, however short the waits are."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, min_delay=1, max_delay=1, probe_timeout=6)
    breaker.record_failure()
    clock.now += 1
    assert breaker.try_probe() is True
    clock.now += 5.9
    assert breaker.try_probe() is False
    clock.now += 0.1
    assert breaker.try_probe() is True


def test_a_trial_that_came_to_nothing_is_given_back() -> None:
    """The next caller tries at once, and what it learns counts as if it had been the first to try."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock, min_delay=10, jitter=lambda: 1.0)
    breaker.record_failure()
    clock.now += 10
    breaker.try_probe()
    breaker.release_probe()
    assert breaker.is_open() is True
    assert breaker.try_probe() is True
    assert breaker.seconds_left() == 20


def test_there_is_nothing_to_give_back_while_closed() -> None:
    """A trial that ends after another one succeeded opens nothing."""
    breaker = CircuitBreaker(FakeClock())
    breaker.release_probe()
    assert breaker.is_open() is False


@given(st.lists(st.sampled_from(["trip", "claim", "close", "later"]), max_size=60))
def test_a_trial_needs_an_outage(steps: list[str]) -> None:
    """Whatever happens in whatever order: a trial is granted only while open, and never twice at a moment."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    probed_at: list[float] = []
    for step in steps:
        if step == "claim" and breaker.try_probe():
            assert breaker.is_open()
            probed_at.append(clock.now)
        elif step == "trip":
            breaker.record_failure()
        elif step == "close":
            breaker.record_success()
        elif step == "later":
            clock.now += 0.7
    assert len(probed_at) == len(set(probed_at))
