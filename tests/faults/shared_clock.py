"""The time of the processes of a rig: real time and an offset, in a file that all of them map."""

import mmap
import struct
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["SharedClock"]

_OFFSET = struct.Struct("d")
_real_time = time.time  # held on to: a worker may put this clock in its place


class SharedClock:
    """Gives epoch seconds; ``advance`` in one process is seen by all at once."""

    def __init__(self, path: Path, source: Callable[[], float] = _real_time) -> None:
        self._source = source
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size)

    def __call__(self) -> float:
        """The time now."""
        return self._source() + self.offset

    @property
    def offset(self) -> float:
        """How far it is ahead of real time, in seconds."""
        (offset,) = _OFFSET.unpack(self._map[:])
        return float(offset)

    def advance(self, seconds: float) -> None:
        """Move it; a negative number turns it back."""
        self._map[:] = _OFFSET.pack(self.offset + seconds)
