"""The emulator's clock."""

import time

from fastapi_descope.emulator import Clock


def test_follows_real_time() -> None:
    """Without a source it tells the real time."""
    before = time.time()
    assert before <= Clock()() <= time.time()


def test_advances_and_turns_back() -> None:
    """Advancing adds up, and a negative number turns it back."""
    clock = Clock(lambda: 100.0)
    clock.advance(30)
    clock.advance(-10)
    assert clock() == 120.0
