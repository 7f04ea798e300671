"""Upper limits for the timings: gates, which are enforced, and goals, which are only reported."""

from dataclasses import dataclass

from .page_requests import BASE, BOTH, CONTROL, NOOP, NOOPS, PUBLIC, ROLES, SDK, SESSION, UNKNOWN
from .rounds import Timings
from .token_checks import HUGE_COOKIES, RAW_RSA, REJECTED, VERIFY

__all__ = ["CONTROL_RANGE", "GATES", "GOALS", "Limit"]

_MARGIN = 1.08
"""Tolerance for noise: the ratios of two runs differ by 2 or 3 %."""


@dataclass(frozen=True)
class Limit:
    """An upper limit for a ratio or, without ``relative_to``, for a time in microseconds."""

    name: str
    relative_to: str | None
    maximum: float

    def measured(self, timings: Timings) -> float:
        """Return the measured ratio or time."""
        return (
            timings.ratio(self.name, self.relative_to) if self.relative_to else timings.time(self.name)
        ).median

    def is_exceeded(self, timings: Timings) -> bool:
        """Return whether the limit is exceeded by more than the margin."""
        return self.measured(timings) > self.maximum * _MARGIN

    def format(self, timings: Timings) -> str:
        """Return a line of the report: result, measured value, limit."""
        measured = self.measured(timings)
        result = "ok" if measured <= self.maximum else "close" if not self.is_exceeded(timings) else "ABOVE"
        unit = f" x {self.relative_to}" if self.relative_to else " us"
        return f"  {result:6}{self.name}: {measured:.3g}{unit}, at most {self.maximum:g}"


GATES = (
    Limit(PUBLIC, BASE, 1.06),
    Limit(SESSION, NOOP, 1.26),
    Limit(BOTH, NOOP, 1.34),
    Limit(ROLES, NOOPS, 1.25),
    Limit(UNKNOWN, BASE, 2.9),
    Limit(BOTH, SDK, 0.24),
    Limit(VERIFY, RAW_RSA, 1.8),
    *(Limit(name, RAW_RSA, 0.25) for name in REJECTED),
    *(Limit(name, None, 1000) for name in HUGE_COOKIES),
)
"""If one is exceeded, the run fails."""

GOALS = (
    Limit(PUBLIC, BASE, 1.03),
    Limit(SESSION, NOOP, 1.15),
    Limit(BOTH, NOOP, 1.20),
    Limit(ROLES, NOOPS, 1.12),
    Limit(UNKNOWN, BASE, 2.5),
    Limit(BOTH, SDK, 0.18),
    Limit(VERIFY, RAW_RSA, 1.6),
)
"""Reported only."""

CONTROL_RANGE = (CONTROL, BASE, 0.97, 1.03)
"""Two benchmarks of the same route. If their ratio is outside this range, the machine is too busy."""
