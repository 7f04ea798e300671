"""OpenAPI security schemes: required session, optional session, refresh cookie, and the bearer alternative.

FastAPI finds a scheme among the dependencies of a route. One scheme object serves all apps of a process, so
it has the default cookie names of Descope. ``describe_security`` puts the configured names into the document
of one app.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.models import APIKey
from fastapi.security.base import SecurityBase

__all__ = ["REFRESH", "OptionalSessionScheme", "RefreshCookie", "SessionScheme", "describe_security"]

REFRESH = "DescopeRefresh"

_SESSION = "DescopeSession"
_OPTIONAL_SESSION = "DescopeSessionIfAny"
_BEARER = "DescopeBearer"
_BEARER_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A Descope session token.",
}

_Alternatives = Sequence[Mapping[str, Sequence[str]]]
"""The ``security`` of an operation: one of the schemes is enough. ``{}`` allows none at all."""


def _cookie(name: str, description: str) -> APIKey:
    return APIKey.model_validate({"in": "cookie", "name": name, "description": description})


class SessionScheme(SecurityBase):
    """Base of the dependencies that require a session."""

    scheme_name = _SESSION
    model = _cookie("DS", "The session cookie that signing in sets.")


class OptionalSessionScheme(SecurityBase):
    """Base of the dependencies that use a session if there is one."""

    scheme_name = _OPTIONAL_SESSION
    model = _cookie("DS", "The session cookie that signing in sets; optional.")


class RefreshCookie(SecurityBase):
    """Dependency that documents the refresh cookie of a route and does nothing at run time."""

    scheme_name = REFRESH
    model = _cookie("DSR", "The refresh cookie that signing in sets; a bearer has none.")

    async def __call__(self) -> None:
        """Do nothing. The route reads the cookie itself."""


def describe_security(app: FastAPI, *, session_cookie: str, refresh_cookie: str) -> None:
    """Put the configured cookie names and the bearer alternative into the OpenAPI document of ``app``.

    FastAPI collects one scheme per dependency, and ours accept a cookie or a bearer token, so the document is
    completed after FastAPI has generated it. A request costs nothing.
    """
    generate: Callable[[], dict[str, Any]] = app.openapi
    completed: dict[str, Any] | None = None

    def openapi() -> dict[str, Any]:
        nonlocal completed
        document = generate()
        if document is not completed:  # FastAPI caches it, and generates another after routes were added
            _complete(document, {_SESSION: session_cookie, REFRESH: refresh_cookie})
            completed = document
        return document

    app.openapi = openapi  # type: ignore[method-assign] # the way FastAPI documents to extend OpenAPI


def _complete(document: dict[str, Any], cookies: Mapping[str, str]) -> None:
    schemes = document.get("components", {}).get("securitySchemes", {})
    optional = schemes.pop(_OPTIONAL_SESSION, None)
    if optional is not None:
        schemes.setdefault(_SESSION, optional)
    for scheme, cookie in cookies.items():
        if scheme in schemes:
            schemes[scheme]["name"] = cookie
    if _SESSION in schemes:
        schemes[_BEARER] = dict(_BEARER_SCHEME)
    for operation in _operations(document):
        if "security" in operation:
            operation["security"] = _with_bearer(operation["security"])


def _with_bearer(alternatives: _Alternatives) -> _Alternatives:
    """Add bearer to the alternatives of one route, and ``{}`` if the session is optional."""
    required = [each for each in alternatives if _OPTIONAL_SESSION not in each]
    if alternatives and not required:
        return [{_SESSION: []}, {_BEARER: []}, {}]
    if any(_BEARER in each for each in required):  # this document was completed before
        return required
    return required + [{_BEARER: each[_SESSION]} for each in required if _SESSION in each]


def _operations(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        operation
        for path in document.get("paths", {}).values()
        for operation in path.values()
        if isinstance(operation, dict)
    ]
