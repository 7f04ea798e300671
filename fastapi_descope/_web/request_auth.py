"""The lazy authentication of one request.

The middleware puts a ``RequestAuth`` into the scope of each request. Until a dependency or a handler asks for
the session, no header is read. So a public page costs next to nothing, has no ``Vary`` header and never waits
for Descope (CA-03). The result stays in the scope: no thread and no task can see that of another request
(TN-11).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self, cast

from starlette.middleware import Middleware
from starlette.types import Message, Scope

from .._auth.authenticator import AuthResult
from .._auth.core import Core
from .._auth.credentials import CookieAction, Credentials
from ..errors import ConfigurationError, CrossSiteRequest, NotAuthenticated
from ..events import (
    ConflictingCookies,
    CrossSiteRefused,
    DuplicateCookiesDeleted,
    EventBus,
    StrayChunks,
)
from ..login import Login
from ..session import AuthSession, TokenPair, tenant_id_var
from .app_location import AppLocation, RouteFinder
from .cookies import ResponseCookies, SessionCookies
from .credentials import CredentialsReader
from .csrf import SAFE_METHODS, CrossOriginProtection
from .login_loops import MARKER, LoginLoops
from .parameter_guard import handles_request_var

__all__ = ["RequestAuth", "RequestAuthFactory", "request_auth"]

_KEY = "fastapi_descope"

_REDIRECT = 300

_RESPONDED = object()
"""The value in the scope of a request that has left the middleware without reading the session."""


def request_auth(scope: Scope) -> "RequestAuth":
    """Return the ``RequestAuth`` that the middleware put into the scope.

    Raises:
        ConfigurationError: The middleware is not installed, or the request has left it already.
    """
    auth = scope.get(_KEY)
    if isinstance(auth, RequestAuth):
        return auth
    if isinstance(auth, tuple):
        return RequestAuth.after_response(scope, *cast("_Finished", auth))
    if auth is _RESPONDED:
        raise ConfigurationError(
            "The response was already sent: a handler for 500 runs outside DescopeMiddleware, and the connect"
            " handler of python-socketio in a later request. For a 500, read the session in the route, and"
            " keep it in request.state. For python-socketio, mount DescopeMiddleware(socketio.ASGIApp(sio),"
            " descope=descope, protect=True), which reads it during the handshake."
        )
    if _has_middleware(scope.get("app")):
        raise ConfigurationError(
            "This code runs in middleware outside DescopeMiddleware, which has not seen the request yet: of"
            " two middlewares, the one that was added later runs first. Add this one before Descope(app) or"
            " DescopeMiddleware."
        )
    raise ConfigurationError(
        "DescopeMiddleware has not seen this request. Write Descope(app), or"
        " app.add_middleware(DescopeMiddleware, descope=descope), on the app that has the route. An ASGI app"
        " that wraps this one, such as socketio.ASGIApp(sio, app), gets requests first: mount it instead."
    )


def _has_middleware(app: object) -> bool:
    """Return whether an app has our middleware, whose class is in a higher layer."""
    layers: list[Middleware] = getattr(app, "user_middleware", [])
    return any(getattr(layer.cls, "__name__", "") == "DescopeMiddleware" for layer in layers)


@dataclass(frozen=True, slots=True)
class RequestAuthFactory:
    """Creates the ``RequestAuth`` of each request; one factory for each ``Descope`` object.

    ``leeway`` is in seconds. ``close_code`` closes a WebSocket when its session ends.
    """

    core: Core
    reader: CredentialsReader
    cookies: SessionCookies
    csrf: CrossOriginProtection
    events: EventBus
    leeway: float
    loops: LoginLoops
    close_code: int
    routes: RouteFinder = field(default_factory=RouteFinder)

    def attach(self, scope: Scope, app: object, root_path: str) -> "RequestAuth":
        """Put a new ``RequestAuth`` into the scope of a request to ``app``, and return it.

        Raises:
            ConfigurationError: Another ``Descope`` object has put one there for the same app.
        """
        outer = scope.get(_KEY)  # of the outer app
        parent: AppLocation | None = None
        if isinstance(outer, RequestAuth):
            if outer.location.app is app:
                raise ConfigurationError(
                    "Two Descope objects are installed on one app. Give each its own app, and mount one in"
                    " the other."
                )
            parent = outer.location if outer.factory is self else None
        auth = scope[_KEY] = RequestAuth(self, scope, AppLocation(app, root_path, self.routes, parent))
        if parent is None:  # otherwise the outer app has the same session
            tenant_id_var.set(None)
            handles_request_var.set(True)
        return auth

    def find(self, scope: Scope, app: object) -> "RequestAuth | None":
        """Return the ``RequestAuth`` that this factory has put into the scope for the same app, or None."""
        auth = scope.get(_KEY)
        if not isinstance(auth, RequestAuth) or auth.location.app is not app:
            return None
        return auth if auth.factory is self else None

    def detach(self, auth: "RequestAuth") -> None:
        """End a request: restore the tenant of the context (TN-13), and remove ``auth`` from its scope.

        The two form a reference cycle. The result stays if the response knew it: code that runs later cannot
        change what the response says to caches.
        """
        auth.scope[_KEY] = auth.finished or _RESPONDED
        tenant_id_var.set(auth.former_tenant_id)
        handles_request_var.set(auth.is_nested)


_Finished = tuple[RequestAuthFactory, AppLocation, AuthResult]
"""The value in the scope of a request after its response. It refers to no ``RequestAuth``: no cycle."""


class RequestAuth:
    """The lazy authentication of one HTTP request or WebSocket: done once, when first needed.

    Attributes:
        factory: The factory that created it.
        scope: The scope of the request.
        location: The app that serves the request.
        former_tenant_id: The tenant of the context before the request.
        is_nested: Whether the context handled a request before: that of an outer app.
        cookies: The cookies that the response sets.
        known_credentials: The credentials of the request if they have been read, else None.
        is_signed_in: Whether the browser has a valid session, if a route has found out, else None.
        login_query: The query of the login that an error page links to, if a route has set it.
        pending_login: The tokens and the login whose hooks are running, or None.
    """

    __slots__ = (
        "_has_started",
        "_result",
        "cookies",
        "factory",
        "former_tenant_id",
        "is_nested",
        "is_signed_in",
        "known_credentials",
        "location",
        "login_query",
        "pending_login",
        "scope",
    )

    def __init__(self, factory: RequestAuthFactory, scope: Scope, location: AppLocation) -> None:
        self.factory = factory
        self.scope = scope
        self.location = location
        self.cookies = ResponseCookies(factory.cookies, scope)
        self.known_credentials: Credentials | None = None
        self.is_signed_in: bool | None = None
        self.login_query: Mapping[str, str] | None = None
        self._result: AuthResult | None = None
        self.pending_login: tuple[TokenPair, Login] | None = None
        self._has_started = False
        self.former_tenant_id = tenant_id_var.get()
        self.is_nested = handles_request_var.get()

    async def session(self) -> AuthSession | None:
        """Return the session, or None if the request is unauthenticated.

        A known token costs two cache look-ups. Only an expired session costs a call to Descope.

        Login and logout must work in every state of the session. So on the routes of the plugin that need no
        session the result is None for a session that is refused or cannot be checked.

        Raises:
            Forbidden: An ``on_session`` hook refuses the session.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The credentials cannot be checked at the moment.
            SessionCheckFailed: An ``on_session`` hook failed.
        """
        result = self._result or await self.authenticate()
        session, error = result.session, result.error
        is_public = self.location.is_public_route  # LO-01, SG-06
        if not (error is None or isinstance(error, NotAuthenticated) or is_public(self.scope)):
            raise error
        tenant_id_var.set(None if session is None else session.tenant_id)
        return session

    async def require(self) -> AuthSession:
        """Return the session. Costs what ``session`` costs.

        Raises:
            NotAuthenticated: The request is unauthenticated.
            Forbidden: An ``on_session`` hook refuses the session.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The credentials cannot be checked at the moment.
            SessionCheckFailed: An ``on_session`` hook failed.
        """
        result = self._result or await self.authenticate()
        session = result.session
        if session is None:
            raise result.error or NotAuthenticated
        tenant_id_var.set(session.tenant_id)
        return session

    async def authenticate(self) -> AuthResult:
        """Return the result of authentication, which includes the error of an unauthenticated request.

        Raises:
            CrossSiteRequest: The cookies came with a request of another site.
        """
        if self._result is None:
            credentials = self.credentials()
            # A browser sends cookies by itself, but never a bearer (CS-05, CS-09).
            has_cookies = credentials.bearer is None and (credentials.session or credentials.refresh)
            if has_cookies and self.scope.get("method") not in SAFE_METHODS:
                self.refuse_cross_site()
            self._result = await self.factory.core.authenticator.authenticate(credentials)
        return self._result

    def credentials(self) -> Credentials:
        """Return the credentials in the request's headers, never in its query (WS-02).

        After the response has started they may not be refreshed: nothing could carry the new tokens (WS-03).
        """
        if self.known_credentials is None:
            self.known_credentials = self.factory.reader.read(self.scope)
            self.cookies.accessed = True
            if self.known_credentials.ambiguous:
                self.factory.events.emit(ConflictingCookies())
            elif self.known_credentials.stray_chunks:
                self.factory.events.emit(StrayChunks())
        if self._has_started:
            return replace(self.known_credentials, may_refresh=False)
        return self.known_credentials

    async def delete_duplicates(self) -> None:
        """Delete the cookies that conflict with ours, and stray chunks, where a response can reach them.

        For login, callback and logout only. On any other request it could leave a planted cookie alone.
        """
        credentials = self.credentials()
        conflict = await self.factory.core.browser_tokens.has_conflict(credentials)
        names = credentials.cookie_names if conflict else credentials.stray_chunks
        if names and self.cookies.delete_duplicates(names):
            self.factory.events.emit(DuplicateCookiesDeleted())

    def refuse_cross_site(self) -> None:
        """Raise an error if a page of another site may have sent the request (requirements 2.7, WS-01).

        Raises:
            CrossSiteRequest: The request did not come from the app's own origin or a trusted one.
        """
        if not self.factory.csrf.is_allowed(self.scope):
            self.factory.events.emit(CrossSiteRefused())
            raise CrossSiteRequest

    def now(self) -> float:
        """Return epoch seconds by the clock of the ``Descope`` object."""
        return self.factory.core.clock()

    @property
    def finished(self) -> "_Finished | None":
        """The value for the scope after the response; None if the response did not depend on the session."""
        if self._result is None or not self._has_started:
            return None
        return self.factory, self.location, self._result

    @classmethod
    def after_response(
        cls, scope: Scope, factory: RequestAuthFactory, location: AppLocation, result: AuthResult
    ) -> Self:
        """Return the authentication of a request that has its response, with the session until it expires.

        Event handlers of python-socketio get the scope of the handshake in a later request (WS-08).
        """
        auth = cls(factory, scope, location)
        auth._has_started, auth._result = True, result
        if auth.ends_at is not None and auth.now() >= auth.ends_at:
            auth._result = AuthResult(error=NotAuthenticated())
        return auth

    @property
    def ends_at(self) -> float | None:
        """When the session ends, in epoch seconds with leeway; None if no session is known."""
        session = self._result.session if self._result else None
        return None if session is None else session.expires_at + self.factory.leeway

    async def start_response(self, message: Message) -> None:
        """Add cookies and cache headers to the message that starts the response.

        Waits at most one second for a concurrent refresh.

        Raises:
            SessionTooLarge: The new tokens do not fit into cookies.
        """
        self._has_started = True
        if not self.cookies.accessed:
            return
        change = self.cookies.decision or await self._cookie_change()
        ends_login = change is CookieAction.CLEAR or self._has_succeeded(message)
        # Checked here, because nearly no request has the marker.
        if ends_login and any(name == b"cookie" and MARKER in value for name, value in self.scope["headers"]):
            self.cookies.add(self.factory.loops.clear(self.scope))
        credentials = self.known_credentials or self.factory.reader.read(self.scope)
        self.cookies.set_headers(message, change, credentials, self.factory.core.clock())

    def _has_succeeded(self, message: Message) -> bool:
        """Return whether the response is that of a handler that got the session."""
        has_session = self._result is not None and self._result.session is not None
        return has_session and message.get("status", _REDIRECT) < _REDIRECT

    async def _cookie_change(self) -> TokenPair | CookieAction:
        """Return what authentication changes about the cookies."""
        result = self._result
        if result is None:
            return CookieAction.KEEP
        if not result.is_final:
            result = self._result = await result.finish()
        return result.pair or result.cookies
