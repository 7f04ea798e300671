"""The JSON API, for a mobile app or a front end. It uses the same session as the pages."""

from fastapi import APIRouter
from pydantic import BaseModel

from fastapi_descope import CurrentTenant, CurrentUser

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
