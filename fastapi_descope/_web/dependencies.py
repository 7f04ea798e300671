"""What endpoints ask for: the user, the tenant, the session, and what they must be allowed to do.

    @app.get("/reports")
    async def reports(user: CurrentUser, tenant: CurrentTenant): ...

    @app.delete("/reports/{id}", dependencies=[Depends(require_roles("admin"))])
    async def delete(id: str): ...

Every dependency is one object for the life of the process, also those from a factory that is called
twice with the same arguments, so ``app.dependency_overrides`` finds it. All work on WebSockets too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Generic, TypeVar

from fastapi import Depends
from starlette.requests import HTTPConnection

from ..errors import (
    ConfigurationError,
    MissingPermissions,
    MissingRoles,
    NoTenant,
    StepUpRequired,
    TenantMismatch,
    UpstreamUnavailable,
)
from ..session import AuthSession, Tenant, User, UserProfile
from .openapi import OptionalSessionScheme, SessionScheme
from .parameter_guard import dependency_factory
from .request_auth import request_auth

__all__ = [
    "CurrentSession",
    "CurrentTenant",
    "CurrentUser",
    "OptionalSession",
    "OptionalTenant",
    "OptionalUser",
    "Requirement",
    "current_session",
    "current_tenant",
    "current_user",
    "get_auth_session",
    "get_user_profile",
    "optional_session",
    "optional_tenant",
    "optional_user",
    "require_mfa",
    "require_permissions",
    "require_roles",
    "require_step_up",
    "require_tenant",
]

T = TypeVar("T")


async def get_auth_session(connection: HTTPConnection) -> AuthSession | None:
    """The session of a request or WebSocket, where no dependency fits; None if nobody is signed in.

    Raises ``CrossSiteRequest`` and ``UpstreamUnavailable``, which the middleware answers. Costs two
    look-ups for a session known to the process, and a call to Descope only for one that has expired.
    """
    return await request_auth(connection.scope).session()


async def get_user_profile(connection: HTTPConnection) -> UserProfile:
    """Descope's user object: name, e-mail, login ids and attributes, whatever is in the token.

    In an ``on_login`` hook it is that of the user who signs in, which came along with the tokens; anywhere
    else that of the session, asked of Descope anew: one call, and none for a bearer (``BadRequest``).
    Raises as ``current_session`` does, ``SessionEnded`` if Descope ended the session meanwhile, and the
    ``UpstreamError`` family.
    """
    return await request_auth(connection.scope).profile()


class _Required(SessionScheme, Generic[T]):
    """Something of the session; the ``NotAuthenticated`` family without one.

    The dependencies below are the security scheme themselves, rather than depending on it, because each
    further dependency of a route costs more than finding the session does.
    """

    def __init__(self, selector: Callable[[AuthSession], T]) -> None:
        self._selector = selector

    async def __call__(self, connection: HTTPConnection) -> T:
        return self._selector(await request_auth(connection.scope).require())


class _Optional(OptionalSessionScheme, Generic[T]):
    """Something of the session; None without one.

    Before every route of an app it stands before the login and the logout too, which work while Descope is
    away (LO-01). There, who cannot be known is nobody.
    """

    def __init__(self, selector: Callable[[AuthSession], T | None]) -> None:
        self._selector = selector

    async def __call__(self, connection: HTTPConnection) -> T | None:
        auth = request_auth(connection.scope)
        try:
            session = await auth.session()
        except UpstreamUnavailable:
            if auth.location.is_public_route(auth.scope):
                return None
            raise
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
"""The session. Raises ``NotAuthenticated`` (401), ``UpstreamUnavailable`` (503), ``CrossSiteRequest``."""

optional_session = _Optional(_session)
"""The session, or None if nobody is signed in. Raises ``UpstreamUnavailable``, ``CrossSiteRequest``."""

current_user = _Required(_user)
"""The signed-in user. Raises as ``current_session`` does."""

optional_user = _Optional(_user)
"""The signed-in user, or None. Raises as ``optional_session`` does."""

current_tenant = _Required(_tenant)
"""The tenant that the claim ``dct`` names. Raises as ``current_session`` does, and ``NoTenant`` (403)."""

optional_tenant = _Optional(_tenant_or_none)
"""The current tenant, or None, also if nobody is signed in. Raises as ``optional_session`` does."""

CurrentSession = Annotated[AuthSession, Depends(current_session)]
OptionalSession = Annotated[AuthSession | None, Depends(optional_session)]
CurrentUser = Annotated[User, Depends(current_user)]
OptionalUser = Annotated[User | None, Depends(optional_user)]
CurrentTenant = Annotated[Tenant, Depends(current_tenant)]
OptionalTenant = Annotated[Tenant | None, Depends(optional_tenant)]


@dataclass(frozen=True, eq=False)
class Requirement(SessionScheme):
    """What a route demands of a session, readable as data (``fastapi-descope routes`` lists it).

    As a dependency it gives the session that meets the demand. It is equal to itself alone: FastAPI looks
    dependencies up by hash on every request, and ``_same`` sees to it that one demand is one object.
    """

    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()
    project: bool = False
    tenant_from: str | None = None
    mfa: bool = False
    step_up: bool = False
    max_age: int | None = None

    async def __call__(self, connection: HTTPConnection) -> AuthSession:
        """The session; raises the error of the first demand that it does not meet."""
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
        # Compared as it stands, character by character: "Acme", "acme." and "%61cme" are other tenants.
        if _tenant(session).id != connection.path_params[self.tenant_from]:
            raise TenantMismatch

    def _check_grants(self, session: AuthSession) -> None:
        if not (self.roles or self.permissions):
            return
        holder = session.user if self.project else _tenant(session)
        if missing := self.roles.difference(holder.roles):
            raise MissingRoles(tuple(sorted(missing)))
        if missing := self.permissions.difference(holder.permissions):
            raise MissingPermissions(tuple(sorted(missing)))


_interned = cache(Requirement)


@dependency_factory
def require_roles(*roles: str, project: bool = False) -> Requirement:
    """A dependency: the user holds all ``roles`` in the current tenant, or with ``project`` in the project.

    Raises ``MissingRoles`` (403), ``NoTenant`` (403), and as ``current_session`` does. Without any role,
    ``ConfigurationError`` at once: an empty demand would let everybody in (TN-05). So with what is no text.
    """
    return _interned(roles=_validated_names(roles, "require_roles"), project=project)


@dependency_factory
def require_permissions(*permissions: str, project: bool = False) -> Requirement:
    """A dependency: the user holds all ``permissions``, where ``require_roles`` looks for roles.

    Raises ``MissingPermissions`` (403), else as ``require_roles`` does.
    """
    return _interned(permissions=_validated_names(permissions, "require_permissions"), project=project)


@dependency_factory
def require_tenant(path_param: str = "tenant_id") -> Requirement:
    """A dependency: the path parameter ``path_param`` is the current tenant's id, exactly (TN-03).

    Raises ``TenantMismatch`` (403), ``NoTenant`` (403), and as ``current_session`` does; and
    ``ConfigurationError`` if the route has no such parameter.
    """
    return _interned(tenant_from=path_param)


@dependency_factory
def require_step_up(*, max_age: int | None = None) -> Requirement:
    """A dependency: the user has confirmed who they are for this session (claim ``su``).

    ``max_age`` (seconds): and the session is no older. Raises ``StepUpRequired`` (401, RFC 9470), which
    for a page becomes a trip through Descope and back; else as ``current_session`` does.
    """
    return _interned(step_up=True, max_age=max_age)


@dependency_factory
def require_mfa() -> Requirement:
    """A dependency: a second factor was part of the sign-in (``amr``). Raises as ``require_step_up``."""
    return _interned(mfa=True)


def _validated_names(names: Sequence[object], factory: str) -> frozenset[str]:
    texts = [name for name in names if isinstance(name, str)]
    if len(texts) != len(names):  # an Enum's member, say, or a list: nobody holds a role that is no text
        raise ConfigurationError(
            f"{factory}() takes names as texts, one by one: a member of an Enum by its value"
        )
    if not names or not all(names):
        raise ConfigurationError(f"{factory}() needs at least one name, and none of them empty")
    return frozenset(texts)
