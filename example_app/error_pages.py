"""The app's own pages for 403 and 404 instead of the plugin's.

The app's exception handlers run before the plugin's. A handler that raises the error again leaves the
response to the plugin.
"""

from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import Response
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from fastapi_descope import MissingPermissions, MissingRoles, NoTenant, get_auth_session

from .page import Page

__all__ = ["add_error_pages"]


def add_error_pages(app: FastAPI) -> None:
    for error_class in (MissingRoles, MissingPermissions):
        app.add_exception_handler(error_class, show_forbidden)
    app.add_exception_handler(NoTenant, show_organisations)
    app.add_exception_handler(HTTPException, show_not_found)
    app.add_exception_handler(DataError, refuse_text)


async def show_forbidden(request: Request, error: Exception) -> Response:
    """Show which role or permission is missing. Scripts get the plugin's problem document."""
    if not _wants_page(request):
        raise error
    page = Page(request, await get_auth_session(request))
    missing = error.missing if isinstance(error, (MissingRoles, MissingPermissions)) else ()
    kind = "role" if isinstance(error, MissingRoles) else "permission"
    return page.render("forbidden.html", status=HTTPStatus.FORBIDDEN, missing=missing, kind=kind)


async def show_organisations(request: Request, error: Exception) -> Response:
    """Ask for an organisation, or tell a user who belongs to none how to join one.

    A social login or a link by e-mail chooses no organisation, and its user may be in none. Scripts get the
    plugin's problem document.
    """
    if not _wants_page(request):
        raise error
    page = Page(request, await get_auth_session(request))
    return page.render("organisations.html", status=HTTPStatus.FORBIDDEN)


async def show_not_found(request: Request, error: Exception) -> Response:
    """Show a page for 404. Other statuses, and scripts, get FastAPI's response."""
    http_error = cast("HTTPException", error)
    if http_error.status_code != HTTPStatus.NOT_FOUND or not _wants_page(request):
        return await http_exception_handler(request, http_error)
    page = Page(request, await get_auth_session(request))
    return page.render("not_found.html", status=HTTPStatus.NOT_FOUND)


async def refuse_text(request: Request, _error: Exception) -> Response:
    """Refuse text that the database cannot hold: PostgreSQL has no NUL, whether it is in a path or a body."""
    error = HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "The request contains text that cannot be stored")
    return await http_exception_handler(request, error)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
