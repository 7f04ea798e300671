"""The session of one request: nothing is read, checked or asked for until somebody wants to know.

The middleware puts a ``PendingSession`` into every scope and looks at it again when the response starts.
A page that never asks costs nothing, gets no ``Vary`` and cannot be slowed down by Descope (CA-03).
What is found out stays in that scope, so no thread and no task can see another request's (TN-11).
"""

import logging
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope

from ..advice import Advice
from ..core.authenticator import Authenticator
from ..core.resolver import CookieChange, Credentials, Resolution, Resolver
from ..core.session import Session, TokenPair
from ..errors import ConfigurationError, CrossSiteRequest, NotAuthenticated, SessionTooLarge
from ..events import CookieAmbiguous, CrossSiteRefused, Events
from .cookies import PresentedTokens, SessionCookies
from .origins import Origins

__all__ = ["PendingSession", "Sessions", "pending_session"]

_KEY = "fastapi_descope"

_UNSEEN = (
    "DescopeMiddleware has not seen this request. Write Descope(app), or"
    " app.add_middleware(DescopeMiddleware, descope=descope), on the app that has the route."
)

_advice = Advice()

_SCHEMES = frozenset({"bearer", "basic", "digest", "dpop", "negotiate", "ntlm"})
"""Schemes of an Authorization header that may be named; a bare token would be its own scheme."""

_PURPOSES = frozenset({b"purpose", b"sec-purpose"})

_SHARED_CACHE_HEADERS = ("expires", "surrogate-control", "cdn-cache-control", "x-accel-expires")
"""How the names of headers end that outrank ``Cache-Control`` somewhere (RFC 9213, and nginx)."""


def pending_session(scope: Scope) -> "PendingSession":
    """The pending session that the middleware put into ``scope``; no cost.

    Raises ``ConfigurationError`` if the middleware is not installed.
    """
    pending = scope.get(_KEY)
    if not isinstance(pending, PendingSession):
        _advice.give(_UNSEEN, level=logging.ERROR)  # no middleware, so nobody else would
        raise ConfigurationError(_UNSEEN)
    return pending


class Sessions:
    """Opens the pending session of each request; one for each ``Descope`` object."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        authenticator: Authenticator,
        cookies: SessionCookies,
        origins: Origins,
        events: Events,
        clock: Callable[[], float],
        leeway: float,
    ) -> None:
        self.leeway = leeway
        self.resolver = resolver
        self.authenticator = authenticator
        self.cookies = cookies
        self.origins = origins
        self.events = events
        self.clock = clock

    def open(self, scope: Scope) -> "PendingSession":
        """The pending session of a request, in its scope from now on."""
        pending = scope[_KEY] = PendingSession(self, scope)
        return pending

    def close(self, scope: Scope) -> None:
        """Take it out again. They hold each other, so a request left whole would wait for the collector."""
        scope.pop(_KEY, None)


class PendingSession:
    """Who is behind one HTTP request or WebSocket: found out once, when first asked."""

    __slots__ = (
        "_queued",
        "_resolution",
        "_scope",
        "_sessions",
        "_started",
        "_written",
        "app",
        "presented",
        "root_path",
    )

    def __init__(self, sessions: Sessions, scope: Scope) -> None:
        self._sessions = sessions
        self._scope = scope
        self._resolution: Resolution | None = None
        self._written: TokenPair | CookieChange | None = None
        self._queued: list[bytes] = []
        self._started = False
        self.presented: _Presented | None = None
        # A mounted app replaces these in the very same scope; the error pages need ours.
        self.app: object = scope.get("app")
        self.root_path: str = scope.get("root_path", "")

    # ------------------------------------------------------------------ asking

    async def session(self) -> Session | None:
        """The session, or None if nobody is signed in.

        Raises ``CrossSiteRequest`` for a foreign page's request with the user's cookies, and
        ``UpstreamUnavailable`` if a dead session cannot be refreshed right now. Costs two look-ups for a
        known token; a call to Descope only for a dead session.
        """
        resolution = self._resolution or await self.resolve()
        if resolution.session is None and not isinstance(resolution.error, NotAuthenticated):
            raise resolution.error or NotAuthenticated
        return resolution.session

    async def require(self) -> Session:
        """The session. Raises the ``NotAuthenticated`` family without one, else as ``session`` does."""
        resolution = self._resolution or await self.resolve()
        if resolution.session is None:
            raise resolution.error or NotAuthenticated
        return resolution.session

    async def resolve(self) -> Resolution:
        """What was found out; see ``core/resolver.py``. Raises ``CrossSiteRequest`` only."""
        if self._resolution is None:
            presented = self.credentials()
            # A bearer is sent by the caller's own code, never by a browser alone (CS-05, CS-09).
            if presented.bearer is None and (presented.session or presented.refresh):
                self.refuse_cross_site()
            self._resolution = await self._sessions.resolver.resolve(presented)
        return self._resolution

    @property
    def authenticator(self) -> Authenticator:
        """What begins, switches and ends sessions."""
        return self._sessions.authenticator

    def now(self) -> float:
        """Epoch seconds, by the clock of the ``Descope`` object."""
        return self._sessions.clock()

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
            self.presented = _Presented(self._sessions.cookies, self._scope)
            if self.presented.tokens.ambiguous:
                self._sessions.events.emit(CookieAmbiguous())
        presented = self.presented
        return Credentials(
            bearer=presented.bearer,
            session=presented.tokens.session,
            refresh=presented.tokens.refresh,
            ambiguous=presented.tokens.ambiguous,
            may_refresh=presented.on_purpose and not self._started,
            scheme=presented.scheme,
        )

    def refuse_cross_site(self) -> None:
        """Raise ``CrossSiteRequest`` if another site's page may have sent this (requirements 2.7, WS-01)."""
        scope, origins = self._scope, self._sessions.origins
        if scope["type"] == "websocket":
            permitted = origins.permits_websocket(scope["headers"], scope)
        else:
            permitted = origins.permits(scope["method"], scope["headers"], scope)
        if not permitted:
            self._sessions.events.emit(CrossSiteRefused())
            raise CrossSiteRequest

    # ------------------------------------------------------------------ answering

    def write(self, pair: TokenPair) -> None:
        """Have the response carry the cookies of ``pair``, whatever a refresh beside it brings."""
        self._written = pair

    def clear(self) -> None:
        """Have the response delete the session's cookies, whatever a refresh beside it brings."""
        self._written = CookieChange.CLEAR

    def heal(self) -> None:
        """Have the response delete the twins of our cookies, if a name came with two values (CK-02).

        Our own ones stay: alone, a planted cookie would make the user somebody else (CK-11).
        """
        if self.credentials().ambiguous and self.presented is not None:
            secure = self._sessions.origins.secure(self._scope)
            self.queue(self._sessions.cookies.heal(self.presented.tokens, secure=secure))

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
            self._written = CookieChange.KEEP  # the error page starts a response too
            raise
        # The app's own headers and cookies stay, in their order (CK-10).
        message["headers"] = [*message.get("headers", ()), *((b"set-cookie", value) for value in cookies)]
        if self._scope["type"] == "http":
            _tell_caches(MutableHeaders(scope=message), sets_cookies=bool(cookies))

    async def _cookies(self) -> list[bytes]:
        change = self._written or await self._found()
        if change is CookieChange.KEEP:
            return []
        cookies, scope = self._sessions.cookies, self._scope
        secure = self._sessions.origins.secure(scope)
        tokens = self.presented.tokens if self.presented else cookies.read(scope["headers"])
        if isinstance(change, TokenPair):
            return cookies.write(change, now=self.now(), secure=secure, presented=tokens)
        if change is CookieChange.CLEAR_REFRESH:
            return cookies.clear_refresh(tokens, secure=secure)
        return cookies.clear(tokens, secure=secure)

    async def _found(self) -> TokenPair | CookieChange:
        """What is to become of the cookies by what was found out about the request's own session."""
        resolution, resolver = self._resolution, self._sessions.resolver
        if resolution is None:
            return CookieChange.KEEP
        if resolution.renewal is not None or resolution.pair is not None:
            resolution = self._resolution = await resolver.settle(resolution)
            await resolver.delivered(resolution)
        return resolution.pair or resolution.cookies


class _Presented:
    """The credentials in a request's headers, and whether the request was made on purpose."""

    __slots__ = ("bearer", "on_purpose", "scheme", "tokens")

    def __init__(self, cookies: SessionCookies, scope: Scope) -> None:
        authorization: list[bytes] = []
        # Preflights and prefetches are nobody's wish: they must not have effects (RF-13).
        self.on_purpose = scope["type"] != "http" or scope["method"] != "OPTIONS"
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization.append(value)
            elif name in _PURPOSES and b"prefetch" in value.lower():
                self.on_purpose = False
        self.bearer, self.scheme = _bearer(authorization)
        self.tokens: PresentedTokens = cookies.read(scope["headers"])


def _bearer(values: list[bytes]) -> tuple[str | None, str]:
    """The bearer token, and the scheme; "" for anything else in the header: a bad token (KD-08, RFC 6750)."""
    if not values:
        return None, "bearer"
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    scheme = scheme.lower() if scheme.lower() in _SCHEMES else "other"
    bad = len(values) > 1 or scheme != "bearer" or not token.isascii()
    bad = bad or any(character <= " " or character == "," for character in token)
    return "" if bad else token, scheme


def _tell_caches(headers: MutableHeaders, *, sets_cookies: bool) -> None:
    """Say that the answer depends on who asks; and keep a ``Set-Cookie`` out of every shared cache.

    A cached ``Set-Cookie`` hands one user's session to the next (CA-01, CA-02; CVE-2025-48947), whatever
    the status: a 304 updates what a cache holds (CA-04).
    """
    _vary(headers, ("Cookie",) if sets_cookies else ("Cookie", "Authorization"))
    if not sets_cookies:
        headers.setdefault("Cache-Control", "private")
        return
    headers["Cache-Control"] = "private, no-store"
    for name in [name for name in headers if name.endswith(_SHARED_CACHE_HEADERS)]:
        del headers[name]


def _vary(headers: MutableHeaders, names: tuple[str, ...]) -> None:
    """Merge ``names`` into ``Vary``; the app's own entries stay first, and ``*`` says it all already."""
    if "vary" not in headers:
        headers.append("Vary", ", ".join(names))
        return
    present = [entry.strip() for line in headers.getlist("vary") for entry in line.split(",")]
    known = {entry.lower() for entry in present}
    if "*" not in known:
        added = [name for name in names if name.lower() not in known]
        headers["Vary"] = ", ".join([entry for entry in present if entry] + added)
