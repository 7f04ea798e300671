"""The lazy authentication of one request.

The middleware puts a ``RequestAuth`` into the scope of each request. Until a dependency or a handler asks for
the session, no header is read. So a public page costs next to nothing, has no ``Vary`` header and never waits
for Descope (CA-03). The result stays in the scope: no thread and no task can see that of another request
(TN-11).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Self

from starlette.types import Message, Scope, Send

from .._auth.auth_result import AuthResult
from .._auth.core import Core
from .._auth.credentials import CookieAction, Credentials
from ..callers import Caller
from ..errors import CrossSiteRequest, NotAuthenticated, SessionRequired
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
from .event_stream import EventStream, is_event_stream
from .known_sessions import KnownSessions
from .login_loops import MARKER, LoginLoops
from .scopes import ScopePolicy
from .send_wrapper import SendWrapper

__all__ = ["Finished", "RequestAuth", "RequestAuthParts"]

_REDIRECT = 300

_ANONYMOUS = (NotAuthenticated, SessionRequired)
"""The errors after which a request has no session, and is served if none is required."""


@dataclass(frozen=True, slots=True)
class RequestAuthParts:
    """The objects of one ``Descope`` that authenticate its requests.

    ``leeway`` is in seconds. ``close_code`` closes a WebSocket when its session ends.
    """

    core: Core
    scopes: ScopePolicy
    reader: CredentialsReader
    known_sessions: KnownSessions
    cookies: SessionCookies
    csrf: CrossOriginProtection
    events: EventBus
    leeway: float
    loops: LoginLoops
    close_code: int
    routes: RouteFinder = field(default_factory=RouteFinder)


Finished = tuple[RequestAuthParts, AppLocation, AuthResult]
"""The values of a request that are kept in its scope after its response.

None refers to the scope, as the ``send`` of a server does: the garbage collector would need tens of
milliseconds at a time for the cycles.
"""


async def _send_nothing(message: Message) -> None:
    raise RuntimeError(f"The response is complete, but {message['type']} was sent")


class RequestAuth(SendWrapper):
    """The lazy authentication of one HTTP request or WebSocket: done once, when first needed.

    Attributes:
        parts: The objects of the ``Descope`` that authenticate it.
        scope: The scope of the request.
        location: The app that serves the request.
        result: The result of authentication, if it is known.
        is_signed_in: Whether the browser has a valid session, if a route has found out, else None.
        login_query: The query of the login that an error page links to, if a route has set it.
        pending_login: The tokens and the login whose hooks are running, or None.
    """

    # Defaults of the class: few requests read or change these.
    is_signed_in: bool | None = None
    login_query: Mapping[str, str] | None = None
    pending_login: tuple[TokenPair, Login] | None = None
    _is_unknown = False

    def __init__(self, parts: RequestAuthParts, scope: Scope, send: Send, location: AppLocation) -> None:
        # Assigned here and not by super(), which would cost as much as all of these.
        self.scope = scope
        self._send = send
        self._app = scope.get("app")
        self.held = None
        self.started = False
        self.parts = parts
        self.location = location
        self.result: AuthResult | None = None
        self._cookies: ResponseCookies | None = None
        self._credentials: Credentials | None = None

    @property
    def cookies(self) -> ResponseCookies:
        """The cookies that the response sets."""
        if self._cookies is None:
            self._cookies = ResponseCookies(self.parts.cookies, self.scope)
        return self._cookies

    @property
    def known_credentials(self) -> Credentials | None:
        """The credentials of the request if it has been authenticated, else None."""
        if self._credentials is None and self.result is not None:
            self._credentials = self.parts.reader.read(self.scope)
        return self._credentials

    def known_session(self) -> AuthSession | None:
        """Return the session if nothing has to be verified or awaited for it, else None.

        After None, ask ``require`` or ``session``. Costs what ``KnownSessions.find`` costs, once.
        """
        result = self.result or self._find_known()
        session = None if result is None else result.session
        if session is not None and tenant_id_var.get() != session.tenant_id:
            tenant_id_var.set(session.tenant_id)
        return session

    def _find_known(self) -> AuthResult | None:
        if self._is_unknown:
            return None
        result = self.parts.known_sessions.find(self.scope)
        is_safe = self.scope.get("method") in SAFE_METHODS
        if result is not None and (is_safe or self.parts.csrf.is_allowed(self.scope)):
            self.result = result
            return result
        self._is_unknown = True
        return None

    async def session(self) -> AuthSession | None:
        """Return the session, or None if the request is unauthenticated.

        A known session costs one cache look-up. Only an expired one costs a call to Descope.

        Login and logout must work in every state of the session. So on the routes of the plugin that need no
        session the result is None for a session that is refused or cannot be checked.

        Raises:
            Forbidden: An ``on_session`` hook refuses the session.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The credentials cannot be checked at the moment.
            SessionCheckFailed: An ``on_session`` hook failed.
        """
        result = self.result or await self.authenticate()
        session, error = result.session, result.error
        is_public = self.location.is_public_route  # LO-01, SG-06
        if not (error is None or isinstance(error, _ANONYMOUS) or is_public(self.scope)):
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
        result = self.result or await self.authenticate()
        session = result.session
        if session is None:
            raise result.error or NotAuthenticated
        tenant_id_var.set(session.tenant_id)
        return session

    async def caller(self) -> Caller:
        """Return the caller: the session, an application or a machine. Costs what ``session`` costs.

        Raises:
            NotAuthenticated: The request is unauthenticated.
            Forbidden: An ``on_session`` hook or an ``on_caller`` hook refuses the caller.
            CrossSiteRequest: The cookies came with a request of another site.
            UpstreamUnavailable: The credentials cannot be checked at the moment.
            SessionCheckFailed: A hook failed.
        """
        known = self.known_session()
        if known is not None:
            return known
        result = await self.authenticate()
        caller = result.session or result.other_caller
        if caller is None:
            raise result.error or NotAuthenticated
        tenant_id_var.set(caller.tenant_id)
        return caller

    async def authenticate(self) -> AuthResult:
        """Return the result of authentication, which includes the error of an unauthenticated request.

        Raises:
            CrossSiteRequest: The cookies came with a request of another site.
        """
        result = self.result or self._find_known()
        if result is None:
            credentials = self.credentials()
            # A browser sends cookies by itself, but never a bearer (CS-05, CS-09).
            has_cookies = credentials.bearer is None and (credentials.session or credentials.refresh)
            if has_cookies:
                self.refuse_cross_site()
            known = self.parts.known_sessions
            validity = known.validity()
            result = self.result = await self.parts.core.authenticator.authenticate(credentials)
            known.remember(self.scope, credentials, result, validity)
        return result

    def credentials(self) -> Credentials:
        """Return the credentials in the request's headers, never in its query (WS-02).

        After the response has started they may not be refreshed: nothing could carry the new tokens (WS-03).
        """
        credentials = self._credentials
        if credentials is None:
            credentials = self._credentials = self.parts.reader.read(self.scope)
            if credentials.ambiguous:
                self.parts.events.emit(ConflictingCookies())
            elif credentials.stray_chunks:
                self.parts.events.emit(StrayChunks())
        if self.started:
            return replace(credentials, may_refresh=False)
        return credentials

    async def delete_duplicates(self) -> None:
        """Delete the cookies that conflict with ours, and stray chunks, where a response can reach them.

        For login, callback and logout only. On any other request it could leave a planted cookie alone.
        """
        credentials = self.credentials()
        conflict = await self.parts.core.browser_tokens.has_conflict(credentials)
        names = credentials.cookie_names if conflict else credentials.stray_chunks
        if names and self.cookies.delete_duplicates(names):
            self.parts.events.emit(DuplicateCookiesDeleted())

    def refuse_cross_site(self) -> None:
        """Raise an error if a page of another site may have sent the request (requirements 2.7, WS-01).

        Raises:
            CrossSiteRequest: The request did not come from the app's own origin or a trusted one.
        """
        if not self.parts.csrf.is_allowed(self.scope):
            self.parts.events.emit(CrossSiteRefused())
            raise CrossSiteRequest

    def refuse_other_origins(self) -> None:
        """Raise an error unless a page of the app's own origin, or no browser, has sent the request.

        Raises:
            CrossSiteRequest: Another origin has sent the request, also if it is a trusted one.
        """
        if not self.parts.csrf.is_same_origin(self.scope):
            self.parts.events.emit(CrossSiteRefused())
            raise CrossSiteRequest

    def now(self) -> float:
        """Return epoch seconds by the clock of the ``Descope`` object."""
        return self.parts.core.clock()

    @property
    def finished(self) -> Finished | None:
        """The values to keep after the response; None if the response did not depend on the session."""
        if self.result is None or not self.started:
            return None
        return self.parts, self.location, self.result

    @classmethod
    def after_response(cls, scope: Scope, finished: "Finished") -> Self:
        """Return the authentication of a request that has its response, with the session until it expires.

        Event handlers of python-socketio get the scope of the handshake in a later request (WS-08).
        """
        parts, location, result = finished
        auth = cls(parts, scope, _send_nothing, location)
        auth.started, auth.result = True, result
        has_ended = auth.ends_at is not None and auth.now() >= auth.ends_at
        if has_ended or auth.revocation_check()():
            auth.result = AuthResult(error=NotAuthenticated())
        return auth

    @property
    def ends_at(self) -> float | None:
        """When the session of the caller ends, in epoch seconds with leeway; None if no caller is known."""
        caller = self._known_caller
        return None if caller is None else caller.expires_at + self.parts.leeway

    @property
    def _known_caller(self) -> Caller | None:
        return None if self.result is None else self.result.session or self.result.other_caller

    def watch_revocations(self, notify: Callable[[], None]) -> None:
        """Call ``notify``, a bound method, when the user of the caller is revoked, as long as it exists."""
        if (caller := self._known_caller) is not None:
            self.parts.core.revocations.watch(_user_id(caller), notify)

    def revocation_check(self) -> Callable[[], bool]:
        """Return a function that returns whether the token of the caller was revoked. It keeps no request."""
        caller, result, credentials = self._known_caller, self.result, self.known_credentials
        if caller is None or result is None or credentials is None:
            return lambda: False
        pair_jwt = None if result.pair is None else result.pair.session_jwt
        token = pair_jwt or credentials.bearer or credentials.session or ""
        return partial(self.parts.core.revocations.denies, token, _user_id(caller), caller.issued_at)

    def on_start(self, message: Message) -> Awaitable[None] | None:
        """Add cookies and cache headers to the first message.

        While a refresh may run, return an awaitable that adds them. It waits at most one second.

        Raises:
            SessionTooLarge: The new tokens do not fit into cookies.
        """
        if self._cookies is not None or self._credentials is not None:
            result = self.result
            if result is not None and not result.is_final and self.cookies.decision is None:
                return self._finish(result, message)
            self._set_cookies(message)
        elif self.result is not None and self.scope["type"] == "http":
            self.parts.cookies.set_cache_headers(message)
            if is_event_stream(message):
                self._end_stream_with_session()
        return None

    async def _finish(self, result: AuthResult, message: Message) -> None:
        self.result = await result.finish()
        self._set_cookies(message)

    def _end_stream_with_session(self) -> None:
        stream = EventStream(self._send, self.revocation_check())
        self._send = stream.send
        self.watch_revocations(stream.end_if_revoked)

    def _set_cookies(self, message: Message) -> None:
        cookies, result = self.cookies, self.result
        authenticated = CookieAction.KEEP if result is None else result.pair or result.cookies
        change = cookies.decision or authenticated
        ends_login = change is CookieAction.CLEAR or self._has_succeeded(message)
        # Checked here, because nearly no request has the marker.
        if ends_login and any(name == b"cookie" and MARKER in value for name, value in self.scope["headers"]):
            cookies.add(self.parts.loops.clear(self.scope))
        credentials = self.known_credentials or self.parts.reader.read(self.scope)
        cookies.set_headers(message, change, credentials, self.parts.core.clock())
        if self.scope["type"] == "http" and is_event_stream(message):
            self._end_stream_with_session()

    def _has_succeeded(self, message: Message) -> bool:
        """Return whether the response is that of a handler that got the session."""
        has_session = self.result is not None and self.result.session is not None
        return has_session and message.get("status", _REDIRECT) < _REDIRECT


def _user_id(caller: Caller) -> str:
    return caller.user.id if isinstance(caller, AuthSession) else caller.subject
