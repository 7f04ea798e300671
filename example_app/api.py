"""The same session for scripts: what a mobile app or a front end would call."""

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
    """Who is calling, and for which organisation."""
    return Me(user=user.id, tenant=tenant.id, roles=tenant.roles)


@router.get("/healthz", include_in_schema=False)
async def healthz() -> dict[str, str]:
    """For load balancers: asks nobody who they are, so no session is looked at."""
    return {"status": "ok"}
