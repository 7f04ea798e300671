"""The kind of client that sends a request: a navigation, a prefetch, HTMX, Turbo, or any other script."""

from enum import Enum

from starlette.datastructures import Headers
from starlette.types import Scope

__all__ = ["PREFETCH_HEADERS", "ClientKind", "client_kind", "is_cross_origin_navigation", "is_cross_site"]

PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-sec-purpose")
"""The headers of a prefetch: of browsers, and of Turbo, whose script cannot set the others."""


class ClientKind(Enum):
    """The kind of client that receives the response."""

    NAVIGATION = "navigation"
    PREFETCH = "prefetch"
    HTMX = "htmx"
    TURBO = "turbo"
    API = "api"


def client_kind(scope: Scope) -> ClientKind:
    """Return the kind of client, from Fetch Metadata, or from ``Accept`` if the browser sends none."""
    headers = Headers(scope=scope)
    if any("prefetch" in headers.get(name, "").lower() for name in PREFETCH_HEADERS):
        return ClientKind.PREFETCH
    if headers.get("hx-request") == "true":
        return ClientKind.HTMX
    if "turbo-frame" in headers or "x-turbo-request-id" in headers:
        return ClientKind.TURBO
    mode = headers.get("sec-fetch-mode")
    wants_page = mode == "navigate" if mode else "text/html" in headers.get("accept", "")
    return ClientKind.NAVIGATION if wants_page else ClientKind.API


def is_cross_origin_navigation(headers: Headers) -> bool:
    """Return whether a page of another origin, sibling domains included, started this navigation.

    The app's own links and redirects are ``same-origin``, and a typed URL is ``none``. The result is False
    for browsers without Fetch Metadata.
    """
    return is_cross_site(headers) or headers.get("sec-fetch-site") == "same-site"


def is_cross_site(headers: Headers) -> bool:
    """Return whether a page of another site, not of a sibling domain, caused the request."""
    return headers.get("sec-fetch-site") == "cross-site"
