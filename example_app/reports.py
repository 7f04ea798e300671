"""What Fieldnotes is about: inspection reports. They live in memory, one shelf for each organisation."""

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
    """The reports of one organisation. Nothing here can reach another's."""

    def __init__(self, reports: Iterable[Report] = ()) -> None:
        self._reports = {report.id: report for report in reports}
        self._archived: set[str] = set()

    def open(self) -> list[Report]:
        """Those that are not archived, newest first."""
        kept = (report for report in self._reports.values() if report.id not in self._archived)
        return sorted(kept, key=lambda report: report.filed, reverse=True)

    def find(self, report_id: str) -> Report | None:
        """The report, archived or not; None if this organisation has none of that id."""
        return self._reports.get(report_id)

    def is_archived(self, report: Report) -> bool:
        return report.id in self._archived

    def archive(self, report_id: str) -> bool:
        """Take a report off the list. False if this organisation has none of that id."""
        if report_id not in self._reports:
            return False
        self._archived.add(report_id)
        return True


class Library:
    """Every organisation's shelf, by tenant id. One that nobody knows yet starts out empty."""

    def __init__(self, shelves: dict[str, Shelf]) -> None:
        self._shelves = shelves

    def shelf(self, tenant_id: str) -> Shelf:
        return self._shelves.setdefault(tenant_id, Shelf())


async def current_shelf(request: Request, tenant: CurrentTenant) -> Shelf:
    """The shelf of the session's own organisation.

    Endpoints ask for this and never for the library, so none of them can forget whose data they show.
    """
    library: Library = request.app.state.library
    return library.shelf(tenant.id)


CurrentShelf = Annotated[Shelf, Depends(current_shelf)]
