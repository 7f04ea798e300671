"""Mark the logins that begin with a redirect of the app, so that they need no confirmation.

A link in an e-mail to a protected page leads to the login by our redirect. Browsers call that navigation
cross-site, as they do for a link of another site to the login itself. So the redirect sets a cookie with the
hash of the login's query, which the login accepts once (CB-15).
"""

from urllib.parse import parse_qsl

from starlette.types import Scope

from .cookies import SessionCookies
from .marker_cookie import MarkerCookie, marker_hash

__all__ = ["OwnLogins"]

_OWN_PARAMETERS = frozenset({"return_to", "step_up", "mfa"})
"""The parameters of our redirects. Over plain http a sibling domain can write the cookie, for these only."""


class OwnLogins:
    """The mark of a login that our own redirect begins: a cookie of the browser, for one query."""

    def __init__(self, cookies: SessionCookies) -> None:
        self._cookie = MarkerCookie("descope_own_login", cookies)

    def mark(self, scope: Scope, url: str) -> list[bytes]:
        """Return the ``Set-Cookie`` values that mark the login at ``url``."""
        return self._cookie.set(scope, marker_hash(url.partition("?")[2].encode()))

    def take(self, scope: Scope) -> tuple[bool, list[bytes]]:
        """Return whether a login is marked, and the ``Set-Cookie`` values that delete the mark."""
        marks, query = self._cookie.values(scope), scope["query_string"]
        names = {key for key, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
        is_own = marks == [marker_hash(query).encode()] and names <= _OWN_PARAMETERS
        return is_own, self._cookie.delete(scope) if marks else []
