"""The pages of the site. The signature of each shows who may see it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from pydantic import StringConstraints

from fastapi_descope import (
    CurrentSession,
    CurrentTenant,
    Tenant,
    TenantMismatch,
    require_permissions,
    require_roles,
)

from .attachments import attachments_of
from .database import TenantSession
from .page import CurrentPage, redirect
from .people import Colleagues
from .reports import CurrentShelf, Finding, ReportFields

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

MAY_WRITE = Depends(require_permissions("reports.write"))


class ReportForm(ReportFields):
    """The form of a report, with the organisation for which it was opened."""

    organisation: str
    notes: Annotated[str, StringConstraints(max_length=20_000)] = ""

    @property
    def fields(self) -> ReportFields:
        return ReportFields.model_validate(self.model_dump(include=set(ReportFields.model_fields)))

    @property
    def paragraphs(self) -> list[str]:
        """The notes: an empty line begins a new paragraph."""
        parts = self.notes.replace("\r\n", "\n").split("\n\n")
        return [note for part in parts if (note := part.strip())]

    def refuse_other(self, tenant: Tenant) -> None:
        """Refuse a form of another organisation: the user may have switched in another tab."""
        if self.organisation != tenant.id:
            raise TenantMismatch


@router.get("/")
async def home(page: CurrentPage) -> Response:
    """Public. A signed-in user sees a link to the reports instead of the login form."""
    return page.render("home.html", try_it=page.request.app.state.try_it)


@router.get("/reports")
async def reports(page: CurrentPage, shelf: CurrentShelf) -> Response:
    """The reports of the current organisation."""
    return page.render("reports.html", reports=await shelf.open_reports())


@router.get("/reports/new", dependencies=[MAY_WRITE])
async def new_report(page: CurrentPage, _tenant: CurrentTenant) -> Response:
    """The form. The browser keeps a draft, so that it survives an expired session."""
    return page.render("report_form.html", findings=Finding)


@router.post("/reports", dependencies=[MAY_WRITE])
async def file_report(
    request: Request,
    form: Annotated[ReportForm, Form()],
    shelf: CurrentShelf,
    tenant: CurrentTenant,
) -> Response:
    """File a report in the organisation for which the form was opened, or refuse it.

    The user may have switched to another organisation in another tab since then.
    """
    form.refuse_other(tenant)
    result = await shelf.file(form.fields, form.paragraphs)
    return redirect(request, f"/reports/{result.id}")


@router.get("/reports/{report_id}")
async def report(page: CurrentPage, shelf: CurrentShelf, db: TenantSession, report_id: str) -> Response:
    """One report. Another organisation's report is a 404, so its existence is not revealed."""
    result, files = await shelf.get(report_id), await attachments_of(report_id, db)
    return page.render("report.html", report=result, archived=result.archived, attachments=files)


@router.get("/reports/{report_id}/edit", dependencies=[MAY_WRITE])
async def edit_form(page: CurrentPage, shelf: CurrentShelf, report_id: str) -> Response:
    """The form of a report that exists."""
    return page.render("report_form.html", findings=Finding, report=await shelf.get(report_id))


@router.post("/reports/{report_id}", dependencies=[MAY_WRITE])
async def edit_report(
    request: Request,
    form: Annotated[ReportForm, Form()],
    shelf: CurrentShelf,
    tenant: CurrentTenant,
    report_id: str,
) -> Response:
    """Save the form of a report."""
    form.refuse_other(tenant)
    await shelf.edit(await shelf.get(report_id), form.fields, form.paragraphs)
    return redirect(request, f"/reports/{report_id}")


@router.post("/reports/{report_id}/delete", dependencies=[MAY_WRITE])
async def delete_report(request: Request, shelf: CurrentShelf, report_id: str) -> Response:
    """Delete a report with its attachments."""
    await shelf.delete(await shelf.get(report_id))
    return redirect(request, "/reports")


@router.get("/account")
async def account(page: CurrentPage, session: CurrentSession) -> Response:
    """For every signed-in user, also without a current organisation."""
    return page.render("account.html", session=session)


@router.get("/admin", dependencies=[Depends(require_roles("admin"))])
async def admin(page: CurrentPage, shelf: CurrentShelf, people: Colleagues) -> Response:
    """For admins of the current organisation. The role in another organisation does not count."""
    return page.render("admin.html", reports=await shelf.open_reports(), people=people)


@router.post("/admin/reports/{report_id}/archive", dependencies=[MAY_WRITE])
async def archive(request: Request, shelf: CurrentShelf, report_id: str) -> Response:
    """Archive a report. The plugin refuses requests of other sites, so the form needs no CSRF token."""
    await shelf.archive(await shelf.get(report_id))
    return redirect(request, "/admin")
