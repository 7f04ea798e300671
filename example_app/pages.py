"""The pages of the site. The signature of each shows who may see it."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import RedirectResponse, Response

from fastapi_descope import CurrentSession, require_permissions, require_roles

from .page import CurrentPage
from .people import Colleagues
from .reports import CurrentShelf

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(page: CurrentPage) -> Response:
    """Public. A signed-in user sees a link to the reports instead of the login form."""
    return page.render("home.html", try_it=page.request.app.state.try_it)


@router.get("/reports")
async def reports(page: CurrentPage, shelf: CurrentShelf) -> Response:
    """The reports of the current organisation."""
    return page.render("reports.html", reports=shelf.open_reports())


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


@router.post(
    "/admin/reports/{report_id}/archive", dependencies=[Depends(require_permissions("reports.write"))]
)
async def archive(shelf: CurrentShelf, report_id: str) -> Response:
    """Archive a report. The plugin refuses requests of other sites, so the form needs no CSRF token."""
    if not shelf.archive(report_id):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return RedirectResponse("/admin", HTTPStatus.SEE_OTHER)
