"""A clock that all processes of a testbed share: a time in a mapped file, which only the testbed moves."""

import mmap
import struct
from pathlib import Path

__all__ = ["SharedClock"]

_TIME = struct.Struct("d")


class SharedClock:
    """Returns epoch seconds. ``advance`` takes effect in all processes at once.

    Args:
        path: The file.
        now: The time at the start. Without it, the file exists.
    """

    def __init__(self, path: Path, now: float | None = None) -> None:
        if now is not None:
            path.write_bytes(_TIME.pack(now))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _TIME.size)

    def __call__(self) -> float:
        """Return the current time."""
        (now,) = _TIME.unpack(self._map[:])
        return float(now)

    def advance(self, seconds: float) -> None:
        """Move the clock; a negative number moves it back."""
        self._map[:] = _TIME.pack(self() + seconds)
