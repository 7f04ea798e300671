"""The management endpoints that start and stop an impersonation."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..auth_server import AuthServer
from ..impersonation import Impersonations, SessionRequest
from .authentication import require_management_key
from .request_parsing import bool_field, json_object, object_field, seconds_field, string_field

__all__ = ["ImpersonationApi"]


class ImpersonationApi:
    """The endpoints of wire contract section 2.19. They need the management key."""

    def __init__(self, auth_server: AuthServer, impersonations: Impersonations) -> None:
        self._auth_server = auth_server
        self._impersonations = impersonations

    @property
    def routes(self) -> list[Route]:
        """The routes, whose names are those of the endpoints for faults and the journal."""
        return [
            Route("/v1/mgmt/impersonate", self.impersonate, methods=["POST"], name="impersonate"),
            Route("/v1/mgmt/stop/impersonation", self.stop, methods=["POST"], name="stop_impersonation"),
        ]

    async def impersonate(self, request: Request) -> Response:
        """Return a refresh JWT of a user for an impersonator. ``sessionCookieName`` has no effect."""
        require_management_key(request, self._auth_server.project)
        body = await json_object(request)
        token = self._impersonations.start(
            string_field(body, "impersonatorId"),
            string_field(body, "loginId"),
            _wanted(body),
            validate_consent=bool_field(body, "validateConsent"),
        )
        return JSONResponse({"jwt": token})

    async def stop(self, request: Request) -> Response:
        """Return a refresh JWT of the impersonator for the refresh JWT ``jwt`` of an impersonated session."""
        require_management_key(request, self._auth_server.project)
        body = await json_object(request)
        return JSONResponse({"jwt": self._impersonations.stop(string_field(body, "jwt"), _wanted(body))})


def _wanted(body: dict[str, object]) -> SessionRequest:
    return SessionRequest(
        string_field(body, "selectedTenant") if body.get("selectedTenant") else None,
        object_field(body, "customClaims"),
        seconds_field(body, "refreshDuration"),
    )
