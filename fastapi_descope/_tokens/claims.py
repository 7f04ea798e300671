"""Verification of one token: JWT text, keys and a time in, claims or one precise error out. No I/O.

python-jose only verifies RS256 signatures with a prebuilt key. Its own parser accepts many encodings of one
token and raises errors of other libraries, so size, encoding, JSON, header and claims are checked here.
"""

# Requirements TV-01 to TV-17. The order of the checks is part of the security: form, header, signature, and
# only then the claims. Expiry comes last, so that TokenExpired means that everything else is valid (TV-16).

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from .._encoding import base64url_decode, canonical_segments, parse_strict_json
from ..errors import SenderConstrained, TokenError, TokenExpired, TokenReason
from ..session import Claims

if TYPE_CHECKING:
    from jose.backends.base import Key as JoseKey

__all__ = [
    "COMPACT_JWS",
    "Key",
    "TokenKind",
    "TokenPolicy",
    "UnknownKey",
    "looks_like_jwt",
    "verify",
]

COMPACT_JWS = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""The syntax of a compact JWS. It contains no byte that ends a header field or a cookie."""

_MAX_HEADER = 1024  # bytes of the encoded segment
_MAX_KID = 256
_MAX_SUBJECT = 255
_MAX_CLIENT = 1024  # a client can have the URL of its metadata as its id
_YEAR_10000 = 253402300800  # the first second that no calendar type of Python can represent

# Extensions that change what is signed, and keys that the token itself contains (TV-08, TV-09).
_REJECTED_HEADERS = frozenset({"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"})
_TYPES = frozenset({"jwt", "application/jwt"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]{1,128}")


class TokenKind(StrEnum):
    """The kind of a token. A token of one kind is never accepted as the other."""

    # KD-01; RFC 8725, section 3.12.
    SESSION = "session"
    REFRESH = "refresh"
    DELEGATE = "delegate"
    ACCESS_KEY = "access_key"


# Looking up a member of an enum costs as much as a claim.
_DELEGATE, _ACCESS_KEY = TokenKind.DELEGATE, TokenKind.ACCESS_KEY

_OTHER_KIND = frozenset({TokenReason.KIND, TokenReason.ISSUER, TokenReason.AUDIENCE, TokenReason.CLIENT})
"""The reasons with which a valid token of another kind is refused."""

# Wire contract 11.3: OAuth tokens have no ``drn``, or the same one, and say here what they are (CL-01).
_TOKEN_TYPES: Mapping[TokenKind, str] = MappingProxyType(
    {
        TokenKind.SESSION: "access_token",
        TokenKind.REFRESH: "refresh_token",
        TokenKind.DELEGATE: "access_token",
        TokenKind.ACCESS_KEY: "access_token",
    }
)
"""The value of ``token_type`` in tokens of a kind, if they have one."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public RSA key, built once per fetch and not once per token.

    ``fingerprint`` is the SHA-256 of modulus and exponent in hex. Keys with equal fingerprints are the
    same key.
    """

    kid: str
    rsa: "JoseKey" = field(repr=False, compare=False)
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """The requirements that a token must meet.

    If ``audience`` is set, a token must have it. If it is None, a token with an ``aud`` claim must have the
    project id in it. ``session_names`` and ``refresh_names`` are the values of the ``drn`` claim, where
    Descope puts the name of the cookie. ``clients`` are the ids of clients, besides the project, whose tokens
    are those of the app itself. ``app_issuers`` are the beginnings of further issuers of inbound apps; one
    path segment follows. If ``resource`` is set, the tokens of inbound apps must have it as an audience.
    ``leeway`` is in seconds, ``max_bytes`` limits the encoded token.
    """

    project_id: str
    issuers: frozenset[str]
    audience: str | None = None
    session_names: frozenset[str] = frozenset({"DS"})
    refresh_names: frozenset[str] = frozenset({"DSR"})
    clients: frozenset[str] = frozenset()
    app_issuers: frozenset[str] = frozenset()
    resource: str | None = None
    leeway: int = 5
    max_bytes: int = 8192

    def names(self, kind: TokenKind) -> frozenset[str]:
        """Return the values of ``drn`` that tokens of ``kind`` have."""
        return self.refresh_names if kind is TokenKind.REFRESH else self.session_names

    def accepts_issuer(self, iss: str, kind: TokenKind) -> bool:
        """Return whether tokens of ``kind`` can have this ``iss``. Inbound apps have further forms."""
        if iss in self.issuers or kind is not _DELEGATE:
            return iss in self.issuers
        beginning, _, segment = iss.rpartition("/")  # CL-04
        return beginning in self.app_issuers and _SEGMENT.fullmatch(segment) is not None

    def accepts_client(self, azp: str, kind: TokenKind) -> bool:
        """Return whether tokens of ``kind`` can be issued to this client. A delegate can be any client."""
        if kind is _DELEGATE:
            return 0 < len(azp) <= _MAX_CLIENT and not _has_control(azp)
        return azp == self.project_id or azp in self.clients

    def required_audience(self, kind: TokenKind) -> str | None:
        """Return the audience that tokens of ``kind`` must have, or None if they need not have any."""
        return self.resource or self.audience or self.project_id if kind is _DELEGATE else self.audience


class UnknownKey(TokenError):
    """The token names a key that is not in the set: it is forged, or the keys have been rotated.

    ``should_refetch`` is False if no key could make the token valid, so that the keys are not fetched again
    for a malformed token.
    """

    # Forged tokens must not cause requests to Descope (JW-02).

    def __init__(self, *, should_refetch: bool) -> None:
        self.should_refetch = should_refetch
        super().__init__(TokenReason.UNKNOWN_KEY)


def looks_like_jwt(text: str) -> bool:
    """Return whether ``text`` has the syntax of a JWT, and so is safe in a header. Verifies nothing."""
    return text.isascii() and COMPACT_JWS.fullmatch(text.encode("ascii")) is not None


def verify(
    token: object, *, kinds: tuple[TokenKind, ...], keys: Mapping[str, Key], policy: TokenPolicy, now: float
) -> tuple[TokenKind, Claims]:
    """Return the first of ``kinds`` that ``token`` is of, and its claims, read-only at every depth.

    Costs at most one RSA operation, however many keys there are. No other error is raised for any input.

    Args:
        token: The encoded token; values that are not strings are rejected.
        kinds: The kinds that the token may have.
        keys: The keys in force, by kid.
        policy: What the token must contain.
        now: The current time in epoch seconds.

    Raises:
        TokenExpired: the token is valid, as one of the kinds, except that it has expired.
        UnknownKey: ``keys`` does not contain the key that the token names.
        TokenError: the token is invalid in any other way.
    """
    # One error type (TV-01), read-only claims (TV-17), one RSA operation (TV-19).
    header, payload, signature = _segments(token, policy.max_bytes)
    key = keys.get(_key_id(header))  # no other key is tried (TV-07)
    if key is None:
        raise UnknownKey(should_refetch=_is_plausible(payload, kinds, policy, now))
    if not key.rsa.verify(header + b"." + payload, base64url_decode(signature)):
        raise TokenError(TokenReason.SIGNATURE)
    claims = _parse_object(payload)
    return _check_kinds(claims, kinds, policy, now), claims


def _segments(token: object, max_bytes: int) -> list[bytes]:
    """Return header, payload and signature of a compact JWS (RFC 7515, section 7.1), still encoded."""
    if not isinstance(token, str):
        raise TokenError(TokenReason.MALFORMED)
    if len(token) > max_bytes:  # before anything is decoded (TV-02)
        raise TokenError(TokenReason.TOO_LARGE)
    segments = canonical_segments(token.encode(errors="replace"), 3)
    if not segments:
        raise TokenError(TokenReason.MALFORMED)
    if len(segments[0]) > _MAX_HEADER:
        raise TokenError(TokenReason.TOO_LARGE)
    return segments


def _parse_object(segment: bytes) -> Mapping[str, object]:
    try:
        return parse_strict_json(base64url_decode(segment))
    except ValueError:
        pass
    # Not raised inside except: the parser's error contains the text and would become __context__ (LG-02).
    raise TokenError(TokenReason.MALFORMED)


@lru_cache(maxsize=64)
def _key_id(segment: bytes) -> str:
    """Return the ``kid`` of a valid header. All tokens of a key have the same one, which is parsed once."""
    # No error is cached, and the result depends on nothing but the header.
    return _check_header(_parse_object(segment))


def _check_header(header: Mapping[str, object]) -> str:
    """Return the ``kid`` of a valid header. An unverified header selects the key and decides nothing else."""
    # TV-05 to TV-10.
    if header.get("alg") != "RS256":
        raise TokenError(TokenReason.ALGORITHM)
    if not _REJECTED_HEADERS.isdisjoint(header):
        raise TokenError(TokenReason.HEADER)
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        raise TokenError(TokenReason.HEADER)
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        raise TokenError(TokenReason.HEADER)
    return kid


def _is_plausible(payload: bytes, kinds: tuple[TokenKind, ...], policy: TokenPolicy, now: float) -> bool:
    """Return whether the unverified claims would be accepted if the signature were valid."""
    # The result only prevents fetches: a well-made forgery causes at most one in 30 seconds (JW-02).
    try:
        _check_kinds(_parse_object(payload), kinds, policy, now)
    except TokenError:
        return False
    return True


def _check_kinds(claims: Claims, kinds: tuple[TokenKind, ...], policy: TokenPolicy, now: float) -> TokenKind:
    """Return the first kind whose checks pass. A token of none of them gets the error of the first."""
    first, *others = kinds
    try:
        _check_claims(claims, first, policy, now)
    except TokenError as error:
        if error.reason not in _OTHER_KIND:
            raise
        rejected = error
    else:
        return first
    for kind in others:
        try:
            _check_claims(claims, kind, policy, now)
        except TokenError as error:
            if error.reason is not TokenReason.KIND:
                raise error from None
        else:
            return kind
    raise rejected


def _check_claims(claims: Claims, kind: TokenKind, policy: TokenPolicy, now: float) -> None:
    """Check kind, issuer, audience, client and subject, and the times last."""
    _check_kind(claims, kind, policy)
    iss = claims.get("iss")
    if not isinstance(iss, str) or not policy.accepts_issuer(iss, kind):  # TV-13
        raise TokenError(TokenReason.ISSUER)
    audience = policy.required_audience(kind)  # CL-05
    # An absent audience is allowed unless one is required; an empty or null one is malformed (TV-14).
    if "aud" in claims or audience is not None:
        _check_audience(claims.get("aud"), audience or policy.project_id)
    _check_client(claims, kind, policy)
    subject = _subject(claims)
    exp = _expiry(claims, now + policy.leeway)
    if now >= exp + policy.leeway:
        raise TokenExpired(subject)


def _check_kind(claims: Claims, kind: TokenKind, policy: TokenPolicy) -> None:
    """Check that Descope calls the token one of this kind (KD-03, KD-07, CL-01)."""
    if "token_type" in claims and claims["token_type"] != _TOKEN_TYPES[kind]:
        raise TokenError(TokenReason.KIND)
    if kind is _DELEGATE and "azp" not in claims:
        raise TokenError(TokenReason.KIND)
    if "drn" not in claims and (kind is _ACCESS_KEY or (kind is _DELEGATE and "token_type" in claims)):
        return
    drn = claims.get("drn")
    if not isinstance(drn, str) or drn not in policy.names(kind):
        raise TokenError(TokenReason.KIND)


def _check_audience(aud: object, required: str) -> None:
    audiences = cast("tuple[object, ...]", aud) if isinstance(aud, tuple) else (aud,)
    if not all(isinstance(audience, str) for audience in audiences):
        raise TokenError(TokenReason.AUDIENCE)
    if required not in audiences:
        raise TokenError(TokenReason.AUDIENCE)


def _check_client(claims: Claims, kind: TokenKind, policy: TokenPolicy) -> None:
    """Check that the token was issued to the app itself, for every sender (KD-09, KD-10)."""
    if "cnf" in claims:  # RFC 7800: only the holder of a key may send it, which is not checked here
        raise SenderConstrained
    azp = claims.get("azp", policy.project_id)
    if not isinstance(azp, str) or not policy.accepts_client(azp, kind):
        raise TokenError(TokenReason.CLIENT)


def _subject(claims: Claims) -> str:
    """Return the user id: ``dsub`` if a JWT template has changed the meaning of ``sub``, else ``sub``."""
    # Both are checked (TV-15). An e-mail address can be given to another user later.
    subject = _user_id(claims.get("sub"))
    user_id = _user_id(claims["dsub"]) if "dsub" in claims else subject
    if "@" in user_id:
        raise TokenError(TokenReason.SUBJECT)
    return user_id


def _user_id(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_SUBJECT or _has_control(value):
        raise TokenError(TokenReason.SUBJECT)
    return value


def _has_control(text: str) -> bool:
    return not text.isprintable() and _CONTROL.search(text) is not None


def _expiry(claims: Claims, latest_start: float) -> float:
    """Return ``exp`` after checking ``iat`` and ``nbf``; the caller compares ``exp`` with the time."""
    # TV-11, TV-12.
    iat, exp = _numeric_date(claims.get("iat")), _numeric_date(claims.get("exp"))
    nbf = _numeric_date(claims["nbf"]) if "nbf" in claims else iat
    if exp <= iat:
        raise TokenError(TokenReason.CLAIMS)
    if iat > latest_start or nbf > latest_start:
        raise TokenError(TokenReason.NOT_YET_VALID)
    return exp


def _numeric_date(value: object) -> float:
    """Return the epoch seconds of a NumericDate (RFC 7519, section 2)."""
    if type(value) is not int and type(value) is not float:  # bool is a subclass of int
        raise TokenError(TokenReason.CLAIMS)
    if not 0 <= value < _YEAR_10000:
        raise TokenError(TokenReason.CLAIMS)
    return value
