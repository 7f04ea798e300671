"""Which pages of other origins may call Descope's API: those on the developer's own machine."""

import re

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Scope

from .address import path_of

__all__ = ["shared_with_pages"]

_LOOPBACK_ORIGIN = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")
_SHARED_PATHS = re.compile(
    r"/v1/auth/.*|/v[12]/keys/[^/]*"
    r"|/[^/]+(/[^/]+)?/\.well-known/(openid-configuration|jwks\.json)|/oauth2/v1/(token|userinfo|revoke)"
)


def shared_with_pages(app: ASGIApp, scope: Scope) -> ASGIApp:
    """What answers a request in place of ``app``: to a loopback page, with the headers that let it read on.

    Descope's browser SDKs call the authentication API with cookies (wire contract, section 9, point 15),
    and OIDC clients in a page call the endpoints that the discovery document names. Nothing else is shared,
    and another origin gets no CORS header at all, never ``*`` (EM-03): it could take the tokens of whoever
    is signed in here. Which headers a page sends is not restricted, for the SDKs have many of their own.
    """
    origin = Headers(scope=scope).get("origin", "")
    if not (_LOOPBACK_ORIGIN.fullmatch(origin) and _SHARED_PATHS.fullmatch(path_of(scope))):
        return app
    return CORSMiddleware(
        app,
        allow_origin_regex=_LOOPBACK_ORIGIN.pattern,
        allow_credentials=True,
        allow_methods=("GET", "POST"),
        allow_headers=("*",),  # answered with the names that were asked for
        expose_headers=("Retry-After",),
    )
