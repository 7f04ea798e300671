"""The emulator's signing keys: RS256, made anew in every process, never stored (EM-04)."""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jws
from jose.backends.cryptography_backend import CryptographyRSAKey
from jose.utils import base64url_decode, long_to_base64

__all__ = ["KeyRing", "SigningKey"]

_SEGMENTS = 3


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key and the id it is published under."""

    kid: str
    private: CryptographyRSAKey = field(repr=False)
    public: Mapping[str, str]

    @classmethod
    def generate(cls) -> "SigningKey":
        """A new key. Costs tens of milliseconds, now and then a few hundred."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        numbers = key.public_key().public_numbers()
        public = {
            "alg": "RS256",
            "e": long_to_base64(numbers.e).decode(),
            "kid": _new_kid(),
            "kty": "RSA",
            "n": long_to_base64(numbers.n).decode(),
            "use": "sig",
        }
        return cls(public["kid"], CryptographyRSAKey(pem.decode(), "RS256"), public)

    def with_new_kid(self) -> "SigningKey":
        """The same key with a new id, at no cost.

        Whoever trusts one of the two refuses what the other signed: the id is in the signed header.
        """
        kid = _new_kid()
        return replace(self, kid=kid, public={**self.public, "kid": kid})

    def sign(self, payload: Mapping[str, object] | bytes) -> str:
        """A JWT with these claims, or these bytes for claims."""
        return jws.sign(payload, self.private, headers={"kid": self.kid}, algorithm="RS256")


def _new_kid() -> str:
    return f"SK2{secrets.token_hex(13)}"


class KeyRing:
    """The newest key signs; all keys in the ring are published and verify. Makes the first unless given."""

    def __init__(self, signing_key: SigningKey | None = None) -> None:
        self._keys = [signing_key or SigningKey.generate()]

    @property
    def public_keys(self) -> tuple[dict[str, str], ...]:
        """The published keys as JWKs, newest first."""
        return tuple(dict(key.public) for key in self._keys)

    @property
    def kid(self) -> str:
        """The id of the key that signs now."""
        return self._keys[0].kid

    def has_kid(self, kid: str) -> bool:
        """Whether tokens signed under this key id are still good."""
        return any(key.kid == kid for key in self._keys)

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on. Costs the making of an RSA key."""
        self._keys = [SigningKey.generate(), *(self._keys if keep_old else ())]

    def drop_old(self) -> None:
        """Stop publishing and accepting every key but the newest."""
        del self._keys[1:]

    def sign(self, claims: Mapping[str, object]) -> str:
        """A JWT with these claims under the newest key."""
        return self._keys[0].sign(claims)

    def verify(self, token: str) -> dict[str, object] | None:
        """The claims of a token that one of these keys signed, or None. Times are not looked at.

        RS256 is deterministic (RFC 8017, section 8.2), so a token is ours only if signing its payload
        again gives the same text. That leaves no room for a second spelling of any segment.
        """
        segments = token.split(".")
        if len(segments) != _SEGMENTS or not token.isascii():
            return None
        try:
            payload = base64url_decode(segments[1].encode())
        except ValueError:
            return None
        for key in self._keys:
            if hmac.compare_digest(key.sign(payload), token):
                claims: dict[str, object] = json.loads(payload)
                return claims
        return None
