"""Upper limits for the timings: gates, which are enforced, and goals, which are only reported."""

from dataclasses import dataclass

from .page_requests import BASE, CONTROL
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
    Limit(VERIFY, RAW_RSA, 2.2),
    *(Limit(name, RAW_RSA, 0.25) for name in REJECTED),
    *(Limit(name, None, 1000) for name in HUGE_COOKIES),
)
"""If one is exceeded, the run fails."""

GOALS = (
    Limit("public page, middleware only", BASE, 1.10),
    Limit("get_auth_session(request)", BASE, 1.25),
    Limit("CurrentUser by DS", BASE, 1.45),
    Limit("CurrentUser by DS", "no-op async Depends", 1.20),
    Limit("CurrentUser by DS", "SDK validate_session", 0.22),
    Limit("CurrentUser, no token cache", BASE, 3.5),
    Limit("CurrentUser, no token cache", "SDK validate_session", 0.50),
)
"""Reported only."""

CONTROL_RANGE = (CONTROL, BASE, 0.95, 1.05)
"""Two benchmarks of the same route. If their ratio is outside this range, the machine is too busy."""
