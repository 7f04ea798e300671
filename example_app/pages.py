"""The pages of the site. Each says in its signature who may see it."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import RedirectResponse, Response

from fastapi_descope import CurrentSession, require_permissions, require_roles

from .page import AnyPage
from .people import Colleagues
from .reports import CurrentShelf

__all__ = ["router"]

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(page: AnyPage) -> Response:
    """For everybody. Who is signed in sees the way to the reports instead of the sign-in form."""
    return page.render("home.html", try_it=page.request.app.state.try_it)


@router.get("/reports")
async def reports(page: AnyPage, shelf: CurrentShelf) -> Response:
    """For members of an organisation: its reports."""
    return page.render("reports.html", reports=shelf.open())


@router.get("/reports/{report_id}")
async def report(page: AnyPage, shelf: CurrentShelf, report_id: str) -> Response:
    """404 for another organisation's report: that it exists is nobody else's business."""
    found = shelf.find(report_id)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return page.render("report.html", report=found, archived=shelf.is_archived(found))


@router.get("/account")
async def account(page: AnyPage, session: CurrentSession) -> Response:
    """For anybody who is signed in, even without an organisation."""
    return page.render("account.html", session=session)


@router.get("/admin", dependencies=[Depends(require_roles("admin"))])
async def admin(page: AnyPage, shelf: CurrentShelf, people: Colleagues) -> Response:
    """For admins of the current organisation; being one in another does not count."""
    return page.render("admin.html", reports=shelf.open(), people=people)


@router.post(
    "/admin/reports/{report_id}/archive", dependencies=[Depends(require_permissions("reports.write"))]
)
async def archive(shelf: CurrentShelf, report_id: str) -> Response:
    """A form of the admin page. The session refuses it from other sites, so it needs no CSRF token."""
    if not shelf.archive(report_id):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return RedirectResponse("/admin", HTTPStatus.SEE_OTHER)
