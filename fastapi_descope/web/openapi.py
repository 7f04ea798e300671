"""How an app's OpenAPI document says that a route wants a session: by cookie, or by bearer."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI

from .dependencies import SCHEME_NAME

__all__ = ["describe_security"]

_BEARER = "DescopeBearer"


def describe_security(app: FastAPI, cookie_name: str) -> None:
    """Name the cookie as it is configured, and add the bearer form beside it wherever a session is wanted.

    FastAPI collects one scheme per dependency, and ours serve both; so the document is completed after
    FastAPI has made it. Costs nothing per request.
    """
    generate: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        made_before = app.openapi_schema is not None
        document = generate()
        if not made_before:
            _complete(document, cookie_name)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # the way FastAPI documents to extend OpenAPI


def _complete(document: dict[str, Any], cookie_name: str) -> None:
    schemes = document.get("components", {}).get("securitySchemes", {})
    if SCHEME_NAME not in schemes:
        return
    schemes[SCHEME_NAME]["name"] = cookie_name
    schemes[_BEARER] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A Descope session token.",
    }
    for operation in _operations(document):
        if {SCHEME_NAME: []} in operation.get("security", []):
            operation["security"].append({_BEARER: []})


def _operations(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        operation
        for path in document.get("paths", {}).values()
        for operation in path.values()
        if isinstance(operation, dict)
    ]
