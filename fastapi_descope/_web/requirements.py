"""Requirements that a session has to meet: roles, a tenant in the path, step-up, no impersonation.

    @app.delete("/reports/{id}", dependencies=[Depends(require_roles("admin"))])
    async def delete(id: str): ...

A factory that is called twice with the same arguments returns the same object, as in ``dependencies``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from starlette.requests import HTTPConnection

from ..callers import Caller
from ..errors import (
    ConfigurationError,
    ImpersonationDenied,
    MissingPermissions,
    MissingRoles,
    StepUpRequired,
    TenantMismatch,
)
from ..session import AuthSession
from .auth_scope import request_auth
from .callers import CallerDependency, unimpersonated_caller
from .dependencies import tenant_of
from .openapi import SessionScheme
from .parameter_guard import dependency_factory

__all__ = [
    "Requirement",
    "deny_impersonated",
    "require_any_permission",
    "require_any_role",
    "require_mfa",
    "require_permissions",
    "require_roles",
    "require_step_up",
    "require_tenant",
]


@dataclass(frozen=True, eq=False)
class Requirement(SessionScheme):
    """A dependency that requires something of the session, and returns the session.

    The fields are read by ``fastapi-descope routes``. Create it with ``require_roles`` and the other
    factories.

    Attributes:
        roles: The roles that the user must hold, all of them.
        any_roles: The roles of which the user must hold at least one.
        permissions: The permissions that the user must hold, all of them.
        any_permissions: The permissions of which the user must hold at least one.
        project: Whether roles and permissions are those in the project, and not those in the current tenant.
        tenant_from: The path parameter that must be the id of the current tenant.
        mfa: Whether the login must have included a second factor.
        step_up: Whether the user must have confirmed their identity for this session.
        max_age: With ``step_up``, the maximal age of the session in seconds.
        not_impersonated: Whether the user must act, and not another person as the user.
    """

    # Compared by identity: FastAPI looks dependencies up by hash on every request. The factories intern.

    roles: frozenset[str] = frozenset()
    any_roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    any_permissions: frozenset[str] = frozenset()
    project: bool = False
    tenant_from: str | None = None
    mfa: bool = False
    step_up: bool = False
    max_age: int | None = None
    not_impersonated: bool = False

    async def __call__(self, connection: HTTPConnection) -> AuthSession:
        """Return the session if it meets the requirement.

        Raises:
            NotAuthenticated: The request is unauthenticated.
            ImpersonationDenied: Another person acts as the user.
            StepUpRequired: The login included no second factor, or no recent step-up.
            NoTenant: The session has no current tenant.
            TenantMismatch: The path names another tenant.
            MissingRoles: The user lacks a role, or holds none of several.
            MissingPermissions: The user lacks a permission, or holds none of several.
            Forbidden: An ``on_session`` hook refuses the session.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The session has expired and Descope is unreachable.
            SessionCheckFailed: An ``on_session`` hook failed.
            ConfigurationError: The route has no such path parameter.
        """
        auth = request_auth(connection.scope)
        session = auth.known_session() or await auth.require()
        if self.not_impersonated and session.actor is not None:
            raise ImpersonationDenied
        if self.mfa or self.step_up:
            self._check_strength(session, auth.now())
        if self.tenant_from is not None:
            self._check_tenant(session, connection, self.tenant_from)
        self._check_grants(session)
        return session

    def _check_strength(self, session: AuthSession, now: float) -> None:
        if self.mfa and not session.used_mfa:
            raise StepUpRequired(acr="mfa")
        too_old = self.max_age is not None and now - session.issued_at > self.max_age
        if self.step_up and (too_old or not session.step_up):
            raise StepUpRequired(max_age=self.max_age)

    def _check_tenant(self, session: AuthSession, connection: HTTPConnection, name: str) -> None:
        if name not in connection.path_params:
            raise ConfigurationError(f"require_tenant: the route has no path parameter {name!r}")
        # Compared character by character (TN-03): "Acme", "acme." and "%61cme" are other tenants.
        if tenant_of(session).id != connection.path_params[name]:
            raise TenantMismatch

    def _check_grants(self, session: AuthSession) -> None:
        if not (self.roles or self.any_roles or self.permissions or self.any_permissions):
            return
        holder = session.user if self.project else tenant_of(session)
        if missing := self.roles.difference(holder.roles):
            raise MissingRoles(tuple(sorted(missing)))
        if self.any_roles and self.any_roles.isdisjoint(holder.roles):
            raise MissingRoles(tuple(sorted(self.any_roles)), any_of=True)
        if missing := self.permissions.difference(holder.permissions):
            raise MissingPermissions(tuple(sorted(missing)))
        if self.any_permissions and self.any_permissions.isdisjoint(holder.permissions):
            raise MissingPermissions(tuple(sorted(self.any_permissions)), any_of=True)


_interned = cache(Requirement)


@dependency_factory
def require_roles(*roles: str, project: bool = False) -> Requirement:
    """Return a dependency that requires roles, in the current tenant or in the project.

    As a dependency it raises ``MissingRoles`` (403), ``NoTenant`` (403), and what ``current_session`` raises.

    Args:
        *roles: The roles that the user must hold, all of them.
        project: Require them in the project and not in the current tenant.

    Raises:
        ConfigurationError: There is no role, or one is empty or not a string.
    """
    return _interned(roles=_validated_names(roles, "require_roles"), project=project)


@dependency_factory
def require_any_role(*roles: str, project: bool = False) -> Requirement:
    """Return a dependency that requires one of several roles, in the current tenant or in the project.

    As a dependency it raises ``MissingRoles`` (403) with all of them, ``NoTenant`` (403), and what
    ``current_session`` raises.

    Args:
        *roles: The roles of which the user must hold at least one.
        project: Require it in the project and not in the current tenant.

    Raises:
        ConfigurationError: There is no role, or one is empty or not a string.
    """
    return _interned(any_roles=_validated_names(roles, "require_any_role"), project=project)


@dependency_factory
def require_permissions(*permissions: str, project: bool = False) -> Requirement:
    """Return a dependency that requires permissions, in the current tenant or in the project.

    As a dependency it raises ``MissingPermissions`` (403), ``NoTenant`` (403), and what ``current_session``
    raises.

    Args:
        *permissions: The permissions that the user must hold, all of them.
        project: Require them in the project and not in the current tenant.

    Raises:
        ConfigurationError: There is no permission, or one is empty or not a string.
    """
    return _interned(permissions=_validated_names(permissions, "require_permissions"), project=project)


@dependency_factory
def require_any_permission(*permissions: str, project: bool = False) -> Requirement:
    """Return a dependency that requires one of several permissions, in the current tenant or in the project.

    As a dependency it raises ``MissingPermissions`` (403) with all of them, ``NoTenant`` (403), and what
    ``current_session`` raises.

    Args:
        *permissions: The permissions of which the user must hold at least one.
        project: Require it in the project and not in the current tenant.

    Raises:
        ConfigurationError: There is no permission, or one is empty or not a string.
    """
    names = _validated_names(permissions, "require_any_permission")
    return _interned(any_permissions=names, project=project)


@dependency_factory
def require_tenant(path_param: str = "tenant_id") -> Requirement:
    """Return a dependency that requires a path parameter to be exactly the id of the current tenant.

    As a dependency it raises ``TenantMismatch`` (403), ``NoTenant`` (403), what ``current_session`` raises,
    and ``ConfigurationError`` if the route has no such parameter.

    Args:
        path_param: The name of the path parameter.
    """
    return _interned(tenant_from=path_param)


@dependency_factory
def require_step_up(*, max_age: int | None = None) -> Requirement:
    """Return a dependency that requires that the user has confirmed their identity (claim ``su``).

    As a dependency it raises ``StepUpRequired`` (401, RFC 9470), and what ``current_session`` raises. A
    browser is redirected to Descope for the confirmation and then back.

    Args:
        max_age: The maximal age of the session in seconds.
    """
    return _interned(step_up=True, max_age=max_age)


@dependency_factory
def require_mfa() -> Requirement:
    """Return a dependency that requires a login with a second factor (claim ``amr``).

    As a dependency it raises ``StepUpRequired`` (401), and what ``current_session`` raises.
    """
    return _interned(mfa=True)


@dependency_factory
def deny_impersonated(*, any_caller: bool = False) -> Requirement | CallerDependency[Caller]:
    """Return a dependency that refuses sessions in which another person acts as the user (claim ``act``).

    As a dependency it raises ``ImpersonationDenied`` (403), and what ``current_session`` raises.

    Args:
        any_caller: Accept applications and machines too, as ``current_caller`` does, if their tokens name no
            actor. Without, a route with this dependency is for users only.
    """
    return unimpersonated_caller if any_caller else _interned(not_impersonated=True)


def _validated_names(names: Sequence[object], factory: str) -> frozenset[str]:
    # No user holds a role that is not a string, and an empty requirement would admit every user (TN-05).
    strings = [name for name in names if isinstance(name, str)]
    if len(strings) != len(names):
        raise ConfigurationError(
            f"{factory}() takes names as separate str arguments; for an Enum, pass member.value"
        )
    if not names or not all(names):
        raise ConfigurationError(f"{factory}() needs at least one name, and none of them empty")
    return frozenset(strings)
