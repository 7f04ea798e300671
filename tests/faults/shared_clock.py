"""A clock that all processes of a testbed share: real time plus an offset in a mapped file."""

import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["SharedClock"]

_OFFSET = struct.Struct("d")
_real_time = time.time  # a worker may replace time.time by this clock


class SharedClock:
    """Returns epoch seconds. ``advance`` takes effect in all processes at once."""

    def __init__(self, path: Path, source: Callable[[], float] = _real_time) -> None:
        self._source = source
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size)

    def __call__(self) -> float:
        """Return the current time."""
        return self._source() + self.offset

    @property
    def offset(self) -> float:
        """The offset from real time, in seconds."""
        (offset,) = _OFFSET.unpack(self._map[:])
        return float(offset)

    def advance(self, seconds: float) -> None:
        """Move the clock; a negative number moves it back."""
        self._map[:] = _OFFSET.pack(self.offset + seconds)
