"""The cookies and the cache headers of one response."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope

from .._auth.authenticator import CookieAction, Credentials
from ..errors import SessionEnded, SessionTooLarge
from ..session import TokenPair
from .cookies import SessionCookies

__all__ = ["ResponseCookies"]

_SHARED_CACHE_HEADERS = ("expires", "surrogate-control", "cdn-cache-control", "x-accel-expires")
"""How the names of headers end that override ``Cache-Control`` in some caches (RFC 9213, and nginx)."""

_CACHE_HEADERS = frozenset({b"cache-control", b"vary"})

_PRIVATE = ((b"vary", b"Cookie, Authorization"), (b"cache-control", b"private"))


class ResponseCookies:
    """The ``Set-Cookie`` values of the response to one request.

    Attributes:
        accessed: Whether the request's credentials were read, or a cookie was set. The response depends on
            the session then, and caches have to know it.
        decision: What a route decided for the cookies of the session, which overrides the result of
            authentication.
    """

    __slots__ = ("_cookies", "_queued", "_scope", "accessed", "decision")

    def __init__(self, cookies: SessionCookies, scope: Scope) -> None:
        self._cookies = cookies
        self._scope = scope
        self._queued: list[bytes] = []
        self.accessed = False
        self.decision: TokenPair | CookieAction | None = None

    def write(self, pair: TokenPair) -> None:
        """Write the cookies of ``pair``, whatever a concurrent refresh results in."""
        self.decision, self.accessed = pair, True

    def clear(self) -> None:
        """Delete the cookies of the session, whatever a concurrent refresh results in."""
        self.decision, self.accessed = CookieAction.CLEAR, True

    @contextmanager
    def clear_if_ended(self) -> Generator[None]:
        """Delete the cookies of the session if the block raises ``SessionEnded``."""
        try:
            yield
        except SessionEnded:
            self.clear()
            raise

    def add(self, values: Sequence[bytes]) -> None:
        """Add further ``Set-Cookie`` values."""
        self._queued += values
        self.accessed = self.accessed or bool(values)

    def drop_duplicates(self, credentials: Credentials) -> None:
        """Delete the duplicates of our cookies, if a cookie name came with two different values (CK-02).

        Our own cookies stay: otherwise a planted one would remain alone, and sign in another user (CK-11).
        """
        if credentials.ambiguous:
            secure = self._cookies.use_secure(self._scope)
            self.add(self._cookies.drop_duplicates(credentials, secure=secure))

    def set_headers(
        self, message: Message, change: TokenPair | CookieAction, credentials: Credentials, now: float
    ) -> None:
        """Add the cookies and the cache headers to the message that starts the response.

        Args:
            message: The ASGI message. Its own headers and cookies stay, in their order (CK-10).
            change: What happens to the cookies of the session.
            credentials: Those of the request.
            now: Epoch seconds.

        Raises:
            SessionTooLarge: The tokens do not fit into cookies. The error response can then be started.
        """
        try:
            values = self._queued + self._session_cookies(change, credentials, now)
        except SessionTooLarge:
            self.decision = CookieAction.KEEP
            raise
        headers = [*message.get("headers", ())]
        if values:
            headers += [(b"set-cookie", value) for value in values]
        message["headers"] = headers
        if self._scope["type"] == "http":
            _set_cache_headers(message, sets_cookies=bool(values))

    def _session_cookies(
        self, change: TokenPair | CookieAction, credentials: Credentials, now: float
    ) -> list[bytes]:
        if change is CookieAction.KEEP:
            return []
        secure = self._cookies.use_secure(self._scope)
        if isinstance(change, TokenPair):
            return self._cookies.write(change, now=now, secure=secure, credentials=credentials)
        if change is CookieAction.CLEAR_REFRESH:
            return self._cookies.clear_refresh(credentials, secure=secure)
        return self._cookies.clear(credentials, secure=secure)


# A cached ``Set-Cookie`` hands one user's session to another (CA-01, CA-02; CVE-2025-48947). The status does
# not matter: a 304 updates what a cache has stored (CA-04).
def _set_cache_headers(message: Message, *, sets_cookies: bool) -> None:
    """Set ``Vary`` and ``Cache-Control`` on a response that depends on the session."""
    if not sets_cookies:
        for name, _ in message["headers"]:
            if name in _CACHE_HEADERS:
                break
        else:  # most responses
            message["headers"] += _PRIVATE
            return
    headers = MutableHeaders(scope=message)
    _vary(headers, ("Cookie",) if sets_cookies else ("Cookie", "Authorization"))
    if not sets_cookies:
        headers.setdefault("Cache-Control", "private")
        return
    headers["Cache-Control"] = "private, no-store"
    for name in [name for name in headers if name.endswith(_SHARED_CACHE_HEADERS)]:
        del headers[name]


def _vary(headers: MutableHeaders, names: tuple[str, ...]) -> None:
    """Merge ``names`` into ``Vary``. The app's own entries stay first, and ``*`` includes all names."""
    if "vary" not in headers:
        headers.append("Vary", ", ".join(names))
        return
    present = [entry.strip() for line in headers.getlist("vary") for entry in line.split(",")]
    known = {entry.lower() for entry in present}
    if "*" not in known:
        added = [name for name in names if name.lower() not in known]
        headers["Vary"] = ", ".join([entry for entry in present if entry] + added)
