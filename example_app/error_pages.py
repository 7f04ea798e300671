"""Our own pages for "you may not" and "not here", in place of the plugin's plain ones.

FastAPI's exception handlers run before the plugin's, so an app may take over the errors it wants to
show itself. A handler that raises the error again leaves the answer to the plugin, or to FastAPI.
"""

from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from fastapi_descope import MissingPermissions, MissingRoles, NoTenant, get_auth_session

from .page import Page

__all__ = ["add_error_pages"]


def add_error_pages(app: FastAPI) -> None:
    for refusal in (MissingRoles, MissingPermissions, NoTenant):
        app.add_exception_handler(refusal, show_refusal)
    app.add_exception_handler(HTTPException, show_http_error)


async def show_refusal(request: Request, error: Exception) -> Response:
    """A page that says what is missing and where to go; scripts get the plugin's problem document."""
    if not _wants_page(request):
        raise error
    page = Page(request, await get_auth_session(request))
    missing = error.missing if isinstance(error, (MissingRoles, MissingPermissions)) else ()
    kind = "role" if isinstance(error, MissingRoles) else "permission"
    return page.render("refused.html", status=HTTPStatus.FORBIDDEN, missing=missing, kind=kind)


async def show_http_error(request: Request, error: Exception) -> Response:
    """A page for 404; whatever else FastAPI has to say stays as it is."""
    refused = cast("HTTPException", error)
    if refused.status_code != HTTPStatus.NOT_FOUND or not _wants_page(request):
        return await http_exception_handler(request, refused)
    page = Page(request, await get_auth_session(request))
    return page.render("missing.html", status=HTTPStatus.NOT_FOUND)


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
