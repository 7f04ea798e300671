"""The JSON API, for scripts of the site, applications and machines. Scopes say what each may do."""

from datetime import date
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from fastapi_descope import CurrentTenant, CurrentUser, Descope

from .reports import ReadableShelf, ReportFields, WritableShelf

__all__ = ["router"]

router = APIRouter()


class Me(BaseModel):
    user: str
    tenant: str
    roles: tuple[str, ...]


class ReportBody(ReportFields):
    notes: list[Annotated[str, StringConstraints(max_length=20_000)]] = Field(default_factory=list)


class ReportOut(ReportBody):
    id: str
    author: str
    filed: date
    archived: bool


@router.get("/api/me", tags=["Fieldnotes"])
async def me(user: CurrentUser, tenant: CurrentTenant) -> Me:
    """The current user, and the current organisation with the user's roles in it."""
    return Me(user=user.id, tenant=tenant.id, roles=tenant.roles)


@router.get("/api/reports", tags=["Fieldnotes"])
async def list_reports(shelf: ReadableShelf) -> list[ReportOut]:
    """The open reports of the caller's organisation, newest first."""
    return [ReportOut.model_validate(report) for report in await shelf.open_reports()]


@router.post("/api/reports", status_code=HTTPStatus.CREATED, tags=["Fieldnotes"])
async def file_report(report: ReportBody, shelf: WritableShelf) -> ReportOut:
    """File a report."""
    return ReportOut.model_validate(await shelf.file(_fields(report), report.notes))


@router.get("/api/reports/{report_id}", tags=["Fieldnotes"])
async def read_report(report_id: str, shelf: ReadableShelf) -> ReportOut:
    """One report, archived or not."""
    return ReportOut.model_validate(await shelf.get(report_id))


@router.put("/api/reports/{report_id}", tags=["Fieldnotes"])
async def edit_report(report_id: str, report: ReportBody, shelf: WritableShelf) -> ReportOut:
    """Replace what a report says."""
    found = await shelf.get(report_id)
    await shelf.edit(found, _fields(report), report.notes)
    return ReportOut.model_validate(found)


@router.delete("/api/reports/{report_id}", status_code=HTTPStatus.NO_CONTENT, tags=["Fieldnotes"])
async def delete_report(report_id: str, shelf: WritableShelf) -> None:
    """Delete a report with its attachments."""
    await shelf.delete(await shelf.get(report_id))


def _fields(report: ReportBody) -> ReportFields:
    return ReportFields.model_validate(report.model_dump(include=set(ReportFields.model_fields)))


@router.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    """Respond to health checks. No dependency needs the session, so it is never read."""
    return {"status": "ok"}


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request, response: Response) -> dict[str, str]:
    """Respond to readiness checks: 503 until the keys that verify sessions are loaded."""
    descope = cast("Descope", request.app.state.descope)
    if descope.ready():
        return {"status": "ready"}
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    response.headers["Retry-After"] = "1"
    return {"status": "waiting for keys"}
