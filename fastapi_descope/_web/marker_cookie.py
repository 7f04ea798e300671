"""A cookie that marks a browser for a minute, for login loops and for the app's own logins."""

from hashlib import sha256

from starlette.types import Scope

from .._encoding import base64url_encode
from .cookies import CookieAttributes, SessionCookies
from .credentials import cookie_pairs

__all__ = ["MarkerCookie", "marker_hash"]

_SECONDS = 60


class MarkerCookie:
    """A cookie for this host only, ``SameSite=Lax``. Over https its name has the prefix ``__Host-``.

    Args:
        name: The name without the prefix.
        cookies: The session cookies, which decide whether a request is secure.
    """

    def __init__(self, name: str, cookies: SessionCookies) -> None:
        self._use_secure = cookies.use_secure
        self._names = {False: name, True: f"__Host-{name}"}
        self._attributes = {
            secure: CookieAttributes.of(same_site="lax", secure=secure) for secure in self._names
        }

    def set(self, scope: Scope, value: str) -> list[bytes]:
        """Return the ``Set-Cookie`` values that set the cookie."""
        secure = self._use_secure(scope)
        return [self._attributes[secure].set_cookie(self._names[secure], value, _SECONDS)]

    def delete(self, scope: Scope) -> list[bytes]:
        """Return the ``Set-Cookie`` values that delete the cookie."""
        secure = self._use_secure(scope)
        return self._attributes[secure].delete_cookies([self._names[secure]])

    def values(self, scope: Scope) -> list[bytes]:
        """Return the values that the browser sent: several if a sibling domain has set one too."""
        name = self._names[self._use_secure(scope)].encode("ascii")
        return [value for key, value in cookie_pairs(scope["headers"], name) if key == name]


def marker_hash(marked: bytes) -> str:
    """Return a hash of 132 bits for the value of a marker."""
    return base64url_encode(sha256(marked).digest())[:22]
