"""Errors to responses: in Descope's format, or in that of OAuth."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .api_errors import INTERNAL_ERROR, ApiError, OAuthError, error_body
from .urls import route_path

__all__ = ["EXCEPTION_HANDLERS"]

_API_PATH = re.compile(r"/(v[0-9]+|oauth2|scim)/")


def _on_api_error(_: Request, error: Exception) -> Response:
    api_error = cast("ApiError", error)
    return JSONResponse(api_error.body, api_error.status)


def _on_oauth_error(_: Request, error: Exception) -> Response:
    oauth_error = cast("OAuthError", error)
    is_unauthorized = oauth_error.status == HTTPStatus.UNAUTHORIZED
    challenge = {"www-authenticate": 'Basic realm="oauth"'} if is_unauthorized else {}
    return JSONResponse(oauth_error.body, oauth_error.status, {"cache-control": "no-store", **challenge})


def _on_http_error(request: Request, error: Exception) -> Response:
    http_error = cast("HTTPException", error)
    is_api = http_error.status_code == HTTPStatus.NOT_FOUND and _API_PATH.match(route_path(request.scope))
    message = "The emulator does not implement this endpoint" if is_api else http_error.detail
    body = error_body("E011001", message)
    return JSONResponse(body, http_error.status_code, http_error.headers)


def _on_exception(_: Request, __: Exception) -> Response:
    return JSONResponse(error_body(INTERNAL_ERROR, "The emulator failed: see its log"), 500)


EXCEPTION_HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Response]] = MappingProxyType(
    {
        ApiError: _on_api_error,
        OAuthError: _on_oauth_error,
        HTTPException: _on_http_error,
        Exception: _on_exception,  # Starlette raises it afterwards, so a server logs it
    }
)
"""The handlers, by the class of the error."""
