"""The emulator's clock."""

import time

from fastapi_descope.emulator import Clock


def test_follows_real_time() -> None:
    """Without a source the clock follows real time."""
    before = time.time()
    assert before <= Clock()() <= time.time()


def test_advances_and_moves_back() -> None:
    """Advances add up, and a negative number moves the clock back."""
    clock = Clock(lambda: 100.0)
    clock.advance(30)
    clock.advance(-10)
    assert clock() == 120.0
