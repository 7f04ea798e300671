"""The emulator's time, which a test may move."""

import time
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """Real time plus an offset; calling it gives epoch seconds.

    ``source`` is what it follows: give ``lambda: 1_800_000_000.0`` for a clock that stands still until it
    is advanced. Hand the same object to ``Descope(clock=...)`` and both sides agree on the time.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0

    def __call__(self) -> float:
        """The time now, in epoch seconds."""
        return self._source() + self._offset

    @property
    def offset(self) -> float:
        """By how many seconds it is ahead of what it follows."""
        return self._offset

    def advance(self, seconds: float) -> None:
        """Move the clock by ``seconds``; a negative number turns it back."""
        self._offset += seconds
