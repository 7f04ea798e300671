"""How an app's OpenAPI document says that a route wants a session: by cookie, or by bearer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI

from .security_schemes import OPTIONAL_SESSION, REFRESH, SESSION

__all__ = ["describe_security"]

_BEARER = "DescopeBearer"
_BEARER_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A Descope session token.",
}

_Alternatives = Sequence[Mapping[str, Sequence[str]]]
"""What OpenAPI calls security: one of these schemes is enough; ``{}`` is none at all."""


def describe_security(app: FastAPI, *, session_cookie: str, refresh_cookie: str) -> None:
    """Name the cookies as they are configured, and add the bearer form beside the session's.

    FastAPI collects one scheme per dependency, and ours serve both; so the document is completed after
    FastAPI has made it. Costs nothing per request.
    """
    generate: Callable[[], dict[str, Any]] = app.openapi
    completed: dict[str, Any] | None = None

    def openapi() -> dict[str, Any]:
        nonlocal completed
        document = generate()
        if document is not completed:  # FastAPI keeps it, and makes another when routes were added
            _complete(document, {SESSION: session_cookie, REFRESH: refresh_cookie})
            completed = document
        return document

    app.openapi = openapi  # type: ignore[method-assign] # the way FastAPI documents to extend OpenAPI


def _complete(document: dict[str, Any], cookies: Mapping[str, str]) -> None:
    schemes = document.get("components", {}).get("securitySchemes", {})
    optional = schemes.pop(OPTIONAL_SESSION, None)
    if optional is not None:
        schemes.setdefault(SESSION, optional)
    for scheme, cookie in cookies.items():
        if scheme in schemes:
            schemes[scheme]["name"] = cookie
    if SESSION in schemes:
        schemes[_BEARER] = dict(_BEARER_SCHEME)
    for operation in _operations(document):
        if "security" in operation:
            operation["security"] = _completed(operation["security"])


def _completed(security: _Alternatives) -> _Alternatives:
    """The alternatives of one route: bearer beside cookie, and neither where the session is optional."""
    wanted = [each for each in security if OPTIONAL_SESSION not in each]
    if security and not wanted:
        return [{SESSION: []}, {_BEARER: []}, {}]
    if any(_BEARER in each for each in wanted):  # this app was described before
        return wanted
    return wanted + [{_BEARER: each[SESSION]} for each in wanted if SESSION in each]


def _operations(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        operation
        for path in document.get("paths", {}).values()
        for operation in path.values()
        if isinstance(operation, dict)
    ]
