"""What must hold of the timings, and what is hoped for."""

from dataclasses import dataclass

from .page_requests import BASE, TWIN
from .rounds import Timings
from .verdicts import HUGE, RAW, REFUSED, VERIFY

__all__ = ["GATES", "GOALS", "TWINS", "Bound"]

_MARGIN = 1.08
"""How far above a limit is put down to the machine: the ratios of two runs differ by 2 or 3 %."""


@dataclass(frozen=True)
class Bound:
    """An upper limit for a ratio, or with no ``to`` for a time in microseconds."""

    name: str
    to: str | None
    limit: float

    def measured(self, timings: Timings) -> float:
        """What the limit is for."""
        return (timings.ratio(self.name, self.to) if self.to else timings.time(self.name)).middle

    def fails(self, timings: Timings) -> bool:
        """Whether it is exceeded by more than the margin."""
        return self.measured(timings) > self.limit * _MARGIN

    def line(self, timings: Timings) -> str:
        """What is demanded, what is, and the verdict, for people."""
        measured = self.measured(timings)
        verdict = "ok" if measured <= self.limit else "close" if not self.fails(timings) else "ABOVE"
        unit = f" x {self.to}" if self.to else " us"
        return f"  {verdict:6}{self.name}: {measured:.3g}{unit}, at most {self.limit:g}"


GATES = (
    Bound(VERIFY, RAW, 2.2),
    *(Bound(name, RAW, 0.25) for name in REFUSED),
    *(Bound(name, None, 1000) for name in HUGE),
)
"""These fail the run."""

GOALS = (
    Bound("public page, middleware only", BASE, 1.10),
    Bound("get_auth_session(request)", BASE, 1.25),
    Bound("CurrentUser by DS", BASE, 1.45),
    Bound("CurrentUser by DS", "no-op async Depends", 1.20),
    Bound("CurrentUser by DS", "SDK validate_session", 0.22),
    Bound("CurrentUser, nothing remembered", BASE, 3.5),
    Bound("CurrentUser, nothing remembered", "SDK validate_session", 0.50),
)
"""These are only reported."""

TWINS = (TWIN, BASE, 0.95, 1.05)
"""The same thing twice: if their ratio is outside these limits, the machine was too busy to tell."""
