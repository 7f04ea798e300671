"""Inspection reports. A shelf is the reports of one organisation: its session sees no others."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, HTTPException, Security, status
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from fastapi_descope import AuthSession, Caller, CurrentCaller

from .database import caller_session, database_of, tenant_session
from .feed import Feed
from .models import Activity, Finding, Report

__all__ = ["CurrentShelf", "Finding", "ReadableShelf", "Report", "ReportFields", "Shelf", "WritableShelf"]

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class ReportFields(BaseModel):
    """The fields of a report that its author fills in."""

    model_config = ConfigDict(from_attributes=True)

    title: Line
    site: Line
    finding: Finding
    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]


class Shelf:
    """The reports of the organisation of a session. Each change is an entry of its activity feed."""

    def __init__(self, db: AsyncSession, feed: Feed, caller: Caller, now: float) -> None:
        self._db = db
        self._feed = feed
        self._caller = caller
        self._now = now

    async def open_reports(self) -> Sequence[Report]:
        """Return the reports that are not archived, newest first."""
        query = select(Report).where(~Report.archived).order_by(Report.filed.desc(), Report.id.desc())
        return (await self._db.scalars(query)).all()

    async def find(self, report_id: str) -> Report | None:
        """Return the report, archived or not; None if this organisation has none with that id."""
        return await self._db.scalar(select(Report).where(Report.id == report_id))

    async def get(self, report_id: str) -> Report:
        """Return the report, or respond with 404: whether another organisation has one is not revealed."""
        report = await self.find(report_id)
        if report is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND)
        return report

    async def file(self, fields: ReportFields, notes: Sequence[str]) -> Report:
        """Add a report with the next number of the organisation.

        Of two that are filed at one moment, the second gets the number after that of the first.
        """
        report = await self._add(fields, notes)
        while report is None:
            report = await self._add(fields, notes)
        await self.commit(report, "filed")
        return report

    async def _add(self, fields: ReportFields, notes: Sequence[str]) -> Report | None:
        """Add a report with the next number; return None if another report has just got it."""
        report = Report(
            await self._next_id(),
            fields.title,
            fields.site,
            self.author,
            datetime.fromtimestamp(self._now, UTC).date(),
            fields.finding,
            fields.summary,
            [*notes],
        )
        self._db.add(report)
        try:
            await self._db.flush()
        except IntegrityError:
            await self._db.rollback()
            return None
        return report

    async def edit(self, report: Report, fields: ReportFields, notes: Sequence[str]) -> None:
        for name, value in fields:
            setattr(report, name, value)
        report.notes = [*notes]
        await self.commit(report, "edited")

    async def archive(self, report: Report) -> None:
        report.archived = True
        await self.commit(report, "archived")

    async def delete(self, report: Report) -> None:
        """Delete a report. The database deletes its attachments."""
        await self._db.delete(report)
        await self.commit(report, "deleted")

    async def commit(self, report: Report, action: str) -> None:
        """Commit a change of a report together with its entry of the feed."""
        tenant_id = report.tenant_id
        self._db.add(Activity(self._now, self.author, action, report.id, report.title))
        await self._feed.commit(self._db, tenant_id)

    @property
    def author(self) -> str:
        """The name of the caller, as reports and the feed show it."""
        if isinstance(self._caller, AuthSession):
            return self._caller.user.name or self._caller.user.id
        return self._caller.subject

    async def _next_id(self) -> str:
        """Return an id that no report of this organisation has or had: a letter and the next number."""
        of_reports, of_deleted_ones = select(Report.id), select(Activity.report_id)
        ids = (await self._db.scalars(of_reports.union(of_deleted_ones))).all()
        numbers = [int(number) for each in ids if (number := each.rpartition("-")[2]).isdecimal()]
        letter = ids[0][0] if ids else "R"
        return f"{letter}-{max(numbers, default=0) + 1}"


def _shelf(connection: HTTPConnection, db: AsyncSession, caller: Caller) -> Shelf:
    return Shelf(db, database_of(connection).feed, caller, connection.app.state.clock())


async def current_shelf(
    connection: HTTPConnection, db: Annotated[AsyncSession, Depends(tenant_session)], caller: CurrentCaller
) -> Shelf:
    """Return the shelf of the user's current organisation, for pages."""
    return _shelf(connection, db, caller)


async def caller_shelf(
    connection: HTTPConnection, db: Annotated[AsyncSession, Depends(caller_session)], caller: CurrentCaller
) -> Shelf:
    """Return the shelf of the caller's organisation, for the API."""
    return _shelf(connection, db, caller)


CurrentShelf = Annotated[Shelf, Depends(current_shelf)]
ReadableShelf = Annotated[Shelf, Security(caller_shelf, scopes=["reports.read"])]
WritableShelf = Annotated[Shelf, Security(caller_shelf, scopes=["reports.write"])]
