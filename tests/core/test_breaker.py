"""The circuit breaker: when it lets somebody try, and that it lets one at a time."""

from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope.core.breaker import Breaker
from tests.support.hand_clock import HandClock


def waits(breaker: Breaker, clock: HandClock, trials: int) -> list[float]:
    """How many seconds pass until each of so many failing trials is due, to a hundredth."""
    found: list[float] = []
    for _ in range(trials):
        start = clock.now
        while not breaker.claim_trial():
            clock.now += 0.01
        found.append(clock.now - start)
    return found


def test_closed_until_it_trips() -> None:
    """A service that never failed is not to be tried, but used."""
    breaker = Breaker(HandClock())
    assert breaker.is_open() is False
    assert breaker.claim_trial() is False


def test_one_outage_is_one_trip() -> None:
    """Only the first failure opens; those that were on their way change nothing."""
    clock = HandClock()
    breaker = Breaker(clock)
    assert breaker.trip() is True
    clock.now += 0.4
    assert breaker.trip() is False
    assert breaker.is_open() is True
    clock.now += 0.6
    assert breaker.claim_trial() is True


def test_one_trial_at_a_time() -> None:
    """Of many that ask when a trial is due, the first gets it; it stays open until one has succeeded."""
    clock = HandClock()
    breaker = Breaker(clock)
    breaker.trip()
    clock.now += 1
    assert [breaker.claim_trial() for _ in range(50)] == [True] + [False] * 49
    assert breaker.is_open() is True
    breaker.close()
    assert breaker.is_open() is False
    assert breaker.trip() is True


def test_the_waits_double() -> None:
    """1, 2, 4 ... 30 seconds, each at most that long and at least half of it."""
    clock = HandClock()
    breaker = Breaker(clock)
    breaker.trip()
    for wait, longest in zip(waits(breaker, clock, 8), (1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        assert longest / 2 <= wait <= longest + 0.02


def test_a_new_outage_begins_with_short_waits() -> None:
    """What was learnt in the last outage is forgotten when it ends."""
    clock = HandClock()
    breaker = Breaker(clock)
    breaker.trip()
    waits(breaker, clock, 6)
    breaker.close()
    breaker.trip()
    assert waits(breaker, clock, 1)[0] <= 1.02


def test_breakers_do_not_try_in_step() -> None:
    """A hundred processes that lost the service together come back at different times."""
    moments: set[float] = set()
    for _ in range(100):
        clock = HandClock()
        breaker = Breaker(clock)
        breaker.trip()
        moments.add(round(waits(breaker, clock, 1)[0], 2))
    assert len(moments) > 10


@given(st.lists(st.sampled_from(["trip", "claim", "close", "later"]), max_size=60))
def test_a_trial_needs_an_outage(steps: list[str]) -> None:
    """Whatever happens in whatever order: a trial is granted only while open, and never twice at a moment."""
    clock = HandClock()
    breaker = Breaker(clock)
    granted_at: list[float] = []
    for step in steps:
        if step == "claim" and breaker.claim_trial():
            assert breaker.is_open()
            granted_at.append(clock.now)
        elif step == "trip":
            breaker.trip()
        elif step == "close":
            breaker.close()
        elif step == "later":
            clock.now += 0.7
    assert len(granted_at) == len(set(granted_at))
