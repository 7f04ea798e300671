"""Dependencies: the user, the tenant, the session and the claims of a request.

    @app.get("/reports")
    async def reports(user: CurrentUser, tenant: CurrentTenant): ...

A factory that is called twice with the same arguments returns the same object, so
``app.dependency_overrides`` works for all dependencies. All of them work for WebSockets too.
"""

from collections.abc import Callable, Hashable
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from ..errors import ClaimsInvalid, NoTenant
from ..events import ClaimsRejected
from ..login import Login
from ..profile import UserProfile
from ..session import AuthSession, Tenant, User
from .auth_scope import request_auth
from .openapi import OptionalSessionScheme, SessionScheme
from .parameter_guard import dependency_factory
from .pending_login import fetch_user_profile

__all__ = [
    "ClaimsDependency",
    "CurrentSession",
    "CurrentTenant",
    "CurrentUser",
    "OptionalSession",
    "OptionalTenant",
    "OptionalUser",
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
    "tenant_of",
]

M = TypeVar("M")
T = TypeVar("T")


async def get_auth_session(connection: HTTPConnection) -> AuthSession | None:
    """Return the session of a request or WebSocket, or None if it is unauthenticated.

    For code that is not a route, such as middleware and hooks. A known session costs one cache look-up. Only
    an expired one costs a call to Descope. On the plugin's login, callback and logout it returns None
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
    pending = request_auth(connection.scope).pending_login
    return pending[1] if pending else None


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
    return await fetch_user_profile(request_auth(connection.scope))


class _Required(SessionScheme, Generic[T]):
    """A dependency that returns a part of the session, or raises ``NotAuthenticated`` without one.

    It is the security scheme itself and does not depend on it: another dependency of a route would cost more
    than a cached session does.
    """

    def __init__(self, selector: Callable[[AuthSession], T]) -> None:
        self._selector = selector

    async def __call__(self, connection: HTTPConnection) -> T:
        auth = request_auth(connection.scope)
        return self._selector(auth.known_session() or await auth.require())


class _Optional(OptionalSessionScheme, Generic[T]):
    """A dependency that returns a part of the session, or None without one.

    As a dependency of a whole app it runs before the login and logout routes too, which must work if Descope
    is unreachable or the session is refused. On those it then returns None.
    """

    # Logout and login must work: LO-01, SG-06.

    def __init__(self, selector: Callable[[AuthSession], T | None]) -> None:
        self._selector = selector

    async def __call__(self, connection: HTTPConnection) -> T | None:
        session = await request_auth(connection.scope).session()
        return None if session is None else self._selector(session)


def _session(session: AuthSession) -> AuthSession:
    return session


def _user(session: AuthSession) -> User:
    return session.user


def tenant_of(session: AuthSession) -> Tenant:
    """Return the current tenant of a session, or raise ``NoTenant``."""
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

current_tenant = _Required(tenant_of)
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
            Forbidden: An ``on_session`` hook refuses the session.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The session has expired and Descope is unreachable.
            SessionCheckFailed: An ``on_session`` hook failed.
        """
        auth = request_auth(connection.scope)
        session = await auth.require()
        try:
            return session.claims_as(self.claims_model)
        except ClaimsInvalid as error:
            auth.parts.events.emit(ClaimsRejected(error.model, error.fields))
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
