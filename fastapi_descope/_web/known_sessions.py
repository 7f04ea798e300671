"""The sessions of requests whose credentials this process has authenticated before.

The invariant: a hit is the result that a full authentication of the same bytes had, and would have again. The
key covers every Cookie and Authorization header, whatever is in them. An entry is the final result of such an
authentication. It counts until the authenticator would do something else, because a refresh is due or the
session has expired, and only under the same keys and the same ``on_session`` hooks. A request that has any
other header that the full authentication looks at is not looked up.
"""

from collections.abc import Callable
from hashlib import sha256

from starlette.types import Scope

from .._auth.auth_result import AuthResult
from .._auth.core import Core
from .._auth.credentials import Credentials
from .._lru_dict import LruDict
from .client_kind import PREFETCH_HEADERS
from .credentials import Headers
from .login_loops import MARKER

__all__ = ["KnownSessions"]

_HEADERS = frozenset(name.encode("ascii") for name in ("cookie", "authorization", *PREFETCH_HEADERS))
"""The headers that authentication depends on, besides those of the cross-site check."""

_MAX_BYTES = 16_384
"""Of all credentials together. Most servers accept no more, and hashing more takes longer than parsing it."""

_Validity = tuple[object, int]
"""The keys in force and the number of hooks: besides the credentials, results depend on these, and on
revocations, which remove them."""


# TV-20
class KnownSessions:
    """Results of authentication, by the SHA-256 of the credentials as they were sent: no token is stored.

    Args:
        core: The objects whose results these are.
        size: The number of results to keep; 0 keeps none.
    """

    def __init__(self, core: Core, size: int) -> None:
        self._size = size
        self._results = LruDict[bytes, AuthResult](size)
        self._validity: _Validity = (None, 0)
        self._forgotten = 0
        self.bind(core)

    def bind(self, core: Core) -> None:
        """Keep the results of the objects in ``core`` from now on, which may have been replaced."""
        # Not looked up in the core for each request, which would be measurable.
        self._clock = core.clock
        self._verifier = core.verifier
        self._gate = core.session_gate

    def find(self, scope: Scope) -> AuthResult | None:
        """Return the result for the credentials of a request, or None if a full authentication is necessary.

        The caller checks an unsafe method and a WebSocket for cross-site requests. Costs one pass over the
        headers and one SHA-256.
        """
        epoch, hook_count = self._validity
        if epoch is not self._verifier.epoch or hook_count != len(self._gate.hooks):
            return None
        if not self._verifier.has_fresh_keys():
            return None
        key = _key(scope["headers"])
        result = None if key is None else self._results.get(key)
        if key is None or result is None or self._clock() >= result.repeats_until:
            return None
        self._results.move_to_end(key)
        return result

    def validity(self) -> tuple[_Validity, int]:
        """Return what results depend on. Call it before an authentication, for ``remember``."""
        return (self._verifier.epoch, len(self._gate.hooks)), self._forgotten

    # RV-01
    def forget(self, concerns: Callable[[str], bool]) -> None:
        """Remove the results for users whose ids satisfy ``concerns``. Looks at every result."""
        self._forgotten += 1
        for key in [key for key, result in self._results.items() if _is_of(result, concerns)]:
            del self._results[key]

    def remember(
        self, scope: Scope, credentials: Credentials, result: AuthResult, validity: tuple[_Validity, int]
    ) -> None:
        """Keep a result, unless the full authentication of the same credentials has a further effect.

        Stray chunks are reported, and the marker of a login is deleted. Nor is a result kept if a revocation
        arrived since ``validity``.
        """
        in_force, forgotten = validity
        if not (self._size and result.repeats_until) or credentials.stray_chunks:
            return
        headers: Headers = scope["headers"]
        key = None if any(MARKER in value for _, value in headers) else _key(headers)
        if key is None or forgotten != self._forgotten:
            return
        if in_force != self._validity:
            self._results.clear()
            self._validity = in_force
        self._results.put(key, result)


def _is_of(result: AuthResult, concerns: Callable[[str], bool]) -> bool:
    return result.session is not None and concerns(result.session.user.id)


def _key(headers: Headers) -> bytes | None:
    """Return the SHA-256 of all credentials in the headers, or None if the request is not looked up."""
    cookies: bytes | None = None
    authorization = b""
    for name, value in headers:
        if name not in _HEADERS:
            continue
        if name == b"cookie":  # the reader joins several headers alike
            cookies = value if cookies is None else cookies + b";" + value
        elif name == b"authorization":  # no header has a line break
            authorization += b"\n" + value
        else:
            return None
    text = (cookies or b"") + authorization
    return sha256(text).digest() if len(text) <= _MAX_BYTES else None
