"""The cookies of a session in a response: set, deleted, chunked, and kept out of shared caches."""

import math
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope

from .._auth.credentials import CookieAction, Credentials
from .._config.origin import Origin
from .._telemetry.log_once import LogOnce
from .._tokens.claims import looks_like_jwt
from ..errors import SessionEnded, SessionTooLarge, TokenError, TokenReason
from ..session import TokenPair
from ..settings import DescopeSettings
from .credentials import TokenCookie
from .public_origin import PublicOrigin

__all__ = ["CookieAttributes", "ResponseCookies", "SessionCookies"]

_MAX_DOMAINS = 4

_MANY_HEADER_BYTES = 4_000
"""The header bytes that fit into one memory page, nginx's default buffer, with those that the server adds."""

_MANY_HEADERS = (
    "The headers of a response have more than 4,000 bytes, because the tokens in its cookies are large. nginx"
    " answers 502 to it by default: set proxy_buffer_size 32k and proxy_buffers 4 32k, and"
    " large_client_header_buffers 4 32k for the requests. Other proxies have similar limits; without a proxy"
    " there is nothing to do"
)

_SHARED_CACHE_HEADERS = ("expires", "surrogate-control", "cdn-cache-control")
"""Suffixes of header names that override ``Cache-Control`` in some caches (RFC 9213, X-Accel-Expires)."""

_CACHE_HEADERS = frozenset({b"cache-control", b"vary"})

_CLEAR_PREFETCHED = (b"clear-site-data", b'"prefetchCache", "prerenderCache"')
"""Chromium shows a prefetched page after a logout, in spite of ``no-store`` and ``Vary`` (CA-06).

Other directives would delete the data of every app on the host (LO-05).
"""

_VARY = (b"vary", b"Cookie, Authorization")


@dataclass(frozen=True, slots=True)
class CookieAttributes:
    """The attributes that several cookies share, formatted once."""

    attributes: str

    @classmethod
    def of(cls, *, same_site: str, secure: bool, domain: str | None = None) -> Self:
        """Return attributes for cookies that are sent to every path and hidden from scripts (CK-04)."""
        scope = f"; Path=/; Domain={domain}" if domain else "; Path=/"
        flags = f"; HttpOnly; SameSite={same_site.capitalize()}"
        return cls(f"{scope}{flags}; Secure" if secure else f"{scope}{flags}")

    def set_cookie(self, name: str, value: str, max_age: int) -> bytes:
        """Return the ``Set-Cookie`` value that sets a cookie for ``max_age`` seconds."""
        return f"{name}={value}; Max-Age={max_age}{self.attributes}".encode("ascii")

    def delete_cookies(self, names: Iterable[str]) -> list[bytes]:
        """Return the ``Set-Cookie`` values that delete cookies, with the attributes that set them (CK-07)."""
        past = f"Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{self.attributes}"
        return [f"{name}=; {past}".encode("ascii") for name in sorted(names)]


class SessionCookies:
    """Writes and deletes the two cookies of a session.

    With a name prefix or ``SameSite=None`` the cookies are always ``Secure``, because a browser would reject
    them otherwise.

    """

    def __init__(self, settings: DescopeSettings) -> None:
        same_site = settings.cookie_samesite
        cache_control = b"private, no-store" if settings.no_store else b"private"
        self._cache_headers = (_VARY, (b"cache-control", cache_control))
        self._session = TokenCookie(settings.session_cookie)
        self._refresh = TokenCookie(settings.refresh_cookie)
        self._public_origin = PublicOrigin(settings)
        self._secure = settings.cookie_secure
        if self._secure is None and settings.public_url is not None:
            self._secure = settings.public_url.startswith("https://")
        self._only_secure = bool(settings.cookie_prefix) or same_site == "none"
        self._domain = settings.cookie_domain
        # A __Host- cookie has no Domain, so no duplicate of it can have one.
        parents = () if settings.cookie_prefix == "__Host-" else _domains(settings.public_url)
        self._duplicate_domains = tuple(each for each in (None, *parents) if each != self._domain)
        self._former = _former_cookies(settings)
        self._log_once = LogOnce()
        self._attributes_by_scope = {
            (secure, domain): CookieAttributes.of(same_site=same_site, secure=secure, domain=domain)
            for secure in (False, True)
            for domain in (self._domain, *self._duplicate_domains, *(domain for _, domain in self._former))
        }

    def use_secure(self, scope: Scope) -> bool:
        """Return whether cookies are ``Secure``, as the settings say (CK-05).

        If they leave it open, cookies are always ``Secure``, except over plain http on loopback.
        """
        if self._secure is not None:
            return self._secure
        origin = self._public_origin.get(scope)
        return origin is None or origin.startswith("https://")

    def write(self, pair: TokenPair, *, now: float, secure: bool, credentials: Credentials) -> list[bytes]:
        """Return the ``Set-Cookie`` values for both tokens, and deletions of our other cookies.

        Each cookie lives as long as its token. With an inactivity timeout the session cookie expires at
        ``refresh_at``, so that the next request refreshes.

        Chunks that are no longer used are deleted, and so is the whole cookie that chunks replace (CK-08). So
        are the cookies of earlier settings that the browser still has (CK-13). No cookie is both set and
        deleted (CK-09).

        Raises:
            SessionTooLarge: a token needs more than four chunks.
            TokenError: a token is not a JWT.
        """
        attributes = self._attributes(self._domain, secure=secure)
        values: list[bytes] = []
        kept: set[str] = set()
        for cookie, token, expires_at in (
            (self._session, pair.session_jwt, min(pair.session.expires_at, pair.refresh_at or math.inf)),
            (self._refresh, pair.refresh.text, pair.refresh.expires_at),
        ):
            chunks = cookie.split(_require_jwt(token))
            values += [attributes.set_cookie(*item, max(0, int(expires_at - now))) for item in chunks.items()]
            kept.update(chunks)
        values += attributes.delete_cookies(credentials.cookie_names - kept)
        return values + self._delete_former(credentials, secure=secure)

    def delete_duplicates(self, names: Iterable[str], *, secure: bool) -> list[bytes]:
        """Return deletions of cookies with these names under every other ``Domain`` that this host may use.

        A duplicate that is bound to a path stays, because a request does not reveal the path.
        """
        names = tuple(names)
        scopes = [self._attributes(domain, secure=secure) for domain in self._duplicate_domains]
        return [value for attributes in scopes for value in attributes.delete_cookies(names)]

    def clear(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """Return the ``Set-Cookie`` values that delete both cookies, with their chunks and former ones."""
        values = self._clear((self._session, self._refresh), credentials, secure=secure)
        return values + self._delete_former(credentials, secure=secure)

    def clear_refresh(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """Do what ``clear`` does, for the refresh cookie only (KD-02)."""
        return self._clear((self._refresh,), credentials, secure=secure)

    def set_cache_headers(self, message: Message) -> None:
        """Tell caches that a response depends on the session. It sets no cookie."""
        headers = message["headers"] = [*message.get("headers", ())]
        for name, _ in headers:
            if name in _CACHE_HEADERS:
                _merge_cache_headers(message, self._cache_headers)
                return
        headers += self._cache_headers

    def report_size(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Log once that the headers of a response are larger than many proxies accept (CK-14)."""
        if sum(len(name) + len(value) + len(": \r\n") for name, value in headers) > _MANY_HEADER_BYTES:
            self._log_once.warning(_MANY_HEADERS)

    def _clear(
        self, cookies: Iterable[TokenCookie], credentials: Credentials, *, secure: bool
    ) -> list[bytes]:
        names = {
            name for cookie in cookies for name in (cookie.name, *(cookie.names & credentials.cookie_names))
        }
        return self._attributes(self._domain, secure=secure).delete_cookies(names)

    def _delete_former(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """Return deletions of the cookies of earlier settings that the browser sent."""
        sent = credentials.cookie_names | credentials.former_names
        return [
            value
            for cookie, domain in self._former
            for value in self._attributes(
                domain, secure=secure or cookie.name.startswith("__")
            ).delete_cookies(cookie.names & sent)
        ]

    def _attributes(self, domain: str | None, *, secure: bool) -> CookieAttributes:
        return self._attributes_by_scope[secure or self._only_secure, domain]


def _former_cookies(settings: DescopeSettings) -> list[tuple[TokenCookie, str | None]]:
    """Return the cookies of earlier settings, with the domain for which each was set.

    With a ``Domain``, a release without one has set the same names for the host alone.
    """
    listed = (each.partition("; Domain=") for each in settings.former_cookies)
    scopes: list[tuple[str, str | None]] = [(name, domain or None) for name, _, domain in listed]
    if settings.cookie_domain is not None:
        scopes += [(settings.session_cookie, None), (settings.refresh_cookie, None)]
    return [(TokenCookie(name), domain) for name, domain in dict.fromkeys(scopes)]


def _domains(public_url: str | None) -> list[str]:
    """Return the ``Domain`` values that a browser accepts from this host: its name and its parent domains."""
    origin = Origin.parse(public_url or "")
    labels = [] if origin is None or origin.is_address else origin.host.split(".")
    return [".".join(labels[start:]) for start in range(len(labels) - 1)][-_MAX_DOMAINS:]


def _require_jwt(text: str) -> str:
    """Return ``text`` if it has the grammar of a JWT. It becomes part of a header."""
    if not looks_like_jwt(text):
        raise TokenError(TokenReason.MALFORMED)
    return text


class ResponseCookies:
    """The ``Set-Cookie`` values of the response to one request.

    Attributes:
        decision: What a route decided for the cookies of the session, which overrides the result of
            authentication.
    """

    __slots__ = ("_cookies", "_queued", "_scope", "decision")

    def __init__(self, cookies: SessionCookies, scope: Scope) -> None:
        self._cookies = cookies
        self._scope = scope
        self._queued: list[bytes] = []
        self.decision: TokenPair | CookieAction | None = None

    def write(self, pair: TokenPair) -> None:
        """Write the cookies of ``pair``, whatever a concurrent refresh results in."""
        self.decision = pair

    def clear(self) -> None:
        """Delete the cookies of the session, whatever a concurrent refresh results in."""
        self.decision = CookieAction.CLEAR

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

    def delete_duplicates(self, names: Iterable[str]) -> bool:
        """Delete cookies with these names under other domains, and return whether the app can have any there.

        Our own cookies stay: otherwise a planted one would remain alone, and sign in another user (CK-11).
        """
        values = self._cookies.delete_duplicates(names, secure=self._cookies.use_secure(self._scope))
        self.add(values)
        return bool(values)

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
            SessionTooLarge: The tokens of a route do not fit into cookies. The error response can then be
                started, with the cookies of a refresh.
        """
        try:
            values = self._queued + self._session_cookies(change, credentials, now)
        except SessionTooLarge:
            self.decision = None
            raise
        headers = [*message.get("headers", ())]
        if self.decision is not None:
            headers.append(_CLEAR_PREFETCHED)
        if values:
            headers += [(b"set-cookie", value) for value in values]
            self._cookies.report_size(headers)
        message["headers"] = headers
        if self._scope["type"] == "http":
            if values:
                _forbid_caching(message)
            else:
                self._cookies.set_cache_headers(message)

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
def _forbid_caching(message: Message) -> None:
    """Set ``Vary`` and ``Cache-Control`` on a response that sets cookies."""
    headers = MutableHeaders(scope=message)
    _vary(headers, ("Cookie",))
    headers["Cache-Control"] = "private, no-store"
    for name in [name for name in headers if name.endswith(_SHARED_CACHE_HEADERS)]:
        del headers[name]


def _merge_cache_headers(message: Message, defaults: tuple[tuple[bytes, bytes], tuple[bytes, bytes]]) -> None:
    """Set ``Vary`` and ``Cache-Control`` on a response that depends on the session, and has one of them."""
    headers = MutableHeaders(scope=message)
    _vary(headers, ("Cookie", "Authorization"))
    headers.setdefault("Cache-Control", defaults[1][1].decode("ascii"))


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
