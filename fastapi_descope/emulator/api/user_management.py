"""The management endpoints with which the admin of a tenant invites, changes and removes its members."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..api_errors import ApiError
from ..auth_server import AuthServer
from ..directory import Grants, SeedUser
from ..project import Project
from .authentication import require_management_key
from .request_parsing import bool_field, json_object, object_list, string_field, string_list
from .responses import user_json

__all__ = ["UserManagementApi"]


class UserManagementApi:
    """The endpoints of wire contract section 2.20. They need the management key, which reaches every tenant.

    The project has no list of roles: a role exists if a user has it, with the permissions of the first user
    who has no other role in the same tenant.
    """

    def __init__(self, auth_server: AuthServer) -> None:
        self._auth_server = auth_server

    @property
    def routes(self) -> list[Route]:
        """The routes, whose names are those of the endpoints for faults and the journal."""
        return [
            Route("/v2/mgmt/user/search", self.search, methods=["POST"], name="user_search"),
            Route("/v1/mgmt/user/create", self.create, methods=["POST"], name="user_create"),
            Route("/v1/mgmt/user/update/role/set", self.set_roles, methods=["POST"], name="user_set_roles"),
            Route("/v1/mgmt/user/update/tenant/add", self.join, methods=["POST"], name="user_join"),
            Route("/v1/mgmt/user/update/tenant/remove", self.leave, methods=["POST"], name="user_leave"),
        ]

    async def search(self, request: Request) -> Response:
        """Return the members of ``tenantIds``, or all users. Other filters are ignored."""
        project = self._authorized_project(request)
        wanted = set(string_list(await json_object(request), "tenantIds"))
        users = [user for user in project.users if not wanted or wanted & set(user.tenants)]
        return JSONResponse({"users": [user_json(user, project) for user in users], "total": len(users)})

    async def create(self, request: Request) -> Response:
        """Create a user in ``userTenants``, invited if ``invite`` is set. No message is sent."""
        project = self._authorized_project(request)
        body = await json_object(request)
        login_id = string_field(body, "loginId")
        if project.find_user(login_id) is not None:
            raise ApiError.known_user()
        tenants: dict[str, Grants] = {}
        for each in object_list(body, "userTenants"):
            tenant_id = string_field(each, "tenantId")
            tenants[tenant_id] = _grants(project, tenant_id, string_list(each, "roleNames"))
        name = string_field(body, "displayName") if body.get("displayName") else ""
        user = SeedUser(login_id, name, tenants)
        if bool_field(body, "invite"):
            user = replace(user, status="invited")
        self._auth_server.project = replace(project, users=(*project.users, user))
        return self._user(user)

    async def set_roles(self, request: Request) -> Response:
        """Replace the roles of a member of ``tenantId``, or those in the project without it."""
        project = self._authorized_project(request)
        body = await json_object(request)
        user, roles = _user(project, body), string_list(body, "roleNames")
        if not body.get("tenantId"):
            grants = _grants(project, None, roles)
            return self._replace(replace(user, roles=grants.roles, permissions=grants.permissions))
        tenant_id = _membership(user, body)
        return self._replace(
            replace(user, tenants={**user.tenants, tenant_id: _grants(project, tenant_id, roles)})
        )

    async def join(self, request: Request) -> Response:
        """Add a user of the project to ``tenantId``, without roles. A member stays as they are."""
        project = self._authorized_project(request)
        body = await json_object(request)
        user, tenant_id = _user(project, body), string_field(body, "tenantId")
        grants = _grants(project, tenant_id, ())
        return self._replace(replace(user, tenants={tenant_id: grants, **user.tenants}))

    async def leave(self, request: Request) -> Response:
        """Remove a user from ``tenantId``. The user stays in the project."""
        project = self._authorized_project(request)
        body = await json_object(request)
        user = _user(project, body)
        tenant_id = _membership(user, body)
        kept = {each: grants for each, grants in user.tenants.items() if each != tenant_id}
        return self._replace(replace(user, tenants=kept))

    def _authorized_project(self, request: Request) -> Project:
        project = self._auth_server.project
        require_management_key(request, project)
        return project

    def _replace(self, user: SeedUser) -> Response:
        self._auth_server.project = self._auth_server.project.with_user(user)
        return self._user(user)

    def _user(self, user: SeedUser) -> Response:
        return JSONResponse({"user": user_json(user, self._auth_server.project)})


def _user(project: Project, body: dict[str, object]) -> SeedUser:
    user = project.find_user(string_field(body, "loginId"))
    if user is None:
        raise ApiError.unknown_user()
    return user


def _membership(user: SeedUser, body: dict[str, object]) -> str:
    tenant_id = string_field(body, "tenantId")
    if tenant_id not in user.tenants:
        raise ApiError.unacceptable("The user is not a member of the tenant")
    return tenant_id


def _grants(project: Project, tenant_id: str | None, roles: tuple[str, ...]) -> Grants:
    """Return these roles with their permissions. What Descope answers for an unknown one is unknown."""
    if tenant_id is not None and project.tenant_by_id(tenant_id) is None:
        raise ApiError.unacceptable("The tenant does not exist")
    known = _permissions_by_role(project)
    if unknown := [role for role in roles if role not in known]:
        raise ApiError.unacceptable(f"Roles that do not exist: {len(unknown)}")
    permissions = {permission: None for role in roles for permission in known[role]}
    return Grants(roles, tuple(permissions))


def _permissions_by_role(project: Project) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for user in project.users:
        for grants in (Grants(user.roles, user.permissions), *user.tenants.values()):
            alone = grants.permissions if len(grants.roles) == 1 else ()
            for role in grants.roles:
                found[role] = found.get(role) or alone
    return found
