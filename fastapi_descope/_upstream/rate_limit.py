"""Whose rate limit it is that Descope speaks of with a 429: one user's, or everybody's."""

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["SharedRateLimit"]


@dataclass(frozen=True, slots=True)
class _Limited:
    """A caller that was told to wait, and until when."""

    caller: bytes
    until: float


class SharedRateLimit:
    """Tells a limit on everybody from a limit on one user (RF-09). ``monotonic`` returns seconds.

    A 429 does not say what it counts; most of Descope's limits count addresses (wire contract, section
    6), which all callers of this process share. So the 429 of one caller is taken for that caller's own
    affair, until another caller meets one as well, before the first one's time is over and with no call
    answered in between. Then it is everybody's: all wait until the later of the two times.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last: _Limited | None = None
        self._until = -math.inf

    def seconds_left(self) -> float:
        """How long everybody has to wait; 0 if nobody has to."""
        return max(0.0, self._until - self._monotonic())

    def record_429(self, caller: bytes, seconds: float) -> bool:
        """``caller`` met a 429 and is to wait ``seconds``. True if from now on everybody has to wait."""
        now = self._monotonic()
        before, last = self._last, _Limited(caller, now + seconds)
        self._last = last
        if now < self._until:
            self._until = max(self._until, last.until)
            return False
        if before is None or before.caller == caller or before.until <= now:
            return False
        self._until = max(before.until, last.until)
        return True

    def record_success(self) -> None:
        """Somebody's call was answered, so that the limit met before it is not everybody's."""
        self._last = None
