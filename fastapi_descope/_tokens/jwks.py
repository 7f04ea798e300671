"""Parser of a JWKS document (RFC 7517): the usable keys, and the reasons why others are rejected."""

# Requirements JW-08 to JW-11.

from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import combinations
from types import MappingProxyType
from typing import cast

# Imported by its full name: ``jose.backends.RSAKey`` may be a fallback with timing leaks (SC-01, SC-02).
# No HMAC is implemented here, so a public key cannot be used as an HMAC secret (TV-06).
from jose.backends.cryptography_backend import CryptographyRSAKey

from .._encoding import as_mapping, base64url_decode, is_canonical_base64url, parse_strict_json
from ..errors import InvalidUpstreamResponse
from .claims import Key

__all__ = ["KeySet", "RejectReason", "RejectedKey", "parse_key_set"]

_MAX_BYTES = 64 * 1024
_MAX_KEYS = 32
_MAX_KID = 256
_MIN_BITS, _MAX_BITS = 2048, 8192
_MIN_EXPONENT, _MAX_EXPONENT = 65537, 2**32
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class RejectReason(StrEnum):
    """Why a key of a key set is not used. The values appear in log lines."""

    PRIVATE = "private"
    TYPE = "type"
    KEY_ID = "key_id"
    ALGORITHM = "algorithm"
    USE = "use"
    MODULUS = "modulus"
    EXPONENT = "exponent"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class RejectedKey:
    """A key that is not used. ``kid_hash`` is 12 hex digits of the SHA-256 of its kid, or "-"."""

    kid_hash: str
    reason: RejectReason


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of a document, by kid, and the rejected ones."""

    keys: Mapping[str, Key]
    rejected: tuple[RejectedKey, ...] = ()


def parse_key_set(body: bytes) -> KeySet:
    """Parse the body of a response of Descope's ``/v2/keys/{project}`` (wire contract, section 2.13).

    An unusable key is rejected and the others are used. If two different keys have the same kid, both are
    rejected.

    Raises:
        InvalidUpstreamResponse: the document is larger than 64 KiB, has more than 32 keys, is not strict
            JSON, is not a key set or contains no usable key.
    """
    # JW-09, JW-10. An unusable document raises, so that it never replaces keys that work (JW-08, JW-11).
    members = _members(body)
    leaked = tuple(m["n"] for m in members if "n" in m and not _PRIVATE.isdisjoint(m))
    checked = [(member, _reject_reason(member, leaked)) for member in members]
    keys = [_key(member) for member, reason in checked if reason is None]
    ambiguous = {a.kid for a, b in combinations(keys, 2) if a.kid == b.kid and a != b}
    usable = {key.kid: key for key in keys if key.kid not in ambiguous}
    if not usable:
        raise InvalidUpstreamResponse("no_usable_key")
    rejected = [RejectedKey(_hash(member.get("kid")), reason) for member, reason in checked if reason]
    rejected += [RejectedKey(_hash(kid), RejectReason.AMBIGUOUS) for kid in sorted(ambiguous)]
    return KeySet(MappingProxyType(usable), tuple(rejected))


def _members(body: bytes) -> tuple[Mapping[str, object], ...]:
    """Return the members of the set. One that is not an object becomes an empty one, which is rejected."""
    if len(body) > _MAX_BYTES:
        raise InvalidUpstreamResponse("key_set_too_large")
    try:
        listed = parse_strict_json(body).get("keys")
    except ValueError:
        listed = None
    if not isinstance(listed, tuple):
        raise InvalidUpstreamResponse("not_a_key_set")
    members = cast("tuple[object, ...]", listed)
    if len(members) > _MAX_KEYS:
        raise InvalidUpstreamResponse("too_many_keys")
    return tuple(as_mapping(member) or {} for member in members)


def _reject_reason(member: Mapping[str, object], leaked: Container[object]) -> RejectReason | None:
    """Return the most serious reason not to use a key, or None if it is usable."""
    checks = (
        (_is_public(member, leaked), RejectReason.PRIVATE),
        (member.get("kty") == "RSA", RejectReason.TYPE),
        (member.get("alg") == "RS256", RejectReason.ALGORITHM),
        (_is_for_verifying(member), RejectReason.USE),
        (_is_kid(member.get("kid")), RejectReason.KEY_ID),
        (_is_modulus(_decode_uint(member.get("n"))), RejectReason.MODULUS),
        (_is_exponent(_decode_uint(member.get("e"))), RejectReason.EXPONENT),
    )
    return next((reason for passed, reason in checks if not passed), None)


def _is_public(member: Mapping[str, object], leaked: Container[object]) -> bool:
    """Return whether no member of the document contains the private half of this key."""
    # Another member with the same modulus may have published it (JW-10).
    return _PRIVATE.isdisjoint(member) and ("n" not in member or member["n"] not in leaked)


def _is_for_verifying(member: Mapping[str, object]) -> bool:
    return member.get("use", "sig") == "sig" and member.get("key_ops", ("verify",)) == ("verify",)


def _is_kid(kid: object) -> bool:
    return isinstance(kid, str) and 0 < len(kid) <= _MAX_KID


def _is_modulus(number: int) -> bool:
    return number % 2 == 1 and _MIN_BITS <= number.bit_length() <= _MAX_BITS


def _is_exponent(number: int) -> bool:
    return number % 2 == 1 and _MIN_EXPONENT <= number < _MAX_EXPONENT


def _decode_uint(text: object) -> int:
    """Return the number in a Base64urlUInt (RFC 7518, section 2), or 0, which every check rejects."""
    octets = text.encode() if isinstance(text, str) else b""
    if not is_canonical_base64url(octets):
        return 0
    number = base64url_decode(octets)
    return int.from_bytes(number) if number[0] else 0


def _key(member: Mapping[str, object]) -> Key:
    """Return the key of a usable member. Its members are known to be strings."""
    kid, n, e = (str(member[name]) for name in ("kid", "n", "e"))
    # Building the key is expensive, so it is not done per token (JW-14).
    rsa = CryptographyRSAKey({"kty": "RSA", "n": n, "e": e}, "RS256")
    return Key(kid, rsa, sha256(f"{n}.{e}".encode()).hexdigest())


def _hash(kid: object) -> str:
    return sha256(kid.encode()).hexdigest()[:12] if isinstance(kid, str) else "-"
