"""JWT text, keys and a clock in; claims, or one precise error, out. No I/O.

python-jose is asked for one thing: whether an RS256 signature holds under one prebuilt key. Its own
parsing accepts many spellings of one token and lets foreign exceptions out, so size, encoding, JSON,
header and claims are checked here (requirements TV-01 to TV-17). No HMAC exists in it, so a public key
cannot pass for a secret (TV-06).

The order is the security of it: form, then header, then signature, and only then the claims; expiry
comes last, so that ``TokenExpired`` means that all else held (TV-16).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import NoReturn, Self, cast

from jose.backends.base import Key as JoseKey

# Named outright: ``jose.backends.RSAKey`` may be a fallback whose timing tells secrets (SC-01, SC-02).
from jose.backends.cryptography_backend import CryptographyRSAKey

from .._encoding import base64url, strict_json
from ..errors import TokenError, TokenExpired, TokenReason
from ..session import Claims

__all__ = ["COMPACT_JWS", "Key", "TokenKind", "TokenPolicy", "UnknownKey", "looks_like_jwt", "verify"]

COMPACT_JWS = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""What a token looks like before anything is known of it; no byte of it ends a header or a cookie."""

_SEGMENTS = 3
_MAX_HEADER = 1024  # bytes of the encoded segment
_MAX_KID = 256
_MAX_SUBJECT = 255
_YEAR_10000 = 253402300800  # the first second that no calendar type of Python can hold

# Extensions that change what is signed, and keys that the token itself brings along (TV-08, TV-09).
_REFUSED_HEADERS = frozenset({"crit", "b64", "zip", "jwk", "jku", "x5u", "x5c"})
_TYPES = frozenset({"jwt", "application/jwt"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class TokenKind(StrEnum):
    """What a token is for. One kind is never taken for the other (KD-01; RFC 8725 section 3.12)."""

    SESSION = "session"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Key:
    """One public RSA key, built once so that verifying only uses it.

    ``fingerprint`` is the SHA-256, in hex, of modulus and exponent: two keys are the same key if it is.
    """

    kid: str
    rsa: JoseKey = field(repr=False, compare=False)
    fingerprint: str

    @classmethod
    def from_jwk(cls, kid: str, n: str, e: str) -> Self:
        """The key of a JWK's members (RFC 7518 section 6.3.1), which are known to be sound by then."""
        # Once a fetch, not once a token (JW-14).
        rsa = CryptographyRSAKey({"kty": "RSA", "n": n, "e": e}, "RS256")
        return cls(kid, rsa, sha256(f"{n}.{e}".encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """What a token must say to be taken for one of ours.

    ``audience`` is demanded where it is set; where it is not, a token that names an audience must name
    the project. The names are those that the claim ``drn`` may have: Descope puts the cookie's name
    there. ``leeway`` is in seconds, ``max_bytes`` is of the token's text.
    """

    project_id: str
    issuers: frozenset[str]
    audience: str | None = None
    session_names: frozenset[str] = frozenset({"DS"})
    refresh_names: frozenset[str] = frozenset({"DSR"})
    leeway: int = 5
    max_bytes: int = 8192

    def names(self, kind: TokenKind) -> frozenset[str]:
        """The values of ``drn`` that make a token one of ``kind``."""
        return self.session_names if kind is TokenKind.SESSION else self.refresh_names


class UnknownKey(TokenError):
    """The token names a key that is not in the set: forged, or signed after a rotation.

    ``should_refetch`` is False where no key could make the token valid, so that junk costs no request
    upstream (JW-02).
    """

    def __init__(self, *, should_refetch: bool) -> None:
        self.should_refetch = should_refetch
        super().__init__(TokenReason.UNKNOWN_KEY)


def looks_like_jwt(text: str) -> bool:
    """Whether ``text`` is spelt like a JWT, and so is safe in a header. Says nothing about its truth."""
    return text.isascii() and COMPACT_JWS.fullmatch(text.encode("ascii")) is not None


def verify(
    token: object, *, kind: TokenKind, keys: Mapping[str, Key], policy: TokenPolicy, now: float
) -> Claims:
    """The claims of ``token``, read-only at every depth (TV-17). ``now`` is in epoch seconds.

    Raises TokenExpired if everything but the time holds, UnknownKey if ``keys`` lacks the named key,
    and TokenError for all else; whatever ``token`` is, nothing else is raised (TV-01). Costs at most
    one RSA operation, however many keys there are (TV-19).
    """
    header, payload, signature = _segments(token, policy.max_bytes)
    key = keys.get(_key_id(_json(header)))  # no other key is tried (TV-07)
    if key is None:
        raise UnknownKey(should_refetch=_is_plausible(payload, kind, policy, now))
    if not key.rsa.verify(header + b"." + payload, base64url.decode(signature)):
        _refuse(TokenReason.SIGNATURE)
    claims = _json(payload)
    _check_claims(claims, kind, policy, now)
    return claims


def _refuse(reason: TokenReason) -> NoReturn:
    raise TokenError(reason)


def _segments(token: object, max_bytes: int) -> list[bytes]:
    """Header, payload and signature of a compact JWS (RFC 7515 section 7.1), still encoded."""
    if not isinstance(token, str):
        _refuse(TokenReason.MALFORMED)
    if len(token) > max_bytes:  # before anything is decoded (TV-02)
        _refuse(TokenReason.TOO_LARGE)
    segments = token.encode(errors="replace").split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS or not all(map(base64url.is_canonical, segments)):
        _refuse(TokenReason.MALFORMED)
    if len(segments[0]) > _MAX_HEADER:
        _refuse(TokenReason.TOO_LARGE)
    return segments


def _json(segment: bytes) -> Mapping[str, object]:
    try:
        return strict_json.parse_object(base64url.decode(segment))
    except ValueError:
        pass
    # Not raised in there: the parser's error holds the text and would come along as its context (LG-02).
    return _refuse(TokenReason.MALFORMED)


def _key_id(header: Mapping[str, object]) -> str:
    """The key that a header asks for: the one thing an unverified header may decide (TV-05 to TV-10)."""
    if header.get("alg") != "RS256":
        _refuse(TokenReason.ALGORITHM)
    if not _REFUSED_HEADERS.isdisjoint(header):
        _refuse(TokenReason.HEADER)
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or typ.lower() not in _TYPES:
        _refuse(TokenReason.HEADER)
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        _refuse(TokenReason.HEADER)
    return kid


def _is_plausible(payload: bytes, kind: TokenKind, policy: TokenPolicy, now: float) -> bool:
    """Whether the unverified claims would pass under the right key.

    Nothing is decided on them but to withhold a fetch of the keys: whoever forges them well gets one
    fetch for all, at most every 30 seconds (JW-02).
    """
    try:
        _check_claims(_json(payload), kind, policy, now)
    except TokenError:
        return False
    return True


def _check_claims(claims: Claims, kind: TokenKind, policy: TokenPolicy, now: float) -> None:
    """Kind (KD-03, KD-07), issuer (TV-13), audience, user, and times last."""
    drn, iss = claims.get("drn"), claims.get("iss")
    if not isinstance(drn, str) or drn not in policy.names(kind):
        _refuse(TokenReason.KIND)
    if not isinstance(iss, str) or iss not in policy.issuers:
        _refuse(TokenReason.ISSUER)
    _check_audience(claims, policy)
    subject = _subject(claims)
    exp = _expiry(claims, now + policy.leeway)
    if now >= exp + policy.leeway:
        raise TokenExpired(subject)


def _check_audience(claims: Claims, policy: TokenPolicy) -> None:
    """TV-14. An absent audience is none; an empty or a null one is malformed."""
    if "aud" not in claims and policy.audience is None:
        return
    named = claims.get("aud")
    audiences = cast("tuple[object, ...]", named) if isinstance(named, tuple) else (named,)
    if not all(isinstance(audience, str) for audience in audiences):
        _refuse(TokenReason.AUDIENCE)
    if (policy.audience or policy.project_id) not in audiences:
        _refuse(TokenReason.AUDIENCE)


def _subject(claims: Claims) -> str:
    """The user: ``dsub``, where a JWT template gives ``sub`` another meaning, else ``sub`` (TV-15)."""
    subject = _user_id(claims.get("sub"))
    return _user_id(claims["dsub"]) if "dsub" in claims else subject


def _user_id(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_SUBJECT or _CONTROL.search(value):
        _refuse(TokenReason.SUBJECT)
    return value


def _expiry(claims: Claims, latest_start: float) -> float:
    """``exp``, for the caller to compare, once ``iat`` and ``nbf`` hold (TV-11, TV-12)."""
    iat, exp = _seconds(claims.get("iat")), _seconds(claims.get("exp"))
    nbf = _seconds(claims["nbf"]) if "nbf" in claims else iat
    if exp <= iat:
        _refuse(TokenReason.CLAIMS)
    if max(iat, nbf) > latest_start:
        _refuse(TokenReason.NOT_YET_VALID)
    return exp


def _seconds(value: object) -> float:
    # A bool is an int to Python, and no time to anybody.
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        _refuse(TokenReason.CLAIMS)
    if not 0 <= value < _YEAR_10000:
        _refuse(TokenReason.CLAIMS)
    return value
