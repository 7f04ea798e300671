"""The session of one request: nothing is read, checked or asked for until somebody wants to know.

The middleware puts a ``RequestAuth`` into every scope and looks at it again when the response starts.
A page that never asks costs next to nothing, gets no ``Vary`` and cannot be slowed down by Descope (CA-03).
What is found out stays in that scope, so no thread and no task can see another request's (TN-11).
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

from starlette.types import Message, Scope

from .._auth.authenticator import AuthResult, CookieAction, Credentials
from .._auth.core import Core
from ..errors import (
    ConfigurationError,
    CrossSiteRequest,
    NotAuthenticated,
    SessionEnded,
    SessionTooLarge,
)
from ..events import ConflictingCookies, CrossSiteRefused, EventBus, ProfileFetched
from ..session import AuthSession, TokenPair, UserProfile
from .cache_headers import set_cache_headers
from .cookies import SessionCookies
from .credentials import CredentialsReader
from .csrf import CrossOriginProtection
from .paths import path_in_app
from .route_names import LOGIN, PluginRoute, PluginRoutes

__all__ = ["RequestAuth", "RequestAuthFactory", "request_auth"]

_KEY = "fastapi_descope"

_ANSWERED = object()
"""Stands in the scope of a request once the middleware is done with it."""


def request_auth(scope: Scope) -> "RequestAuth":
    """The pending session that the middleware put into ``scope``; no cost.

    Raises ``ConfigurationError`` if the middleware is not installed.
    """
    pending = scope.get(_KEY)
    if isinstance(pending, RequestAuth):
        return pending
    if pending is _ANSWERED:
        raise ConfigurationError(
            "This request has been answered: a handler for 500 runs outside of DescopeMiddleware. Ask for the"
            " session in the route, and keep it in request.state."
        )
    raise ConfigurationError(
        "DescopeMiddleware has not seen this request. Write Descope(app), or"
        " app.add_middleware(DescopeMiddleware, descope=descope), on the app that has the route."
    )


class RequestAuthFactory:
    """Opens the pending session of each request; one for each ``Descope`` object."""

    def __init__(
        self,
        *,
        core: Core,
        reader: CredentialsReader,
        cookies: SessionCookies,
        csrf: CrossOriginProtection,
        events: EventBus,
        leeway: float,
    ) -> None:
        self.leeway = leeway
        self.core = core
        self.reader = reader
        self.cookies = cookies
        self.csrf = csrf
        self.events = events
        self.own_routes = PluginRoutes()

    def open(self, scope: Scope, app: object) -> "RequestAuth":
        """The pending session of a request to ``app``, in its scope from now on.

        Raises ``ConfigurationError`` if another ``Descope`` object has one of the same app there.
        """
        if self.pending_in(scope, app, of_any=True) is not None:
            raise ConfigurationError(
                "Two Descope objects guard one app. Give each an app of its own, and mount one in the other."
            )
        found = scope.get(_KEY)  # of the app around this one
        around = found if isinstance(found, RequestAuth) and found.is_of(self) else None
        pending = scope[_KEY] = RequestAuth(self, scope, app, around)
        return pending

    def pending_in(self, scope: Scope, app: object, *, of_any: bool = False) -> "RequestAuth | None":
        """The pending session that this object, or any, has opened for this request to the same app."""
        found = scope.get(_KEY)
        if not isinstance(found, RequestAuth) or found.app is not scope.get("app", app):
            return None
        return found if of_any or found.is_of(self) else None

    def close(self, scope: Scope) -> None:
        """Take it out again. They hold each other, so a request left whole would wait for the collector."""
        scope[_KEY] = _ANSWERED


class RequestAuth:
    """Who is behind one HTTP request or WebSocket: found out once, when first asked."""

    __slots__ = (
        "_login",
        "_login_app",
        "_parent",
        "_queued",
        "_resolution",
        "_sessions",
        "_started",
        "_written",
        "app",
        "app_root_path",
        "presented",
        "scope",
    )

    def __init__(
        self, sessions: RequestAuthFactory, scope: Scope, app: object, around: "RequestAuth | None" = None
    ) -> None:
        self._parent = around
        self._login_app: RequestAuth | None = None
        self._sessions = sessions
        self.scope = scope
        self._resolution: AuthResult | None = None
        self._written: TokenPair | CookieAction | None = None
        self._queued: list[bytes] = []
        self._login: tuple[TokenPair, UserProfile | None] | None = None
        self._started = False
        self.presented: Credentials | None = None
        # A mounted app replaces these in the very same scope; the error pages need ours.
        self.app: object = scope.get("app", app)
        self.app_root_path: str = scope.get("root_path", "")

    # ------------------------------------------------------------------ asking

    async def session(self) -> AuthSession | None:
        """The session, or None if nobody is signed in.

        Raises ``CrossSiteRequest`` for a foreign page's request with the user's cookies, and
        ``UpstreamUnavailable`` if a dead session cannot be refreshed right now. Costs two look-ups for a
        known token; a call to Descope only for a dead session.
        """
        resolution = self._resolution or await self.authenticate()
        if resolution.session is None and not isinstance(resolution.error, NotAuthenticated):
            raise resolution.error or NotAuthenticated
        return resolution.session

    async def require(self) -> AuthSession:
        """The session. Raises the ``NotAuthenticated`` family without one, else as ``session`` does."""
        resolution = self._resolution or await self.authenticate()
        if resolution.session is None:
            raise resolution.error or NotAuthenticated
        return resolution.session

    async def authenticate(self) -> AuthResult:
        """What was found out; see ``_auth/authenticator.py``. Raises ``CrossSiteRequest`` only."""
        if self._resolution is None:
            presented = self.credentials()
            # A bearer is sent by the caller's own code, never by a browser alone (CS-05, CS-09).
            if presented.bearer is None and (presented.session or presented.refresh):
                self.refuse_cross_site()
            self._resolution = await self._sessions.core.authenticator.authenticate(presented)
        return self._resolution

    async def profile(self) -> UserProfile:
        """Descope's user object: of whom a login hook is about, else of the session, asked for anew.

        Raises as ``require`` does, ``SessionEnded`` if Descope ended the session meanwhile, and the
        ``UpstreamError`` family.
        """
        if self._login is None:
            await self.require()
            return await self._ask_for_profile(await self.authenticate())
        # The request's own session, if it has one, is still that of whoever was signed in before.
        pair, profile = self._login
        return profile or await self._ask_for_profile(AuthResult(pair.session, pair=pair))

    async def _ask_for_profile(self, resolution: AuthResult) -> UserProfile:
        with self.clear_if_ended():
            profile = await self._sessions.core.session_service.profile(self.credentials(), resolution)
        self._sessions.events.emit(ProfileFetched())
        return profile

    def now(self) -> float:
        """Epoch seconds, by the clock of the ``Descope`` object."""
        return self._sessions.core.clock()

    @property
    def untouched(self) -> bool:
        """Whether nobody has asked who is there, and no route has decided on a cookie."""
        return self.presented is None and self._written is None and not self._queued

    @property
    def ends_at(self) -> float | None:
        """When the session that was found is over (epoch seconds, leeway included); None without one."""
        session = self._resolution.session if self._resolution else None
        return None if session is None else session.expires_at + self._sessions.leeway

    def credentials(self) -> Credentials:
        """What the request brought along; read from its headers once, and never from its address (WS-02).

        Once a response has begun, nothing can carry a new pair any more: no refresh then (WS-03).
        """
        if self.presented is None:
            self.presented = self._sessions.reader.read(self.scope)
            if self.presented.ambiguous:
                self._sessions.events.emit(ConflictingCookies())
        return replace(self.presented, may_refresh=False) if self._started else self.presented

    def is_of(self, sessions: RequestAuthFactory) -> bool:
        """Whether it was opened by these."""
        return self._sessions is sessions

    @property
    def login_app(self) -> "RequestAuth":
        """That of the app where people sign in: the one around this, if this is mounted and has no login."""
        if (
            self._parent is not None and self._login_app is None
        ):  # an app with many routes is not quick to say
            has_login = self._sessions.own_routes.path(LOGIN, self.app) is not None
            self._login_app = self if has_login else self._parent.login_app
        return self._login_app or self

    @property
    def root_path(self) -> str:
        """What stands before the paths of the app where people sign in."""
        return self.login_app.app_root_path

    def own_path(self, route: PluginRoute) -> str | None:
        """The path of one of the plugin's routes, without ``root_path``; None if there is none."""
        return self._sessions.own_routes.path(route, self.login_app.app)

    @property
    def own_paths(self) -> frozenset[str]:
        """The paths, with ``root_path``, of the routes that must work without a session.

        To return to one would lead in circles.
        """
        paths = self._sessions.own_routes.public_paths(self.login_app.app)
        return frozenset(self.root_path + path for path in paths)

    def is_public_auth_route(self) -> bool:
        """Whether the request is for one of the plugin's routes that must work without a session."""
        path, method = path_in_app(self.scope, self.app_root_path), self.scope.get("method", "")
        return self._sessions.own_routes.is_public(path, method, self.app)

    def refuse_cross_site(self) -> None:
        """Raise ``CrossSiteRequest`` if another site's page may have sent this (requirements 2.7, WS-01)."""
        if not self._sessions.csrf.is_allowed(self.scope):
            self._sessions.events.emit(CrossSiteRefused())
            raise CrossSiteRequest

    # ------------------------------------------------------------------ answering

    def sign_in(self, pair: TokenPair, profile: UserProfile | None) -> None:
        """Say whose login the hooks are about; no cookie is written before they agree."""
        self._login = pair, profile

    def write(self, pair: TokenPair) -> None:
        """Have the response carry the cookies of ``pair``, whatever a refresh beside it brings."""
        self._written = pair

    def clear(self) -> None:
        """Have the response delete the session's cookies, whatever a refresh beside it brings."""
        self._written = CookieAction.CLEAR

    @contextmanager
    def clear_if_ended(self) -> Generator[None]:
        """As ``clear``, if Descope says in here that the session is over: whoever answers the error."""
        try:
            yield
        except SessionEnded:
            self.clear()
            raise

    def drop_duplicate_cookies(self) -> None:
        """Have the response delete the twins of our cookies, if a name came with two values (CK-02).

        Our own ones stay: alone, a planted cookie would make the user somebody else (CK-11).
        """
        credentials = self.credentials()
        if credentials.ambiguous:
            secure = self._sessions.cookies.use_secure(self.scope)
            self.queue(self._sessions.cookies.drop_duplicates(credentials, secure=secure))

    def queue(self, cookies: list[bytes]) -> None:
        """Have the response carry further ``Set-Cookie`` values."""
        self._queued += cookies

    async def start_response(self, message: Message) -> None:
        """Put the cookies, and what caches must know, into the message that starts a response.

        Waits for a refresh beside the handler, a second at most. Raises ``SessionTooLarge``.
        """
        self._started = True
        if self.untouched:
            return
        try:
            cookies = self._queued + await self._cookies()
        except SessionTooLarge:
            self._written = CookieAction.KEEP  # the error page starts a response too
            raise
        # The app's own headers and cookies stay, in their order (CK-10).
        message["headers"] = [*message.get("headers", ()), *((b"set-cookie", value) for value in cookies)]
        if self.scope["type"] == "http":
            set_cache_headers(message, sets_cookies=bool(cookies))

    async def _cookies(self) -> list[bytes]:
        change = self._written or await self._found()
        if change is CookieAction.KEEP:
            return []
        cookies, scope = self._sessions.cookies, self.scope
        secure = self._sessions.cookies.use_secure(scope)
        credentials = self.presented or self._sessions.reader.read(scope)
        if isinstance(change, TokenPair):
            return cookies.write(change, now=self.now(), secure=secure, credentials=credentials)
        if change is CookieAction.CLEAR_REFRESH:
            return cookies.clear_refresh(credentials, secure=secure)
        return cookies.clear(credentials, secure=secure)

    async def _found(self) -> TokenPair | CookieAction:
        """What is to become of the cookies by what was found out about the request's own session."""
        resolution = self._resolution
        if resolution is None:
            return CookieAction.KEEP
        if not resolution.is_final:
            resolution = self._resolution = await resolution.finish()
            await resolution.mark_delivered()
        return resolution.pair or resolution.cookies
