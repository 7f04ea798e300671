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
    """The attributes that a family of cookies shares, written out once."""

    attributes: str

    @classmethod
    def of(cls, *, same_site: str, secure: bool, domain: str | None = None) -> Self:
        """The kind that is sent to every path of the site and hidden from scripts (CK-04)."""
        scope = f"; Path=/; Domain={domain}" if domain else "; Path=/"
        flags = f"; HttpOnly; SameSite={same_site.capitalize()}"
        return cls(f"{scope}{flags}; Secure" if secure else f"{scope}{flags}")

    def setting(self, name: str, value: str, max_age: int) -> bytes:
        """The ``Set-Cookie`` value that sets the cookie for ``max_age`` seconds."""
        return f"{name}={value}; Max-Age={max_age}{self.attributes}".encode("ascii")

    def deletions(self, names: Iterable[str]) -> list[bytes]:
        """The ``Set-Cookie`` values that remove these cookies: same attributes, in the past (CK-07)."""
        past = f"Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{self.attributes}"
        return [f"{name}=; {past}".encode("ascii") for name in sorted(names)]


class SessionCookies:
    """Writes and clears the two cookies of a session under one configuration.

    With a name prefix or ``SameSite=None`` the cookies are ``Secure`` even where the caller says
    otherwise, since a browser drops them without.
    """

    def __init__(self, settings: DescopeSettings) -> None:
        same_site = settings.cookie_samesite
        self._session = TokenCookie(settings.session_cookie)
        self._refresh = TokenCookie(settings.refresh_cookie)
        self._public_origin = PublicOrigin(settings)
        self._secure = settings.cookie_secure
        self._only_secure = bool(settings.cookie_prefix) or same_site == "none"
        self._domain = settings.cookie_domain
        # What a prefix promises, no twin can have: with __Host- there is no Domain.
        others = () if settings.cookie_prefix == "__Host-" else _domains(settings.public_url)
        self._other_domains = tuple(each for each in (None, *others) if each != self._domain)
        self._kinds = {
            (secure, domain): CookieAttributes.of(same_site=same_site, secure=secure, domain=domain)
            for secure in (False, True)
            for domain in (self._domain, *self._other_domains)
        }

    def use_secure(self, scope: Scope) -> bool:
        """Return whether cookies are ``Secure``: always, except over plain http on loopback (CK-05)."""
        if self._secure is not None:
            return self._secure
        origin = self._public_origin.get(scope)
        return origin is None or origin.startswith("https://")

    def write(self, pair: TokenPair, *, now: float, secure: bool, credentials: Credentials) -> list[bytes]:
        """``Set-Cookie`` values for both tokens, and deletions of what else the browser holds of ours.

        Each cookie lives as long as its token. Under an inactivity timeout the session's goes earlier, when
        Descope wants to be asked again (``refresh_at``), so that the next request refreshes.

        Chunks that are no longer used go, and so does the whole cookie that chunks replace (CK-08); no
        cookie is both set and deleted (CK-09). After an ambiguous request the twins of the same names go
        too: to a browser they are different cookies.

        Raises ``SessionTooLarge`` if a token needs more than four chunks, and ``TokenError`` for a text
        that is no JWT.
        """
        kind = self._kind(self._domain, secure=secure)
        lines: list[bytes] = []
        kept: set[str] = set()
        for cookie, token, expires_at in (
            (self._session, pair.session_jwt, min(pair.session.expires_at, pair.refresh_at or math.inf)),
            (self._refresh, pair.refresh.text, pair.refresh.expires_at),
        ):
            values = cookie.split(_require_jwt(token))
            lines += [kind.setting(*item, max(0, int(expires_at - now))) for item in values.items()]
            kept.update(values)
        lines += kind.deletions(credentials.cookie_names - kept)
        return lines + self._duplicate_deletions(credentials.cookie_names, credentials, secure=secure)

    def drop_duplicates(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """Deletions of whatever stands beside our own cookies after an ambiguous request (CK-02).

        Twins that are bound to one path stay: nobody can see which path it is.
        """
        return self._duplicate_deletions(credentials.cookie_names, credentials, secure=secure)

    def clear(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """``Set-Cookie`` values that end the session in the browser: both cookies, and what it holds.

        After an ambiguous request they delete the twins too (CK-02).
        """
        return self._clear((self._session, self._refresh), credentials, secure=secure)

    def clear_refresh(self, credentials: Credentials, *, secure: bool) -> list[bytes]:
        """As ``clear``, for the refresh cookie and its chunks alone (KD-02)."""
        return self._clear((self._refresh,), credentials, secure=secure)

    def _clear(
        self, cookies: Iterable[TokenCookie], credentials: Credentials, *, secure: bool
    ) -> list[bytes]:
        names = {
            name for cookie in cookies for name in (cookie.name, *(cookie.names & credentials.cookie_names))
        }
        lines = self._kind(self._domain, secure=secure).deletions(names)
        return lines + self._duplicate_deletions(names, credentials, secure=secure)

    def _duplicate_deletions(
        self, names: Iterable[str], credentials: Credentials, *, secure: bool
    ) -> list[bytes]:
        """Deletions of the names under every other ``Domain`` that this host may use, and under none."""
        names = tuple(names) if credentials.ambiguous else ()
        kinds = [self._kind(domain, secure=secure) for domain in self._other_domains]
        return [line for kind in kinds for line in kind.deletions(names)]

    def _kind(self, domain: str | None, *, secure: bool) -> CookieAttributes:
        return self._kinds[secure or self._only_secure, domain]


def _domains(public_url: str | None) -> list[str]:
    """The ``Domain`` values that a browser may take from this host: its own name, and its parents'."""
    origin = Origin.parse(public_url or "")
    labels = [] if origin is None or origin.is_address else origin.host.split(".")
    return [".".join(labels[start:]) for start in range(len(labels) - 1)][-_MAX_DOMAINS:]


def _require_jwt(text: str) -> str:
    """The text, if its grammar is that of a JWT: what follows is a header line."""
    if not looks_like_jwt(text):
        raise TokenError(TokenReason.MALFORMED)
    return text
