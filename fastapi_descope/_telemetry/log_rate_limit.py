"""The rate limit of log lines: a flood of requests must not become a flood of lines."""

# LG-04

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["INTERVAL_SECONDS", "LogPermit", "LogRateLimiter"]

INTERVAL_SECONDS = 60.0
_LINES_PER_INTERVAL = 10


@dataclass(frozen=True, slots=True)
class LogPermit:
    """Permission to log a line. ``suppressed`` counts the lines that were suppressed before it."""

    suppressed: int
    is_last: bool = False


@dataclass(slots=True)
class _Interval:
    """The numbers of lines with one key that were written and suppressed since a time."""

    since: float
    written: int = 0
    suppressed: int = 0


class LogRateLimiter:
    """Permits at most ten lines a minute with the same key."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._intervals: dict[tuple[str, ...], _Interval] = {}

    def acquire(self, key: tuple[str, ...]) -> LogPermit | None:
        """Return permission to log a line with ``key``, or None, which counts the line as suppressed."""
        now = self._monotonic()
        interval = self._intervals.setdefault(key, _Interval(now))
        suppressed = 0
        if now - interval.since >= INTERVAL_SECONDS:
            suppressed = interval.suppressed
            interval = self._intervals[key] = _Interval(now)
        if interval.written == _LINES_PER_INTERVAL:
            interval.suppressed += 1
            return None
        interval.written += 1
        return LogPermit(suppressed, is_last=interval.written == _LINES_PER_INTERVAL)
