"""The metadata of an API as a protected resource (RFC 9728): where clients get tokens for it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from ...settings import DescopeSettings
from ..public_endpoints import public
from ..scopes import Scope

__all__ = ["ProtectedResource"]

_HEADERS: Mapping[str, str] = {"Access-Control-Allow-Origin": "*", "Cache-Control": "public, max-age=300"}
"""Clients in browsers read the metadata from their own origin. It contains no secret."""


class ProtectedResource:
    """The metadata document, and its route.

    Args:
        resource: The identifier of the resource, an https URL.
        settings: The settings, which name the authorization server.
        scopes: The scopes of the app, by name.
    """

    # CL-07

    def __init__(self, resource: str, settings: DescopeSettings, scopes: Mapping[str, Scope]) -> None:
        self.path = settings.resource_metadata_path
        self._document: Mapping[str, Any] = {
            "resource": resource,
            "authorization_servers": [settings.authorization_server],
            "scopes_supported": sorted(scopes),
            "bearer_methods_supported": ["header"],
        }

    @public
    async def metadata(self) -> JSONResponse:
        """Return the metadata of this API as a protected resource (RFC 9728)."""
        return JSONResponse(self._document, headers=_HEADERS)

    def router(self) -> APIRouter:
        """Return a router with the route. It has a fixed path: no prefix may precede it."""
        router = APIRouter(tags=["Sign-in"])
        router.add_api_route(
            self.path,
            self.metadata,
            name="descope_resource_metadata",
            status_code=HTTPStatus.OK,
            response_model=dict[str, Any],
        )
        return router
