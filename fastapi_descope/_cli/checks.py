"""The result of one check of the ``doctor`` command."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

__all__ = ["CheckResult", "Severity", "summary"]


class Severity(StrEnum):
    """The severity of a check result. Only ``FAIL`` means that something does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A finding and, unless it is ``OK``, its fix. Contains no secret."""

    severity: Severity
    subject: str
    message: str

    @override
    def __str__(self) -> str:
        return f"{self.severity:<4}  {self.subject:<10}  {self.message}"


def summary(results: Sequence[CheckResult]) -> str:
    """Return one line with the number of results of each severity."""
    counts = {severity: sum(each.severity is severity for each in results) for severity in Severity}
    return f"{counts[Severity.OK]} ok, {counts[Severity.WARN]} warnings, {counts[Severity.FAIL]} failed"
