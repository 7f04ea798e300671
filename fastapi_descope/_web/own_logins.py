"""Mark the logins that begin with a redirect of the app, so that they need no confirmation.

A link in an e-mail to a protected page leads to the login by our redirect. Browsers call that navigation
cross-site, as they do for a link of another site to the login itself. So the redirect sets a cookie with the
hash of the login's query, which the login accepts once (CB-15).
"""

from hashlib import sha256
from urllib.parse import parse_qsl

from starlette.types import Scope

from .._encoding import base64url_encode
from .cookies import CookieAttributes, SessionCookies
from .credentials import cookie_pairs

__all__ = ["OwnLogins"]

_SECONDS = 60

_OWN_PARAMETERS = frozenset({"return_to", "step_up", "mfa"})
"""The parameters of our redirects. Over plain http a sibling domain can write the cookie, for these only."""


class OwnLogins:
    """The mark of a login that our own redirect begins: a cookie of the browser, for one query."""

    def __init__(self, cookies: SessionCookies) -> None:
        self._use_secure = cookies.use_secure
        self._attributes = {
            secure: CookieAttributes.of(same_site="lax", secure=secure) for secure in (False, True)
        }

    def mark(self, scope: Scope, url: str) -> list[bytes]:
        """Return the ``Set-Cookie`` values that mark the login at ``url``."""
        secure = self._use_secure(scope)
        value = _hash(url.partition("?")[2].encode())
        return [self._attributes[secure].set_cookie(_name(secure=secure), value, _SECONDS)]

    def take(self, scope: Scope) -> tuple[bool, list[bytes]]:
        """Return whether a login is marked, and the ``Set-Cookie`` values that delete the mark."""
        secure = self._use_secure(scope)
        name, query = _name(secure=secure), scope["query_string"]
        marks = [
            value for key, value in cookie_pairs(scope["headers"], name.encode()) if key == name.encode()
        ]
        names = {key for key, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
        is_own = marks == [_hash(query).encode()] and names <= _OWN_PARAMETERS
        return is_own, self._attributes[secure].delete_cookies([name] if marks else [])


def _name(*, secure: bool) -> str:
    return "__Host-descope_own_login" if secure else "descope_own_login"


def _hash(query: bytes) -> str:
    return base64url_encode(sha256(query).digest())[:22]
