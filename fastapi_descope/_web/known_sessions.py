"""The sessions of requests whose cookies this process has authenticated before.

The invariant: a hit is the result that a full authentication of the same two cookie values had, and would
have again. An entry is the final result of such an authentication. It counts until the authenticator would do
something else, because a refresh is due or the session has expired, and only under the same keys and the same
``on_session`` hooks. A request that has anything else that the full authentication looks at is not looked up.
"""

from collections import OrderedDict
from hashlib import sha256

from starlette.types import Scope

from .._auth.authenticator import AuthResult
from .._auth.core import Core
from .._auth.credentials import Credentials
from ..settings import DescopeSettings
from .client_kind import PREFETCH_HEADERS
from .credentials import Headers, TokenCookie, pairs_in
from .login_loops import MARKER_NAMES

__all__ = ["KnownSessions"]

_OTHER_HEADERS = frozenset({b"authorization", *(name.encode("ascii") for name in PREFETCH_HEADERS)})

_Validity = tuple[object, int]
"""The keys in force and the number of hooks: besides the cookies, results depend on nothing else."""


# TV-20
class KnownSessions:
    """Results of authentication, by the SHA-256 of the two cookie values: no token is stored.

    Args:
        core: The objects whose results these are.
        settings: The cookie names, and the number of results to keep; 0 keeps none.
    """

    def __init__(self, core: Core, settings: DescopeSettings) -> None:
        self._core = core
        self._size = settings.token_cache_size
        self._session = settings.session_cookie.encode("ascii")
        self._refresh = settings.refresh_cookie.encode("ascii")
        names = {settings.session_cookie, settings.refresh_cookie}
        names |= {settings.session_cookie_name, settings.refresh_cookie_name}
        names |= {each.partition(";")[0] for each in settings.former_cookies}
        names |= MARKER_NAMES
        self._prefixes = tuple(name.encode("ascii") for name in names)
        others = {name.encode("ascii") for each in names for name in TokenCookie(each).names}
        self._others = others - {self._session, self._refresh}
        self._results: OrderedDict[bytes, AuthResult] = OrderedDict()
        self._validity: _Validity = (None, 0)

    def find(self, scope: Scope) -> AuthResult | None:
        """Return the result for the cookies of a request, or None if a full authentication is necessary.

        The caller checks an unsafe method and a WebSocket for cross-site requests. Costs one pass over the
        headers and one SHA-256.
        """
        core, (epoch, hook_count) = self._core, self._validity
        if epoch is not core.verifier.epoch or hook_count != len(core.session_gate.hooks):
            return None
        if not core.verifier.has_fresh_keys():
            return None
        cookies = self._cookies(scope["headers"])
        if cookies is None:
            return None
        digest = sha256(cookies).digest()
        result = self._results.get(digest)
        if result is None or core.clock() >= result.repeats_until:
            return None
        self._results.move_to_end(digest)
        return result

    def validity(self) -> _Validity:
        """Return what results depend on. Call it before an authentication, for ``remember``."""
        core = self._core
        return core.verifier.epoch, len(core.session_gate.hooks)

    def remember(self, credentials: Credentials, result: AuthResult, validity: _Validity) -> None:
        """Keep a result, unless it can differ from that of the next request with the same cookies."""
        if not (self._size and result.repeats_until and credentials.session):
            return
        if validity != self._validity:
            self._results.clear()
            self._validity = validity
        cookies = _key(credentials.session.encode(), (credentials.refresh or "").encode())
        self._results[sha256(cookies).digest()] = result
        if len(self._results) > self._size:
            self._results.popitem(last=False)

    def _cookies(self, headers: Headers) -> bytes | None:
        """Return the values of the two cookies, or None if the headers have anything else that matters."""
        jars: list[bytes] = []
        for name, value in headers:
            if name == b"cookie":
                jars.append(value)
            elif name in _OTHER_HEADERS:
                return None
        found: dict[bytes, bytes] = {}
        for name, value in pairs_in(b";".join(jars), self._prefixes):
            if name in found or name in self._others:
                return None
            found[name] = value
        return _key(found.get(self._session, b""), found.get(self._refresh, b""))


def _key(session: bytes, refresh: bytes) -> bytes:
    # No value contains a semicolon.
    return session + b";" + refresh
