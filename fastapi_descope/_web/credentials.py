"""Read the credentials of a request: its Authorization header and the cookies of its session.

The cookie parser is our own because the available ones are lenient. Starlette's and the standard library's
trim Unicode spaces off names, which undoes the ``__Host-`` guarantee, decode quoted octal escapes, and let
the last of two values win (requirements CK-01 and CK-02).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import islice, product

from starlette.types import Scope

from .._auth.credentials import Credentials
from .._telemetry.log_once import LogOnce
from .._tokens.claims import COMPACT_JWS
from ..errors import SessionTooLarge
from ..settings import DescopeSettings
from .client_kind import PREFETCH_HEADERS

__all__ = ["CredentialsReader", "Headers", "TokenCookie", "client_address", "cookie_pairs"]

Headers = Iterable[tuple[bytes, bytes]]
"""Request headers as ASGI passes them: lower-case names, one entry per header line."""

_SCHEMES = frozenset({"bearer", "basic", "digest", "dpop", "negotiate", "ntlm"})
"""Authorization schemes that events can contain. Any other value could be a token without a scheme."""

_PURPOSES = frozenset(name.encode("ascii") for name in PREFETCH_HEADERS)

_MAX_HEADER_BYTES = 65_536
_MAX_PAIRS = 1_000
_MAX_CHUNKS = 4
# The limit of browsers for the name and the value together (RFC 6265bis, section 5.7).
_MAX_COOKIE_BYTES = 4_096

# A sibling domain that knows the generation can plant chunks with it; no more combinations are tried.
_MAX_COMBINATIONS = 16

# Each of them can cost a logout one call to Descope.
_MAX_RIVALS = 8

_CHUNK = re.compile(rb"([0-9a-f]{8})~([2-4])~([A-Za-z0-9_.-]+)")


_UNREAD = (
    "A browser sends a token under a plain name ({}), which is not read: the session cookies are {} and {}."
    " If a Descope front-end SDK or another back end sets it, restore the plain names with"
    " DESCOPE_COOKIE_PREFIX= (empty). If an earlier release of this app set it, list it in"
    " DESCOPE_FORMER_COOKIES"
)


def cookie_pairs(headers: Headers, prefix: bytes | tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    """Return the name and the value of each cookie whose name starts with ``prefix``, or with one of several.

    Names and values are returned as sent and in the order sent. Nothing is decoded, and only spaces and tabs
    around a pair are removed. No browser sends more than 64 KiB of cookies or more than 1,000: such headers
    are not parsed, and the result is an empty list.
    """
    jar = b";".join([value for name, value in headers if name == b"cookie"])
    if len(jar) > _MAX_HEADER_BYTES:
        return []
    found: list[tuple[bytes, bytes]] = []
    start = 0
    for _ in range(_MAX_PAIRS):
        end = jar.find(b";", start)  # split() takes several times as long for long values
        pair = (jar[start:end] if end >= 0 else jar[start:]).strip(b" \t")
        if pair.startswith(prefix):
            name, equals, value = pair.partition(b"=")
            if equals:
                found.append((name, value))
        if end < 0:
            return found
        start = end + 1
    return []


class TokenCookie:
    """One token under one name: in a single cookie, or in two to four chunks, ``name.0`` to ``name.3``.

    A chunk has the form ``generation~count~part``. The generation is the start of the token's SHA-256, so
    that chunks of two different tokens are never joined.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.chunks = tuple(f"{name}.{index}" for index in range(_MAX_CHUNKS))
        self.names = frozenset((name, *self.chunks))
        self._chunk_names = frozenset(self.chunks)

    def join(self, values: Mapping[str, set[bytes]]) -> tuple[set[str], set[str]]:
        """Return the tokens in these cookies, and the names of the chunks that belong to none of them.

        There are two tokens or more if cookies conflict. Chunks that are not complete hide no token.
        """
        tokens = {value.decode("ascii") for value in values.get(self.name, ())}
        if self._chunk_names.isdisjoint(values):  # the usual case
            return tokens, set()
        used: set[tuple[str, bytes]] = set()
        for token, chunks in self._complete(values):
            tokens.add(token.decode("ascii"))
            used.update(chunks)
        stray = {name for name in self.chunks for value in values.get(name, ()) if (name, value) not in used}
        return tokens, stray

    def _complete(
        self, values: Mapping[str, set[bytes]]
    ) -> Iterator[tuple[bytes, tuple[tuple[str, bytes], ...]]]:
        """Yield each token of which all chunks are present, with the names and values of the chunks.

        A name can have several values: those of our own cookies, and those that a sibling domain has planted.
        """
        sets: dict[tuple[bytes, bytes], list[list[tuple[str, bytes]]]] = {}
        for index, name in enumerate(self.chunks):
            for value in sorted(values.get(name, ())):
                chunk = _CHUNK.fullmatch(value)
                if chunk and index < int(chunk[2]):
                    parts = sets.setdefault((chunk[1], chunk[2]), [[] for _ in range(int(chunk[2]))])
                    parts[index].append((name, value))
        for (generation, _), parts in sets.items():
            for chunks in islice(product(*parts), _MAX_COMBINATIONS):
                token = b"".join(value.split(b"~")[2] for _, value in chunks)
                if generation == _generation(token).encode("ascii") and COMPACT_JWS.fullmatch(token):
                    yield token, chunks

    def split(self, token: str) -> dict[str, str]:
        """Return the names and values of the cookies that hold ``token``.

        Raises:
            SessionTooLarge: The token needs more than four chunks.
        """
        if len(self.name) + len(token) <= _MAX_COOKIE_BYTES:
            return {self.name: token}
        generation = _generation(token.encode("ascii"))
        room = _MAX_COOKIE_BYTES - len(f"{self.chunks[0]}{generation}~0~")
        parts = [token[start : start + room] for start in range(0, len(token), room)]
        if len(parts) > _MAX_CHUNKS:
            raise SessionTooLarge
        names = self.chunks[: len(parts)]
        return {name: f"{generation}~{len(parts)}~{part}" for name, part in zip(names, parts, strict=True)}


def _generation(token: bytes) -> str:
    return sha256(token).hexdigest()[:8]


class CredentialsReader:
    """Reads the credentials of requests, with the configured cookie names."""

    def __init__(self, settings: DescopeSettings) -> None:
        self._session = TokenCookie(settings.session_cookie)
        self._refresh = TokenCookie(settings.refresh_cookie)
        cookies = (self._session, self._refresh)
        grammars: dict[str, re.Pattern[bytes] | None] = {cookie.name: COMPACT_JWS for cookie in cookies}
        # Chunks are checked when they are joined, so that malformed ones are reported.
        grammars |= {name: None for cookie in cookies for name in cookie.chunks}
        # Exactly one name is read for each token (CK-03).
        self._grammars = {name.encode("ascii"): (name, grammar) for name, grammar in grammars.items()}
        former = (TokenCookie(each.partition(";")[0]) for each in settings.former_cookies)
        self._former = {name.encode("ascii"): name for cookie in former for name in cookie.names}
        unread = (
            (settings.session_cookie_name, settings.refresh_cookie_name) if settings.cookie_prefix else ()
        )
        self._unread = {name.encode("ascii") for name in unread} - self._former.keys()
        self._unread_message = _UNREAD.format(" and ".join(unread), self._session.name, self._refresh.name)
        self._log_once = LogOnce()
        self._prefixes = (*(cookie.name.encode("ascii") for cookie in cookies), *self._unread, *self._former)

    def read(self, scope: Scope) -> Credentials:
        """Return the credentials in the headers of an HTTP request or a WebSocket, unverified.

        A cookie value that is neither a JWT nor a chunk counts as absent. Chunks count if all chunks of one
        token are there and its hash matches.
        """
        headers: Headers = scope["headers"]
        authorization: list[bytes] = []
        # Neither a preflight nor a prefetch is a user's action: they must not have effects (RF-13).
        is_prefetch = False
        for name, value in headers:
            if name == b"authorization":
                authorization.append(value)
            elif name in _PURPOSES and b"prefetch" in value.lower():
                is_prefetch = True
        values, names, former_names = self._cookies(headers)
        (sessions, stray), (refreshes, stray_refresh) = self._session.join(values), self._refresh.join(values)
        ambiguous = len(sessions) > 1 or len(refreshes) > 1
        bearer, scheme = _bearer(authorization) if authorization else (None, "bearer")
        return Credentials(
            bearer=bearer,
            session=None if ambiguous else next(iter(sessions), None),
            refresh=None if ambiguous else next(iter(refreshes), None),
            ambiguous=ambiguous,
            may_refresh=not is_prefetch and (scope["type"] != "http" or scope["method"] != "OPTIONS"),
            is_prefetch=is_prefetch,
            scheme=scheme,
            cookie_names=frozenset(names),
            stray_chunks=frozenset(stray | stray_refresh),
            former_names=frozenset(former_names),
            refresh_rivals=tuple(islice(refreshes, _MAX_RIVALS)) if ambiguous else (),
            client=client_address(scope) if bearer else None,
        )

    def _cookies(self, headers: Headers) -> tuple[dict[str, set[bytes]], set[str], set[str]]:
        """Return the well-formed values by name, the names of all our cookies, and those of former ones."""
        values: dict[str, set[bytes]] = {}
        names: set[str] = set()
        former_names: set[str] = set()
        for raw, value in cookie_pairs(headers, self._prefixes):
            if raw in self._grammars:
                name, grammar = self._grammars[raw]
                names.add(name)
                if grammar is None or grammar.fullmatch(value):
                    values.setdefault(name, set()).add(value)
            elif raw in self._former:  # only its name is read (CK-03)
                former_names.add(self._former[raw])
            elif raw in self._unread and COMPACT_JWS.fullmatch(value):
                self._log_once.warning(self._unread_message)
        return values, names, former_names


# HP-03
def client_address(scope: Scope) -> str | None:
    """Return the address of the client as the server reports it, or None if it does not know it."""
    client: tuple[str, int] | None = scope.get("client")
    return client[0] or None if client else None


def _bearer(values: list[bytes]) -> tuple[str, str]:
    """Return the bearer token and the scheme.

    Any other content of the header counts as a malformed token, "" (KD-08, RFC 6750).
    """
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    scheme = scheme.lower() if scheme.lower() in _SCHEMES else "other"
    bad = len(values) > 1 or scheme != "bearer" or not token.isascii()
    bad = bad or any(character <= " " or character == "," for character in token)
    return "" if bad else token, scheme
