"""The emulator's clock, which tests can move."""

import time
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """A time source plus an offset. Calling it returns epoch seconds.

    Pass the same object to ``Descope(clock=...)`` so that the app and the emulator agree on the time.

    Args:
        source: The underlying time in epoch seconds. With ``lambda: 1_800_000_000.0`` the clock moves only
            through ``advance``.
    """

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self._offset = 0.0

    def __call__(self) -> float:
        """Return the current time in epoch seconds."""
        return self._source() + self._offset

    @property
    def offset(self) -> float:
        """Seconds by which this clock is ahead of its source."""
        return self._offset

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds``, or backward if negative."""
        self._offset += seconds
