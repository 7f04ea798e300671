"""Access control: loopback hosts only, CORS for loopback pages only, and not in production."""

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

_LOOPBACK_ORIGIN = re.compile(r"https?://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")
_SHARED_PATHS = re.compile(
    r"/v1/auth/.*|/v[12]/keys/[^/]*"
    r"|/[^/]+(/[^/]+)?/\.well-known/(openid-configuration|jwks\.json)|/oauth2/v1/(token|userinfo|revoke)"
    r"|/v1/apps/(agentic/[^/]+/)?[^/]+/\.well-known/(openid-configuration|oauth-authorization-server)"
    r"|/oauth2/v1/apps/([^/]+/)?(token|userinfo|revoke)|/oauth2/v1/apps/agentic/[^/]+/[^/]+/token"
    r"|/v1/mgmt/(inboundapp/app|mcp/client/[^/]+)/[^/]+/register"
)
_VARIABLE = re.compile(r"([A-Z0-9]+_)*(ENV|ENVIRONMENT|STAGE)(_NAME)?", re.IGNORECASE)
_PRODUCTION = re.compile(
    r"(?<![^-_. ])(?<!pre.)(?<!non.)(?<!not.)(prod|prd|production|live)[0-9]*(?![^-_. ])", re.IGNORECASE
)


# Every request is checked, and those to the console more strictly (EM-03).
def rejection_reason(scope: Scope) -> str | None:
    """Return why a request is rejected, or None.

    A page of another site could reach a loopback address through DNS rebinding, which shows in ``Host``, or
    through a form, which browsers mark in ``Sec-Fetch-Site``.
    """
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    if len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0]):
        return "The emulator accepts only loopback hosts"
    if scope["method"] not in _SAFE_METHODS and headers.get("sec-fetch-site") == "cross-site":
        return "The emulator rejects cross-site requests"
    return None


def console_rejection_reason(scope: Scope) -> str | None:
    """Return why a request to the console is rejected, or None. Reads are as restricted as writes.

    The app under development is same-site, because a site has no port, and it may have vulnerabilities, so
    requests from its pages are rejected too. A request without these headers comes from a tool such as curl.
    """
    headers = Headers(scope=scope)
    own_origin = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if set(sites) <= _OWN_SITES and set(origins) <= {own_origin}:
        return rejection_reason(scope)
    return "The console rejects requests from other pages: open it from the address bar"


def with_cors(app: ASGIApp, scope: Scope) -> ASGIApp:
    """Return ``app`` with CORS headers if the request comes from a loopback page, otherwise ``app`` itself.

    Descope's browser SDKs call the authentication API with cookies (wire contract, section 9, point 15), and
    OIDC clients in a page call the endpoints of the discovery document. Other paths and other origins get no
    CORS headers, and none get ``*``, which would expose tokens of the signed-in user. Request headers are not
    restricted, because the SDKs send many of their own.
    """
    origin = Headers(scope=scope).get("origin", "")
    if not (_LOOPBACK_ORIGIN.fullmatch(origin) and _SHARED_PATHS.fullmatch(route_path(scope))):
        return app
    return CORSMiddleware(
        app,
        allow_origin_regex=_LOOPBACK_ORIGIN.pattern,
        allow_credentials=True,
        allow_methods=("GET", "POST"),
        allow_headers=("*",),  # the response lists the requested names
        expose_headers=("Retry-After",),
    )


# The command refuses to start an emulator in production (EM-01).
def production_variable(variables: Mapping[str, str]) -> str | None:
    """Return the name of the first variable whose value means production, or None.

    Variables are ``ENV``, ``ENVIRONMENT`` and ``STAGE``, alone or at the end of a name such as ``FLASK_ENV``.
    These values mean production: ``production``, ``prod``, ``prd`` and ``live``, case-insensitive, alone or
    as a part of a name such as ``eu-production``, but not of ``pre-prod`` and ``non-prod``.
    """
    declared = ((name, value.strip()) for name, value in variables.items() if _VARIABLE.fullmatch(name))
    return next((name for name, value in declared if _PRODUCTION.search(value)), None)
