"""The pages of the site. The signature of each shows who may see it."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request
from fastapi.responses import Response
from pydantic import BaseModel, StringConstraints

from fastapi_descope import (
    CurrentSession,
    CurrentTenant,
    CurrentUser,
    TenantMismatch,
    require_permissions,
    require_roles,
)

from .page import CurrentPage, redirect
from .people import Colleagues
from .reports import CurrentShelf, Finding, Report

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

MAY_WRITE = Depends(require_permissions("reports.write"))

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]


class ReportForm(BaseModel):
    """The form of a new report, with the organisation for which it was opened."""

    organisation: str
    title: Line
    site: Line
    finding: Finding
    summary: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
    notes: Annotated[str, StringConstraints(max_length=20_000)] = ""


@router.get("/")
async def home(page: CurrentPage) -> Response:
    """Public. A signed-in user sees a link to the reports instead of the login form."""
    return page.render("home.html", try_it=page.request.app.state.try_it)


@router.get("/reports")
async def reports(page: CurrentPage, shelf: CurrentShelf) -> Response:
    """The reports of the current organisation."""
    return page.render("reports.html", reports=shelf.open_reports())


@router.get("/reports/new", dependencies=[MAY_WRITE])
async def new_report(page: CurrentPage, _tenant: CurrentTenant) -> Response:
    """The form. The browser keeps a draft, so that it survives an expired session."""
    return page.render("report_form.html", findings=Finding)


@router.post("/reports", dependencies=[MAY_WRITE])
async def file_report(
    request: Request,
    form: Annotated[ReportForm, Form()],
    shelf: CurrentShelf,
    user: CurrentUser,
    tenant: CurrentTenant,
) -> Response:
    """File a report in the organisation for which the form was opened, or refuse it.

    The user may have switched to another organisation in another tab since then.
    """
    if form.organisation != tenant.id:
        raise TenantMismatch
    result = Report(
        shelf.next_id(tenant.id[0].upper()),
        form.title,
        form.site,
        user.name or user.id,
        datetime.fromtimestamp(request.app.state.clock(), UTC).date(),
        form.finding,
        form.summary,
        tuple(note for part in form.notes.split("\r\n\r\n") if (note := part.strip())),
    )
    shelf.add(result)
    return redirect(request, f"/reports/{result.id}")


@router.get("/reports/{report_id}")
async def report(page: CurrentPage, shelf: CurrentShelf, report_id: str) -> Response:
    """One report. Another organisation's report is a 404, so its existence is not revealed."""
    result = shelf.find(report_id)
    if result is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return page.render("report.html", report=result, archived=shelf.is_archived(result))


@router.get("/account")
async def account(page: CurrentPage, session: CurrentSession) -> Response:
    """For every signed-in user, also without a current organisation."""
    return page.render("account.html", session=session)


@router.get("/admin", dependencies=[Depends(require_roles("admin"))])
async def admin(page: CurrentPage, shelf: CurrentShelf, people: Colleagues) -> Response:
    """For admins of the current organisation. The role in another organisation does not count."""
    return page.render("admin.html", reports=shelf.open_reports(), people=people)


@router.post("/admin/reports/{report_id}/archive", dependencies=[MAY_WRITE])
async def archive(request: Request, shelf: CurrentShelf, report_id: str) -> Response:
    """Archive a report. The plugin refuses requests of other sites, so the form needs no CSRF token."""
    if not shelf.archive(report_id):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return redirect(request, "/admin")
