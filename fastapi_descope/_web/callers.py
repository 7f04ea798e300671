"""Dependencies: the caller of a request, whether it is a user, an application or a machine.

    @app.get("/reports")
    async def reports(caller: Annotated[Caller, Security(current_caller, scopes=["reports:read"])]): ...

``scopes`` of ``Security`` are required of the caller. They work for WebSockets too.
"""

from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar, cast

from fastapi import Depends
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from ..callers import Caller, Delegate, Machine
from ..errors import DelegateRequired, Forbidden, ImpersonationDenied, MachineRequired
from .auth_scope import request_auth
from .openapi import BEARER, CALLER, OAUTH2, CallerScheme

__all__ = [
    "CallerDependency",
    "CallerGuard",
    "CurrentCaller",
    "CurrentDelegate",
    "CurrentMachine",
    "current_caller",
    "current_delegate",
    "current_machine",
    "get_caller",
    "unimpersonated_caller",
]

C = TypeVar("C", bound=Caller)


async def get_caller(connection: HTTPConnection) -> Caller:
    """Return the caller of a request or WebSocket. For code that is not a route, such as an ASGI app.

    A known session costs one cache look-up.

    Raises:
        NotAuthenticated: The request is unauthenticated.
        Forbidden: An ``on_session`` hook or an ``on_caller`` hook refuses the caller.
        SessionCheckFailed: A hook failed.
        CrossSiteRequest: The cookies came with a request of another site.
        UpstreamUnavailable: The caller cannot be verified at the moment.
        ConfigurationError: The middleware is not installed.
    """
    return await request_auth(connection.scope).caller()


class CallerDependency(CallerScheme, Generic[C]):
    """A dependency that returns the caller, if it is of the right kind and has the scopes of ``Security``.

    Attributes:
        kind: The class of the callers that it accepts, or None for every caller.
        error: The error for a caller of another kind.
        not_impersonated: Whether no person may act as the user of the caller.
        scheme_name: The name of the scheme in the OpenAPI document.
    """

    # CL-10

    def __init__(
        self,
        kind: type[C] | None = None,
        *,
        error: type[Forbidden] = Forbidden,
        scheme_name: str = CALLER,
        not_impersonated: bool = False,
    ) -> None:
        self.kind = kind
        self.error = error
        self.not_impersonated = not_impersonated
        self.scheme_name = scheme_name

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> C:
        """Return the caller.

        Raises:
            NotAuthenticated: The request is unauthenticated.
            Forbidden: The caller is of another kind, lacks a scope, or a hook refuses it.
            ImpersonationDenied: Another person acts as the user of the caller.
            SessionCheckFailed: A hook failed.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The caller cannot be verified at the moment.
        """
        auth = request_auth(connection.scope)
        caller = await auth.caller()
        if self.kind is not None and not isinstance(caller, self.kind):
            raise self.error
        if self.not_impersonated and caller.actor is not None:
            raise ImpersonationDenied
        if security_scopes.scopes:
            auth.parts.scopes.require(caller, security_scopes.scopes)
        return cast("C", caller)


class CallerGuard:
    """An ASGI app that requires a caller for every request to the app that it wraps.

        app.mount("/mcp", CallerGuard(mcp_app, scopes=["reports:read"]))

    For mounted apps, which have no dependencies. The middleware of ``Descope`` sends the errors.

    Args:
        app: The app to guard.
        scopes: The scopes that the caller must have, all of them.

    Attributes:
        scopes: The same.
    """

    # CL-08

    def __init__(self, app: ASGIApp, *, scopes: Sequence[str] = ()) -> None:
        self.app = app
        self.scopes = tuple(scopes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection.

        Raises:
            NotAuthenticated: The request is unauthenticated.
            Forbidden: The caller lacks a scope, or a hook refuses it.
            SessionCheckFailed: A hook failed.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The caller cannot be verified at the moment.
            ConfigurationError: The middleware is not installed.
        """
        if scope["type"] in {"http", "websocket"}:
            auth = request_auth(scope)
            auth.parts.scopes.require(await auth.caller(), self.scopes)
        await self.app(scope, receive, send)


current_caller: CallerDependency[Caller] = CallerDependency()
"""Returns the caller. Raises ``MissingScopes`` (403), and what ``current_session`` raises."""

current_delegate = CallerDependency(Delegate, error=DelegateRequired, scheme_name=OAUTH2)
"""Returns the application. Raises ``DelegateRequired`` (403), and what ``current_caller`` raises."""

current_machine = CallerDependency(Machine, error=MachineRequired, scheme_name=BEARER)
"""Returns the machine. Raises ``MachineRequired`` (403), and what ``current_caller`` raises."""

unimpersonated_caller: CallerDependency[Caller] = CallerDependency(not_impersonated=True)
"""Returns the caller. Raises ``ImpersonationDenied`` (403), and what ``current_caller`` raises."""

CurrentCaller = Annotated[Caller, Depends(current_caller)]
"""Annotation of a parameter: the caller. An unauthenticated request gets a 401, or is sent to the login."""

CurrentDelegate = Annotated[Delegate, Depends(current_delegate)]
"""Annotation of a parameter: the application that acts for a user. Any other caller gets a 403."""

CurrentMachine = Annotated[Machine, Depends(current_machine)]
"""Annotation of a parameter: the machine. Any other caller gets a 403."""
