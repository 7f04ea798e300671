"""OpenAPI components: the security schemes, and the schema and responses of problem documents.

FastAPI finds a scheme among the dependencies of a route. One scheme object serves all apps of a process, so
it has the default cookie names of Descope. ``routes.openapi_document`` puts the configured names into the
document of one app.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from fastapi.openapi.models import APIKey
from fastapi.security.base import SecurityBase

from ..errors import ConfigurationError

__all__ = [
    "BEARER",
    "BEARER_SCHEME",
    "CALLER",
    "MACHINE_SCHEME",
    "OAUTH2",
    "OPTIONAL_SESSION",
    "PROBLEM_MEDIA_TYPE",
    "PROBLEM_RESPONSES",
    "PROBLEM_SCHEMA",
    "REFRESH",
    "SESSION",
    "SESSION_SCHEME",
    "CallerScheme",
    "OptionalSessionScheme",
    "RefreshCookie",
    "SessionScheme",
    "oauth2_scheme",
]

SESSION = "DescopeSession"
OPTIONAL_SESSION = "DescopeSessionIfAny"
REFRESH = "DescopeRefresh"
BEARER = "DescopeBearer"
OAUTH2 = "DescopeOAuth2"
CALLER = "DescopeCaller"

SESSION_SCHEME: Mapping[str, str] = {
    "type": "apiKey",
    "in": "cookie",
    "name": "DS",
    "description": "The session cookie that signing in sets.",
}
BEARER_SCHEME: Mapping[str, str] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A Descope session token, for clients that are not browsers. It takes precedence over the"
    " session cookie.",
}
MACHINE_SCHEME: Mapping[str, str] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A Descope session token or an access key, for clients that are not browsers. It takes"
    " precedence over the session cookie.",
}
"""The scheme of bearers in an app that accepts access keys."""

PROBLEM_MEDIA_TYPE = "application/problem+json"

PROBLEM_SCHEMA: Mapping[str, Any] = {
    "title": "Problem",
    "description": "An error as a problem document (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "The address of the page about the code."},
        "title": {"type": "string", "description": "One sentence, the same for every error with this code."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "code": {"type": "string", "description": "A stable identifier for programs."},
        "detail": {"type": "string", "description": "One sentence about this error."},
        "missing": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The roles, permissions or scopes that the caller lacks; only in a 403 for them.",
        },
        "any_of": {"type": "boolean", "description": "Whether one of `missing` is enough."},
        "login_url": {"type": "string", "description": "The path of the login; only in a 401."},
    },
    "required": ["type", "title", "status", "code", "detail"],
}

PROBLEM_RESPONSES: Mapping[str, Mapping[str, Any]] = {
    "401": {
        "description": "The request is unauthenticated, or its authentication is too weak or too old.",
        "headers": {
            "WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750 or RFC 9470."}
        },
    },
    "403": {"description": "The user may not do this, or another site sent the request."},
    "429": {
        "description": "Too many access keys from the address of this client were refused.",
        "headers": {
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until the next attempt."}
        },
    },
    "503": {
        "description": "The session cannot be verified at the moment. It has not ended.",
        "headers": {
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds until a retry is useful."}
        },
    },
}


class _Scheme(SecurityBase):
    """Base of our dependencies. FastAPI reads ``dependency`` of each item in ``dependencies=[...]``."""

    @property
    def dependency(self) -> NoReturn:
        """Raise ``ConfigurationError``: the item is not wrapped in ``Depends``."""
        raise ConfigurationError(
            "A list of dependencies has an item without Depends: write"
            ' dependencies=[Depends(require_roles("admin"))]'
        )


class SessionScheme(_Scheme):
    """Base of the dependencies that require a session."""

    scheme_name = SESSION
    model = APIKey.model_validate(SESSION_SCHEME)


class OptionalSessionScheme(_Scheme):
    """Base of the dependencies that use a session if there is one."""

    scheme_name = OPTIONAL_SESSION
    model = APIKey.model_validate(SESSION_SCHEME)


class CallerScheme(SessionScheme):
    """Base of the dependencies that accept other callers than users, with scopes.

    Attributes:
        kind: The class of the callers that it accepts, or None for every caller.
        not_impersonated: Whether no person may act as the user of the caller.
        scheme_name: ``CALLER``, which stands for every scheme, ``OAUTH2`` or ``BEARER``.
    """

    kind: type[object] | None = None
    not_impersonated = False

    scheme_name = CALLER
    model = APIKey.model_validate(SESSION_SCHEME)


def oauth2_scheme(apps_url: str, scopes: Mapping[str, str]) -> dict[str, Any]:
    """Return the scheme of inbound apps: the code flow with PKCE, at ``apps_url``."""
    flow = {
        "authorizationUrl": f"{apps_url}/authorize",
        "tokenUrl": f"{apps_url}/token",
        "scopes": dict(scopes),
    }
    return {
        "type": "oauth2",
        "description": "An inbound app of the Descope project, which acts for a user.",
        "flows": {"authorizationCode": flow},
    }


class RefreshCookie(SecurityBase):
    """Dependency that documents the refresh cookie of a route and does nothing at run time."""

    scheme_name = REFRESH
    model = APIKey.model_validate(
        {
            "in": "cookie",
            "name": "DSR",
            "description": "The refresh cookie that signing in sets; a bearer has none.",
        }
    )

    async def __call__(self) -> None:
        """Do nothing. The route reads the cookie itself."""
