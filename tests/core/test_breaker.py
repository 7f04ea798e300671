"""The circuit breaker: when it lets somebody try, and that it lets one at a time."""

from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope.core.breaker import Breaker


class Time:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def waits(breaker: Breaker, time: Time, trials: int) -> list[float]:
    """How many seconds pass until each of so many failing trials is due, to a hundredth."""
    found: list[float] = []
    for _ in range(trials):
        start = time.now
        while not breaker.claim_trial():
            time.now += 0.01
        found.append(time.now - start)
    return found


def test_closed_until_it_trips() -> None:
    """A service that never failed is not to be tried, but used."""
    breaker = Breaker(Time())
    assert breaker.is_open() is False
    assert breaker.claim_trial() is False


def test_one_outage_is_one_trip() -> None:
    """Only the first failure opens; those that were on their way change nothing."""
    time = Time()
    breaker = Breaker(time)
    assert breaker.trip() is True
    time.now += 0.4
    assert breaker.trip() is False
    assert breaker.is_open() is True
    time.now += 0.6
    assert breaker.claim_trial() is True


def test_one_trial_at_a_time() -> None:
    """Of many that ask when a trial is due, the first gets it; it stays open until one has succeeded."""
    time = Time()
    breaker = Breaker(time)
    breaker.trip()
    time.now += 1
    assert [breaker.claim_trial() for _ in range(50)] == [True] + [False] * 49
    assert breaker.is_open() is True
    breaker.close()
    assert breaker.is_open() is False
    assert breaker.trip() is True


def test_the_waits_double() -> None:
    """1, 2, 4 ... 30 seconds, each at most that long and at least half of it."""
    time = Time()
    breaker = Breaker(time)
    breaker.trip()
    for wait, longest in zip(waits(breaker, time, 8), (1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        assert longest / 2 <= wait <= longest + 0.02


def test_a_new_outage_begins_with_short_waits() -> None:
    """What was learnt in the last outage is forgotten when it ends."""
    time = Time()
    breaker = Breaker(time)
    breaker.trip()
    waits(breaker, time, 6)
    breaker.close()
    breaker.trip()
    assert waits(breaker, time, 1)[0] <= 1.02


def test_breakers_do_not_try_in_step() -> None:
    """A hundred processes that lost the service together come back at different times."""
    moments: set[float] = set()
    for _ in range(100):
        time = Time()
        breaker = Breaker(time)
        breaker.trip()
        moments.add(round(waits(breaker, time, 1)[0], 2))
    assert len(moments) > 10


@given(st.lists(st.sampled_from(["trip", "claim", "close", "later"]), max_size=60))
def test_a_trial_needs_an_outage(steps: list[str]) -> None:
    """Whatever happens in whatever order: a trial is granted only while open, and never twice at a moment."""
    time = Time()
    breaker = Breaker(time)
    granted_at: list[float] = []
    for step in steps:
        if step == "claim" and breaker.claim_trial():
            assert breaker.is_open()
            granted_at.append(time.now)
        elif step == "trip":
            breaker.trip()
        elif step == "close":
            breaker.close()
        elif step == "later":
            time.now += 0.7
    assert len(granted_at) == len(set(granted_at))
