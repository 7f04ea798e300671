"""Write the cookies of a session: ``Set-Cookie`` values for the session token and the refresh token.

The values are composed of checked settings and of tokens whose grammar has no room for a ``;``.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from starlette.types import Scope

from .._auth.authenticator import Credentials
from .._config.origin import Origin
from .._tokens.claims import looks_like_jwt
from ..errors import TokenError, TokenReason
from ..session import TokenPair
from ..settings import DescopeSettings
from .credentials import TokenCookie
from .public_origin import PublicOrigin

__all__ = ["CookieAttributes", "SessionCookies"]

_MAX_DOMAINS = 4


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
        self._attributes_by_scope = {
            (secure, domain): CookieAttributes.of(same_site=same_site, secure=secure, domain=domain)
            for secure in (False, True)
            for domain in (self._domain, *self._duplicate_domains)
        }

    def use_secure(self, scope: Scope) -> bool:
        """Return whether cookies are ``Secure``: always, except over plain http on loopback (CK-05)."""
        if self._secure is not None:
            return self._secure
        origin = self._public_origin.get(scope)
        return origin is None or origin.startswith("https://")

    def write(self, pair: TokenPair, *, now: float, secure: bool, credentials: Credentials) -> list[bytes]:
        """Return the ``Set-Cookie`` values for both tokens, and deletions of our other cookies.

        Each cookie lives as long as its token. With an inactivity timeout the session cookie expires at
        ``refresh_at``, so that the next request refreshes.

        Chunks that are no longer used are deleted, and so is the whole cookie that chunks replace (CK-08). No
        cookie is both set and deleted (CK-09). After an ambiguous request the duplicates under other domains
        are deleted too.

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
        return values + self.drop_duplicates(credentials, secure=secure)

    def drop_duplicates(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """Return deletions of the duplicates of our cookies after an ambiguous request (CK-02).

        A duplicate that is bound to a path stays, because a request does not reveal the path.
        """
        return self._delete_duplicates(credentials.cookie_names, credentials, secure=secure)

    def clear(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """Return the ``Set-Cookie`` values that delete both cookies, with their chunks.

        After an ambiguous request they also delete the duplicates (CK-02).
        """
        return self._clear((self._session, self._refresh), credentials, secure=secure)

    def clear_refresh(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """Do what ``clear`` does, for the refresh cookie only (KD-02)."""
        return self._clear((self._refresh,), credentials, secure=secure)

    def _clear(
        self, cookies: Iterable[TokenCookie], credentials: Credentials, *, secure: bool
    ) -> list[bytes]:
        names = {
            name for cookie in cookies for name in (cookie.name, *(cookie.names & credentials.cookie_names))
        }
        deletions = self._attributes(self._domain, secure=secure).delete_cookies(names)
        return deletions + self._delete_duplicates(names, credentials, secure=secure)

    def _delete_duplicates(
        self, names: Iterable[str], credentials: Credentials, *, secure: bool
    ) -> list[bytes]:
        """Delete the names under every other ``Domain`` that this host may use, and without ``Domain``."""
        names = tuple(names) if credentials.ambiguous else ()
        scopes = [self._attributes(domain, secure=secure) for domain in self._duplicate_domains]
        return [value for attributes in scopes for value in attributes.delete_cookies(names)]

    def _attributes(self, domain: str | None, *, secure: bool) -> CookieAttributes:
        return self._attributes_by_scope[secure or self._only_secure, domain]


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
