"""What an examination saw, and how bad it is."""

from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

__all__ = ["CheckResult", "Severity"]


class Severity(StrEnum):
    """How bad a finding is. Only ``FAIL`` means that something does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was seen and, if it is not well, the fix. Holds no secret."""

    severity: Severity
    subject: str
    text: str

    @override
    def __str__(self) -> str:
        return f"{self.severity:<4}  {self.subject:<10}  {self.text}"
