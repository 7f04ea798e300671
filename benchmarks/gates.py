"""Upper limits for the timings, which are enforced, with aims, which are only reported."""

from dataclasses import dataclass

from .page_requests import (
    BASE,
    BOTH,
    CONTROL,
    FLOOR_KNOWN,
    FLOOR_PUBLIC,
    FLOOR_UNKNOWN,
    NOOP,
    NOOPS,
    PUBLIC,
    ROLES,
    SDK,
    SESSION,
    UNKNOWN,
)
from .rounds import Timings
from .token_checks import HUGE_COOKIES, RAW_RSA, REJECTED, VERIFY

__all__ = ["CONTROL_RANGE", "GATES", "Gate"]

_MARGIN = 1.08
"""Tolerance for noise: the ratios of two runs differ by 2 or 3 %."""


@dataclass(frozen=True)
class Gate:
    """An upper limit for a ratio or, without ``relative_to``, for a time in microseconds.

    ``floor`` names the benchmark of the same work with the fewest steps, which is reported.
    """

    name: str
    relative_to: str | None
    maximum: float
    aim: float | None = None
    floor: str | None = None

    def is_exceeded(self, timings: Timings) -> bool:
        """Return whether the limit is exceeded by more than the margin."""
        return self._measured(timings, self.name) > self.maximum * _MARGIN

    def format(self, timings: Timings) -> str:
        """Return a line of the report: result, measured value, limit, aim."""
        measured = self._measured(timings, self.name)
        result = "ok" if measured <= self.maximum else "close" if not self.is_exceeded(timings) else "ABOVE"
        unit = f" x {self.relative_to}" if self.relative_to else " us"
        aim = f", aim {self.aim:g}" if self.aim else ""
        floor = f", floor {self._measured(timings, self.floor):.3g}" if self.floor else ""
        return f"  {result:6}{self.name}: {measured:.3g}{unit}, at most {self.maximum:g}{aim}{floor}"

    def _measured(self, timings: Timings, name: str) -> float:
        if self.relative_to is None:
            return timings.time(name).median
        return timings.ratio(name, self.relative_to).median


GATES = (
    Gate(PUBLIC, BASE, 1.06, aim=1.03, floor=FLOOR_PUBLIC),
    Gate(SESSION, NOOP, 1.26, aim=1.15, floor=FLOOR_KNOWN),
    Gate(BOTH, NOOP, 1.34, aim=1.20),
    Gate(ROLES, NOOPS, 1.25, aim=1.12),
    Gate(UNKNOWN, BASE, 2.9, aim=2.5, floor=FLOOR_UNKNOWN),
    Gate(BOTH, SDK, 0.24, aim=0.18),
    Gate(VERIFY, RAW_RSA, 1.8, aim=1.6),
    *(Gate(name, RAW_RSA, 0.25) for name in REJECTED),
    *(Gate(name, None, 1000) for name in HUGE_COOKIES),
)
"""If one is exceeded, the run fails."""

CONTROL_RANGE = (CONTROL, BASE, 0.97, 1.03)
"""Two benchmarks of the same route. If their ratio is outside this range, the machine is too busy."""
