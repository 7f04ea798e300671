"""Dependencies: the user, the tenant and the session of a request, and requirements that it has to meet.

    @app.get("/reports")
    async def reports(user: CurrentUser, tenant: CurrentTenant): ...

    @app.delete("/reports/{id}", dependencies=[Depends(require_roles("admin"))])
    async def delete(id: str): ...

A factory that is called twice with the same arguments returns the same object, so
``app.dependency_overrides`` works for all dependencies. All of them work for WebSockets too.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from ..errors import (
    ClaimsInvalid,
    ConfigurationError,
    MissingPermissions,
    MissingRoles,
    NoTenant,
    StepUpRequired,
    TenantMismatch,
)
from ..events import ClaimsRejected
from ..login import Login
from ..profile import UserProfile
from ..session import AuthSession, Tenant, User
from .openapi import OptionalSessionScheme, SessionScheme
from .parameter_guard import dependency_factory
from .request_auth import request_auth

__all__ = [
    "ClaimsDependency",
    "CurrentSession",
    "CurrentTenant",
    "CurrentUser",
    "OptionalSession",
    "OptionalTenant",
    "OptionalUser",
    "Requirement",
    "current_claims",
    "current_session",
    "current_tenant",
    "current_user",
    "get_auth_session",
    "get_login",
    "get_user_profile",
    "optional_session",
    "optional_tenant",
    "optional_user",
    "require_any_permission",
    "require_any_role",
    "require_mfa",
    "require_permissions",
    "require_roles",
    "require_step_up",
    "require_tenant",
]

M = TypeVar("M")
T = TypeVar("T")


async def get_auth_session(connection: HTTPConnection) -> AuthSession | None:
    """Return the session of a request or WebSocket, or None if it is unauthenticated.

    For code that is not a route, such as middleware and hooks. A known token costs two cache look-ups. Only
    an expired session costs a call to Descope. On the plugin's login, callback and logout it returns None
    instead of raising ``Forbidden``, ``SessionCheckFailed`` or ``UpstreamUnavailable``.

    Raises:
        Forbidden: An ``on_session`` hook refuses the session.
        SessionCheckFailed: An ``on_session`` hook failed.
        CrossSiteRequest: The cookies came with a request of another site.
        UpstreamUnavailable: The session has expired and Descope is unreachable, or no keys could be fetched.
        ConfigurationError: The middleware is not installed.
    """
    return await request_auth(connection.scope).session()


def get_login(connection: HTTPConnection) -> Login | None:
    """Return the login whose ``on_login`` or ``on_tenant_switch`` hooks are running, or None in other code.

    For code that a hook calls with the request, such as services that handlers use, too. No call to Descope.

    Raises:
        ConfigurationError: The middleware is not installed.
    """
    return request_auth(connection.scope).login


async def get_user_profile(connection: HTTPConnection) -> UserProfile:
    """Return Descope's current user object: name, e-mail, login ids and attributes.

    One call to Descope. In an ``on_login`` or ``on_tenant_switch`` hook, return the user object that came
    with the tokens, usually without a call.

    Raises:
        NotAuthenticated: The request is unauthenticated.
        Forbidden: An ``on_session`` hook refuses the session.
        SessionCheckFailed: An ``on_session`` hook failed.
        SessionEnded: Descope has ended the session.
        BadRequest: The request has a bearer token; Descope returns profiles for refresh tokens only.
        CrossSiteRequest: The cookies came with a request of another site.
        UpstreamError: The call failed.
        ConfigurationError: The middleware is not installed.
    """
    return await request_auth(connection.scope).profile()


class _Required(SessionScheme, Generic[T]):
    """A dependency that returns a part of the session, or raises ``NotAuthenticated`` without one.

    It is the security scheme itself and does not depend on it: another dependency of a route would cost more
    than a cached session does.
    """

    def __init__(self, selector: Callable[[AuthSession], T]) -> None:
        self._selector = selector

    async def __call__(self, connection: HTTPConnection) -> T:
        return self._selector(await request_auth(connection.scope).require())


class _Optional(OptionalSessionScheme, Generic[T]):
    """A dependency that returns a part of the session, or None without one.

    As a dependency of a whole app it runs before the login and logout routes too, which must work if Descope
    is unreachable or the session is refused (LO-01). On those it then returns None.
    """

    def __init__(self, selector: Callable[[AuthSession], T | None]) -> None:
        self._selector = selector

    async def __call__(self, connection: HTTPConnection) -> T | None:
        session = await request_auth(connection.scope).session()
        return None if session is None else self._selector(session)


def _session(session: AuthSession) -> AuthSession:
    return session


def _user(session: AuthSession) -> User:
    return session.user


def _tenant(session: AuthSession) -> Tenant:
    if session.tenant is None:
        raise NoTenant
    return session.tenant


def _tenant_or_none(session: AuthSession) -> Tenant | None:
    return session.tenant


current_session = _Required(_session)
"""Returns the session. Raises ``NotAuthenticated`` (401), ``UpstreamUnavailable`` (503), ``CrossSiteRequest``
(403), and if an ``on_session`` hook refuses the session or fails, ``Forbidden`` (403) or
``SessionCheckFailed`` (503).
"""

optional_session = _Optional(_session)
"""Returns the session, or None if the request is unauthenticated. Raises ``UpstreamUnavailable`` (503),
``CrossSiteRequest`` (403), and if an ``on_session`` hook refuses the session or fails, ``Forbidden`` (403) or
``SessionCheckFailed`` (503).
"""

current_user = _Required(_user)
"""Returns the user of the session. Raises what ``current_session`` raises."""

optional_user = _Optional(_user)
"""Returns the user of the session, or None. Raises what ``optional_session`` raises."""

current_tenant = _Required(_tenant)
"""Returns the current tenant, which the claim ``dct`` names. Raises ``NoTenant`` (403), and what
``current_session`` raises.
"""

optional_tenant = _Optional(_tenant_or_none)
"""Returns the current tenant, or None if there is none or the request is unauthenticated. Raises what
``optional_session`` raises.
"""

CurrentSession = Annotated[AuthSession, Depends(current_session)]
"""Annotation of a parameter: the session. An unauthenticated request gets a 401, or is sent to the login."""

OptionalSession = Annotated[AuthSession | None, Depends(optional_session)]
"""Annotation of a parameter: the session, or None if the request is unauthenticated."""

CurrentUser = Annotated[User, Depends(current_user)]
"""Annotation of a parameter: the user. An unauthenticated request gets a 401, or is sent to the login."""

OptionalUser = Annotated[User | None, Depends(optional_user)]
"""Annotation of a parameter: the user, or None if the request is unauthenticated."""

CurrentTenant = Annotated[Tenant, Depends(current_tenant)]
"""Annotation of a parameter: the current tenant. A session without one gets a 403."""

OptionalTenant = Annotated[Tenant | None, Depends(optional_tenant)]
"""Annotation of a parameter: the current tenant, or None."""


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

    async def __call__(self, connection: HTTPConnection) -> AuthSession:
        """Return the session if it meets the requirement.

        Raises:
            NotAuthenticated: The request is unauthenticated.
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
        session = await auth.require()
        self._check_strength(session, auth.now())
        self._check_tenant(session, connection)
        self._check_grants(session)
        return session

    def _check_strength(self, session: AuthSession, now: float) -> None:
        if self.mfa and not session.used_mfa:
            raise StepUpRequired(acr="mfa")
        too_old = self.max_age is not None and now - session.issued_at > self.max_age
        if self.step_up and (too_old or not session.step_up):
            raise StepUpRequired(max_age=self.max_age)

    def _check_tenant(self, session: AuthSession, connection: HTTPConnection) -> None:
        if self.tenant_from is None:
            return
        if self.tenant_from not in connection.path_params:
            raise ConfigurationError(f"require_tenant: the route has no path parameter {self.tenant_from!r}")
        # Compared character by character (TN-03): "Acme", "acme." and "%61cme" are other tenants.
        if _tenant(session).id != connection.path_params[self.tenant_from]:
            raise TenantMismatch

    def _check_grants(self, session: AuthSession) -> None:
        if not (self.roles or self.any_roles or self.permissions or self.any_permissions):
            return
        holder = session.user if self.project else _tenant(session)
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


class ClaimsDependency(SessionScheme, Generic[M]):
    """A dependency that returns the claims of the session as an instance of ``claims_model``.

    Create it with ``current_claims``.
    """

    def __init__(self, claims_model: type[M]) -> None:
        self.claims_model = claims_model  # FastAPI reads the OpenAPI scheme from the attribute "model"

    @property
    def model_name(self) -> str:
        """The name of the model, as the route table shows it."""
        return self.claims_model.__name__

    async def __call__(self, connection: HTTPConnection) -> M:
        """Return the claims.

        Raises:
            NotAuthenticated: The request is unauthenticated.
            ClaimsInvalid: The claims do not fit the model.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The session has expired and Descope is unreachable.
        """
        auth = request_auth(connection.scope)
        session = await auth.require()
        try:
            return session.claims_as(self.claims_model)
        except ClaimsInvalid as error:
            auth.factory.events.emit(ClaimsRejected(error.model, error.fields))
            raise


_interned_claims = cache(ClaimsDependency[Any])


@dependency_factory
def current_claims(model: type[M]) -> ClaimsDependency[M]:
    """Return a dependency that returns the claims of the session as an instance of a model.

        AppClaims = Annotated[ClaimsModel, Depends(current_claims(ClaimsModel))]

    As a dependency it raises ``ClaimsInvalid`` (403), and what ``current_session`` raises. It costs what
    ``AuthSession.claims_as`` costs.

    Args:
        model: A Pydantic model, a dataclass or a ``TypedDict``.
    """
    return _interned_claims(cast("Hashable", model))


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
