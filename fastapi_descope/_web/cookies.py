"""Session and refresh token as cookies: raw header bytes to tokens, tokens to ``Set-Cookie`` values.

The parser is ours because the ready ones are lenient: Starlette's and the standard library's trim
Unicode spaces off names, which undoes the ``__Host-`` guarantee, decode quoted octal escapes, and let
the last of two values win (requirements CK-01 and CK-02). Exactly one name is read for each token (CK-03).
``Set-Cookie`` values are put together here as well, from checked settings and from tokens whose grammar
leaves no room for a ``;``.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from .._config.origin import Origin
from .._tokens.claims import COMPACT_JWS, looks_like_jwt
from ..errors import SessionTooLarge, TokenError, TokenReason
from ..session import TokenPair
from ..settings import DescopeSettings

__all__ = ["CookieAttributes", "Headers", "PresentedTokens", "SessionCookies", "cookie_pairs"]

Headers = Iterable[tuple[bytes, bytes]]
"""Request headers as ASGI hands them over: lower-case names, repeats kept apart."""

_MAX_HEADER_BYTES = 65_536
_MAX_PAIRS = 1_000
_MAX_CHUNKS = 4
_MAX_DOMAINS = 4
# What a browser keeps: name and value together (RFC 6265bis, section 5.7).
_MAX_COOKIE_BYTES = 4_096

_CHUNK = re.compile(rb"([0-9a-f]{8})~([2-4])~([A-Za-z0-9_.-]+)")


def cookie_pairs(headers: Headers, prefix: bytes | tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    """Name and value of each cookie whose name starts with ``prefix``, or with one of several.

    They come as sent, in the order sent: nothing is decoded, and only spaces and tabs around a pair are
    dropped (CK-01). More than 64 KiB or 1,000 cookies come from no browser: they are not looked into,
    and the answer is an empty list.
    """
    jar = b";".join([value for name, value in headers if name == b"cookie"])
    if len(jar) > _MAX_HEADER_BYTES or jar.count(b";") >= _MAX_PAIRS:
        return []
    stripped = [part.strip(b" \t") for part in jar.split(b";")]
    found = [pair.partition(b"=") for pair in stripped if pair.startswith(prefix)]
    return [(name, value) for name, equals, value in found if equals]


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


@dataclass(frozen=True, slots=True)
class PresentedTokens:
    """What a request's cookies say. Nothing in it is verified, and ``repr`` shows no token (LG-06).

    ``ambiguous``: one name came with two different values, so neither is believed and there are no
    tokens (CK-02, CK-11). ``names`` are those of our cookies that the browser holds, broken ones and
    chunks included: what has to be deleted to leave nothing behind.
    """

    session: str | None = field(default=None, repr=False)
    refresh: str | None = field(default=None, repr=False)
    ambiguous: bool = False
    names: frozenset[str] = frozenset()


class _TokenCookie:
    """One token under one name: in one cookie, or in two to four chunks ``name.0`` to ``name.3``.

    A chunk reads ``generation~count~part``. The generation is the start of the token's SHA-256, so that
    chunks of two tokens never combine (CK-08).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.chunks = tuple(f"{name}.{index}" for index in range(_MAX_CHUNKS))
        self.names = frozenset((name, *self.chunks))

    def tokens(self, held: Mapping[str, bytes]) -> set[str]:
        """The tokens that the cookies add up to: none, one, or two if whole and chunks disagree."""
        if self.chunks[0] not in held:  # as a rule: without its start no chunk counts
            return {held[self.name].decode("ascii")} if self.name in held else set()
        chunks = tuple(name for name in self.chunks if name in held)
        contiguous = chunks and chunks == self.chunks[: len(chunks)]
        joined = _join([held[name] for name in chunks]) if contiguous else None
        return {token.decode("ascii") for token in (held.get(self.name), joined) if token}

    def cookies(self, token: str) -> dict[str, str]:
        """Names and values that hold ``token``. Raises ``SessionTooLarge`` beyond four chunks."""
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


def _join(chunks: list[bytes]) -> bytes | None:
    """The token of these chunks, in this order, if they are of one token and all of it."""
    parts = [chunk.split(b"~") for chunk in chunks]
    tags = {(generation, count) for generation, count, _ in parts}
    token = b"".join(part for _, _, part in parts)
    whole = tags == {(_generation(token).encode("ascii"), b"%d" % len(chunks))}
    return token if whole and COMPACT_JWS.fullmatch(token) else None


class SessionCookies:
    """Reads, writes and clears the two cookies of a session under one configuration.

    With a name prefix or ``SameSite=None`` the cookies are ``Secure`` even where the caller says
    otherwise, since a browser drops them without.
    """

    def __init__(self, settings: DescopeSettings) -> None:
        same_site = settings.cookie_samesite
        self._session = _TokenCookie(settings.session_cookie)
        self._refresh = _TokenCookie(settings.refresh_cookie)
        cookies = (self._session, self._refresh)
        grammars = {name: _CHUNK for cookie in cookies for name in cookie.chunks}
        grammars |= {cookie.name: COMPACT_JWS for cookie in cookies}
        self._grammars = {name.encode("ascii"): (name, of) for name, of in grammars.items()}
        self._leads = tuple(cookie.name.encode("ascii") for cookie in cookies)
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

    def read(self, headers: Headers) -> PresentedTokens:
        """The tokens in a request's cookies, unverified.

        A value outside the grammar of a JWT, or of a chunk, counts as no value (CK-01). Chunks count if
        all of one token's are there and its hash agrees (CK-08).
        """
        held: dict[str, bytes] = {}
        names: set[str] = set()
        ambiguous = False
        for raw, value in cookie_pairs(headers, self._leads):
            if raw in self._grammars:
                name, grammar = self._grammars[raw]
                names.add(name)
                if grammar.fullmatch(value):
                    ambiguous |= held.setdefault(name, value) != value
        session, refresh = self._session.tokens(held), self._refresh.tokens(held)
        if ambiguous or len(session) > 1 or len(refresh) > 1:
            return PresentedTokens(ambiguous=True, names=frozenset(names))
        return PresentedTokens(next(iter(session), None), next(iter(refresh), None), names=frozenset(names))

    def write(self, pair: TokenPair, *, now: float, secure: bool, presented: PresentedTokens) -> list[bytes]:
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
            values = cookie.cookies(_require_jwt(token))
            lines += [kind.setting(*item, max(0, int(expires_at - now))) for item in values.items()]
            kept.update(values)
        lines += kind.deletions(presented.names - kept)
        return lines + self._duplicate_deletions(presented.names, presented, secure=secure)

    def drop_duplicates(self, presented: PresentedTokens, *, secure: bool) -> list[bytes]:
        """Deletions of whatever stands beside our own cookies after an ambiguous request (CK-02).

        Twins that are bound to one path stay: nobody can see which path it is.
        """
        return self._duplicate_deletions(presented.names, presented, secure=secure)

    def clear(self, presented: PresentedTokens, *, secure: bool) -> list[bytes]:
        """``Set-Cookie`` values that end the session in the browser: both cookies, and what it holds.

        After an ambiguous request they delete the twins too (CK-02).
        """
        return self._clear((self._session, self._refresh), presented, secure=secure)

    def clear_refresh(self, presented: PresentedTokens, *, secure: bool) -> list[bytes]:
        """As ``clear``, for the refresh cookie and its chunks alone (KD-02)."""
        return self._clear((self._refresh,), presented, secure=secure)

    def _clear(
        self, cookies: Iterable[_TokenCookie], presented: PresentedTokens, *, secure: bool
    ) -> list[bytes]:
        names = {name for cookie in cookies for name in (cookie.name, *(cookie.names & presented.names))}
        lines = self._kind(self._domain, secure=secure).deletions(names)
        return lines + self._duplicate_deletions(names, presented, secure=secure)

    def _duplicate_deletions(
        self, names: Iterable[str], presented: PresentedTokens, *, secure: bool
    ) -> list[bytes]:
        """Deletions of the names under every other ``Domain`` that this host may use, and under none."""
        names = tuple(names) if presented.ambiguous else ()
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
