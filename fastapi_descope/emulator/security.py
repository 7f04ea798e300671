"""Who may come in: nobody but this machine, and to the console nobody but its own pages and tools (EM-03)."""

import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Scope

from .urls import route_path

__all__ = ["console_rejection_reason", "production_variable", "rejection_reason", "with_cors"]

_LOOPBACK_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})


def rejection_reason(scope: Scope) -> str | None:
    """Why a request may not come in at all, or None.

    A page of another site could reach the loopback by rebinding its DNS name, which shows in ``Host``, or
    by posting a form, which browsers mark.
    """
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0]):
        return "The emulator answers only to loopback hosts"
    if scope["method"] not in _SAFE_METHODS and headers.get("sec-fetch-site") == "cross-site":
        return "The emulator takes no cross-site requests"
    return None


def console_rejection_reason(scope: Scope) -> str | None:
    """Why a request may not come into the console, or None. Reading is no different from writing.

    The app under development is of the same site, for a site has no port, and may have holes: what
    browsers say comes from it stays out, too. What says nothing is no browser, but a tool such as curl.
    """
    headers = Headers(scope=scope)
    own = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if set(sites) <= _OWN_SITES and set(origins) <= {own}:
        return rejection_reason(scope)
    return "The console takes no requests from other pages: open it from the address bar"


_LOOPBACK_ORIGIN = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")
_SHARED_PATHS = re.compile(
    r"/v1/auth/.*|/v[12]/keys/[^/]*"
    r"|/[^/]+(/[^/]+)?/\.well-known/(openid-configuration|jwks\.json)|/oauth2/v1/(token|userinfo|revoke)"
)


def with_cors(app: ASGIApp, scope: Scope) -> ASGIApp:
    """What answers a request in place of ``app``: to a loopback page, with the headers that let it read on.

    Descope's browser SDKs call the authentication API with cookies (wire contract, section 9, point 15),
    and OIDC clients in a page call the endpoints that the discovery document names. Nothing else is shared,
    and another origin gets no CORS header at all, never ``*`` (EM-03): it could take the tokens of whoever
    is signed in here. Which headers a page sends is not restricted, for the SDKs have many of their own.
    """
    origin = Headers(scope=scope).get("origin", "")
    if not (_LOOPBACK_ORIGIN.fullmatch(origin) and _SHARED_PATHS.fullmatch(route_path(scope))):
        return app
    return CORSMiddleware(
        app,
        allow_origin_regex=_LOOPBACK_ORIGIN.pattern,
        allow_credentials=True,
        allow_methods=("GET", "POST"),
        allow_headers=("*",),  # answered with the names that were asked for
        expose_headers=("Retry-After",),
    )


_VARIABLES = (
    "ENVIRONMENT",
    "ENV",
    "APP_ENV",
    "APP_ENVIRONMENT",
    "DEPLOY_ENV",
    "DEPLOYMENT_ENVIRONMENT",
    "STAGE",
    "FASTAPI_ENV",
    "PYTHON_ENV",
    "NODE_ENV",
)
_PRODUCTION = re.compile(r"(prod|production|live)([-_.].*)?", re.IGNORECASE | re.DOTALL)


def production_variable(variables: Mapping[str, str]) -> str | None:
    """The name of the first variable that says production, or None.

    ``production``, ``prod`` and ``live`` do, in any case and also as the first part of a name such as
    ``prod-eu``.
    """
    return next((name for name in _VARIABLES if _PRODUCTION.fullmatch(variables.get(name, "").strip())), None)
