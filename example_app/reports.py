"""Inspection reports, in memory, with one shelf for each organisation."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Request

from fastapi_descope import CurrentTenant

__all__ = ["CurrentShelf", "Finding", "Library", "Report", "Shelf"]


class Finding(StrEnum):
    CLEAR = "Clear"
    ATTENTION = "Needs attention"
    URGENT = "Urgent"


@dataclass(frozen=True, slots=True)
class Report:
    id: str
    title: str
    site: str
    author: str
    filed: date
    finding: Finding
    summary: str
    notes: tuple[str, ...] = ()


class Shelf:
    """The reports of one organisation. It has no access to those of others."""

    def __init__(self, reports: Iterable[Report] = ()) -> None:
        self._reports = {report.id: report for report in reports}
        self._archived: set[str] = set()

    def open_reports(self) -> list[Report]:
        """Return the reports that are not archived, newest first."""
        reports = (report for report in self._reports.values() if report.id not in self._archived)
        return sorted(reports, key=lambda report: report.filed, reverse=True)

    def find(self, report_id: str) -> Report | None:
        """Return the report, archived or not; None if this organisation has none with that id."""
        return self._reports.get(report_id)

    def add(self, report: Report) -> None:
        self._reports[report.id] = report

    def next_id(self, prefix: str) -> str:
        """Return an id that no report of this organisation has: the prefix and the next number."""
        numbers = [int(report_id.rpartition("-")[2]) for report_id in self._reports]
        return f"{prefix}-{max(numbers, default=0) + 1}"

    def is_archived(self, report: Report) -> bool:
        return report.id in self._archived

    def archive(self, report_id: str) -> bool:
        """Archive a report. Return False if this organisation has none with that id."""
        if report_id not in self._reports:
            return False
        self._archived.add(report_id)
        return True


class Library:
    """The shelves of all organisations, by tenant id. A new organisation gets an empty one."""

    def __init__(self, shelves: dict[str, Shelf]) -> None:
        self._shelves = shelves

    def shelf(self, tenant_id: str) -> Shelf:
        return self._shelves.setdefault(tenant_id, Shelf())


async def current_shelf(request: Request, tenant: CurrentTenant) -> Shelf:
    """Return the shelf of the current organisation.

    Endpoints depend on the shelf and never on the library, so none can show another organisation's data.
    """
    library: Library = request.app.state.library
    return library.shelf(tenant.id)


CurrentShelf = Annotated[Shelf, Depends(current_shelf)]
