"""The JSON API, for a mobile app or a front end. It uses the same session as the pages."""

from http import HTTPStatus
from typing import cast

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from fastapi_descope import CurrentTenant, CurrentUser, Descope

__all__ = ["router"]

router = APIRouter()


class Me(BaseModel):
    user: str
    tenant: str
    roles: tuple[str, ...]


@router.get("/api/me", tags=["Fieldnotes"])
async def me(user: CurrentUser, tenant: CurrentTenant) -> Me:
    """The current user, and the current organisation with the user's roles in it."""
    return Me(user=user.id, tenant=tenant.id, roles=tenant.roles)


@router.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    """Respond to health checks. No dependency needs the session, so it is never read."""
    return {"status": "ok"}


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request, response: Response) -> dict[str, str]:
    """Respond to readiness checks: 503 until the keys that verify sessions are loaded."""
    descope = cast("Descope", request.app.state.descope)
    if descope.ready():
        return {"status": "ready"}
    response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    response.headers["Retry-After"] = "1"
    return {"status": "waiting for keys"}
