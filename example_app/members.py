"""The members of an organisation and their roles, for its admins, through Descope's management API.

The management key reaches every tenant of the project. So the tenant is always that of the verified session,
the roles are those of this list, and a member is looked up in that tenant before anything is changed.
"""

# The SDK is typed with bare dicts.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, cast
from urllib.parse import urlencode

import httpx
from descope import AssociatedTenant, AuthException, DescopeClientAsync, RateLimitException
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import Response
from pydantic import StringConstraints

from fastapi_descope import (
    CurrentTenant,
    CurrentUser,
    UpstreamUnavailable,
    deny_impersonated,
    require_permissions,
)

from .page import CurrentPage, redirect

__all__ = ["MemberDirectory", "router"]


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Close the connections to the management API when the app stops."""
    yield
    if app.state.member_directory is not None:
        await app.state.member_directory.aclose()


router = APIRouter(
    include_in_schema=False,
    dependencies=[Depends(require_permissions("users.manage"))],
    lifespan=_lifespan,
)

# Support staff who act as an admin could let themselves in for good.
NOT_IMPERSONATED = Depends(deny_impersonated())

Email = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^\s@]+@[^\s@]+$", max_length=254)]


class Role(StrEnum):
    """The roles that an admin may give: never one that reaches other organisations."""

    ADMIN = "admin"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True)
class Member:
    user_id: str
    login_ids: tuple[str, ...]
    name: str
    status: str
    roles: tuple[str, ...]


@contextmanager
def _outages() -> Generator[None]:
    """Turn an outage into the error for which the plugin shows a page. Other errors pass."""
    try:
        yield
    except (httpx.TransportError, RateLimitException) as error:
        raise UpstreamUnavailable from error
    except AuthException as error:
        if (error.status_code or 0) < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise
        raise UpstreamUnavailable from error


class MemberDirectory:
    """The members of organisations. Each method costs one call to Descope.

    Raises:
        UpstreamUnavailable: Descope is down or asks to wait.
        AuthException: Descope refuses the call.
    """

    def __init__(self, project_id: str, management_key: str, base_url: str) -> None:
        self._client = DescopeClientAsync(project_id, management_key=management_key, base_url=base_url)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def members(self, tenant_id: str) -> list[Member]:
        with _outages():
            found = await self._client.mgmt.user.search_all(tenant_ids=[tenant_id], limit=100)
        members = [_member(user, tenant_id) for user in found["users"]]
        return sorted(members, key=lambda member: member.name.casefold())

    async def invite(self, tenant_id: str, email: str, role: Role) -> None:
        """Invite someone who is no member. A user of the project joins at once, with up to three calls.

        Such a user has signed in by a social account or a link, or is a member of another organisation.
        """
        membership, user = AssociatedTenant(tenant_id, role_names=[role.value]), self._client.mgmt.user
        with _outages():
            try:
                await user.invite(email, email=email, user_tenants=[membership])
            except AuthException as error:
                if error.status_code != HTTPStatus.BAD_REQUEST:
                    raise
                await user.add_tenant(email, tenant_id)
                await user.set_tenant_roles(email, tenant_id, [role.value])

    async def set_role(self, tenant_id: str, member: Member, role: Role) -> None:
        with _outages():
            await self._client.mgmt.user.set_tenant_roles(member.login_ids[0], tenant_id, [role.value])

    async def remove(self, tenant_id: str, member: Member) -> None:
        """Remove a member from the organisation. The user stays in the project."""
        with _outages():
            await self._client.mgmt.user.remove_tenant(member.login_ids[0], tenant_id)


def _member(user: dict[str, Any], tenant_id: str) -> Member:
    roles = next(each["roleNames"] for each in user["userTenants"] if each["tenantId"] == tenant_id)
    name = user["name"] or user["loginIds"][0]
    return Member(user["userId"], tuple(user["loginIds"]), name, user["status"], tuple(roles or ()))


def _directory(request: Request) -> MemberDirectory | None:
    return cast("MemberDirectory | None", request.app.state.member_directory)


def _required_directory(request: Request) -> MemberDirectory:
    directory = _directory(request)
    if directory is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return directory


Directory = Annotated[MemberDirectory, Depends(_required_directory)]


async def _colleague(user_id: str, directory: Directory, tenant: CurrentTenant, user: CurrentUser) -> Member:
    """Return another member of the current organisation. Admins do not lock themselves out."""
    if user_id == user.id:
        raise HTTPException(HTTPStatus.CONFLICT)
    members = {member.user_id: member for member in await directory.members(tenant.id)}
    if user_id not in members:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return members[user_id]


@router.get("/members")
async def members(page: CurrentPage, tenant: CurrentTenant, changed: str = "") -> Response:
    """The members. Without a management key the page explains how to get one.

    ``changed`` is the user id of the member whose role has just been changed.
    """
    return await _page(page, tenant.id, changed=changed)


@router.post("/members", dependencies=[NOT_IMPERSONATED])
async def invite(
    page: CurrentPage,
    directory: Directory,
    tenant: CurrentTenant,
    email: Annotated[Email, Form()],
    role: Annotated[Role, Form()],
) -> Response:
    """Invite someone. The role of a member is not changed by an invitation, least of all one's own."""
    known = {
        login_id.casefold() for member in await directory.members(tenant.id) for login_id in member.login_ids
    }
    if email.casefold() in known:
        return await _page(page, tenant.id, refused=email, status=HTTPStatus.BAD_REQUEST)
    await directory.invite(tenant.id, email, role)
    return redirect(page.request, "/members")


@router.post("/members/{user_id}/role", dependencies=[NOT_IMPERSONATED])
async def set_role(
    request: Request,
    directory: Directory,
    member: Annotated[Member, Depends(_colleague)],
    tenant: CurrentTenant,
    role: Annotated[Role, Form()],
) -> Response:
    """Change the role of a member. The member's session has it after its next refresh."""
    await directory.set_role(tenant.id, member, role)
    return redirect(request, f"/members?{urlencode({'changed': member.user_id})}")


@router.post("/members/{user_id}/remove", dependencies=[NOT_IMPERSONATED])
async def remove(
    request: Request,
    directory: Directory,
    member: Annotated[Member, Depends(_colleague)],
    tenant: CurrentTenant,
) -> Response:
    """Remove a member from the organisation."""
    await directory.remove(tenant.id, member)
    return redirect(request, "/members")


async def _page(
    page: CurrentPage, tenant_id: str, *, changed: str = "", refused: str = "", status: int = HTTPStatus.OK
) -> Response:
    directory = _directory(page.request)
    found = None if directory is None else await directory.members(tenant_id)
    values = {"members": found, "roles": Role, "changed": changed, "refused": refused}
    return page.render("members.html", status=status, **values)
