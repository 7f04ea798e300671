"""The result of one check of the ``doctor`` command, and the report of all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

__all__ = ["CheckResult", "Report", "Severity", "fail", "ok", "warn"]

_DOCS = "https://fastapi-descope.readthedocs.io/reference/cli/#"
"""The page that explains each result below an anchor with its id."""

_VERSION = 1
"""Version of the JSON document. Members may be added to a version; none is removed or changes its meaning."""


class Severity(StrEnum):
    """The severity of a check result. Only ``FAIL`` means that something does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A finding and, unless it is ``OK``, its remedy. Contains no secret.

    ``id`` is stable: the subject of the check, a dot, and the finding.
    """

    id: str
    severity: Severity
    message: str

    @property
    def subject(self) -> str:
        """The subject of the check: ``public_url`` of ``public_url.missing``."""
        return self.id.partition(".")[0]

    @override
    def __str__(self) -> str:
        subject = self.subject.replace("_", " ")
        return f"{self.severity:<4}  {subject:<10}  {self.message}"

    def as_json(self) -> dict[str, str]:
        """Return the members of the result in the JSON document."""
        members = {
            "id": self.id,
            "severity": self.severity.value,
            "check": self.subject,
            "message": self.message,
        }
        return members if self.severity is Severity.OK else {**members, "docs": _DOCS + self.id}


def ok(finding: str, message: str) -> CheckResult:
    """Return a result with nothing to do."""
    return CheckResult(finding, Severity.OK, message)


def warn(finding: str, message: str) -> CheckResult:
    """Return a result that needs a decision, and does not fail the command."""
    return CheckResult(finding, Severity.WARN, message)


def fail(finding: str, message: str) -> CheckResult:
    """Return a result of something that does not work or is not safe."""
    return CheckResult(finding, Severity.FAIL, message)


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all checks, in the order in which they ran."""

    results: Sequence[CheckResult]

    @property
    def is_ok(self) -> bool:
        """Whether no check failed."""
        return not self._count(Severity.FAIL)

    @override
    def __str__(self) -> str:
        ok_count, warn_count, fail_count = map(self._count, (Severity.OK, Severity.WARN, Severity.FAIL))
        lines = [str(result) for result in self.results]
        warned = f"{warn_count} warning{'s' * (warn_count != 1)}"
        return "\n".join([*lines, "", f"{ok_count} ok, {warned}, {fail_count} failed"])

    def as_json(self) -> str:
        """Return the report as one JSON document in ASCII."""
        checks = [result.as_json() for result in self.results]
        return json.dumps({"version": _VERSION, "ok": self.is_ok, "checks": checks}, indent=2)

    def _count(self, severity: Severity) -> int:
        return sum(result.severity is severity for result in self.results)
