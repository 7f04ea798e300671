"""Apps whose OpenAPI document is completed, and what it says about errors."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from fastapi_descope import Descope, DescopeSettings
from tests.helpers.app_harness import APP

__all__ = ["bare_app", "new_descope", "nothing", "problems"]

_PROBLEM = {"$ref": "#/components/schemas/Problem"}


async def nothing() -> None:
    """An endpoint."""


def bare_app(descope: Descope | None = None) -> FastAPI:
    """Return an app without the plugin's routes whose document is completed."""
    app = FastAPI()
    (descope or new_descope()).add_openapi_security(app)
    return app


def new_descope() -> Descope:
    """Return a plugin that is not installed."""
    return Descope(settings=DescopeSettings(project_id="P" + "a" * 27, public_url=APP))


def problems(operation: Mapping[str, Any]) -> list[str]:
    """Return the statuses that are documented with the problem schema, and with an example of their own."""
    contents = {
        status: response["content"]["application/problem+json"]
        for status, response in operation["responses"].items()
        if "application/problem+json" in response.get("content", {})
    }
    return sorted(
        status
        for status, content in contents.items()
        if content["schema"] == _PROBLEM and str(content["example"]["status"]) == status
    )
