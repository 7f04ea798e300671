"""The emulator's signing keys: RS256, generated in memory and never stored."""

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


# A key in memory only: every process has its own, so its tokens are valid nowhere else (EM-04).
@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key and the id under which its public part is published.

    Attributes:
        kid: The key id.
        private: The private key.
        public: The public key as a JWK.
    """

    kid: str
    private: CryptographyRSAKey = field(repr=False)
    public: Mapping[str, str]

    @classmethod
    def generate(cls) -> "SigningKey":
        """Generate a key. Takes tens of milliseconds, occasionally a few hundred."""
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
        """Return the same key under a new id, which costs nothing.

        The id is in the signed header, so an emulator with only one of the two rejects the other's tokens.
        """
        kid = _new_kid()
        return replace(self, kid=kid, public={**self.public, "kid": kid})

    def sign(self, payload: Mapping[str, object] | bytes) -> str:
        """Return a JWT with these claims, or with these bytes as its payload."""
        return jws.sign(payload, self.private, headers={"kid": self.kid}, algorithm="RS256")


def _new_kid() -> str:
    return f"SK2{secrets.token_hex(13)}"


class KeyRing:
    """The keys of a project: the newest key signs; all keys are published and verify."""

    def __init__(self, signing_key: SigningKey | None = None) -> None:
        self._keys = [signing_key or SigningKey.generate()]

    @property
    def public_keys(self) -> tuple[dict[str, str], ...]:
        """The published keys as JWKs, newest first."""
        return tuple(dict(key.public) for key in self._keys)

    @property
    def kid(self) -> str:
        """The id of the key that signs."""
        return self._keys[0].kid

    def has_kid(self, kid: str) -> bool:
        """Return whether tokens signed with this key are still valid."""
        return any(key.kid == kid for key in self._keys)

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on. Generates an RSA key."""
        self._keys = [SigningKey.generate(), *(self._keys if keep_old else ())]

    def drop_old(self) -> None:
        """Stop publishing and accepting all keys except the newest."""
        del self._keys[1:]

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a JWT with these claims, signed with the newest key."""
        return self._keys[0].sign(claims)

    def verify(self, token: str) -> dict[str, object] | None:
        """Return the claims of a token that one of these keys signed, or None. Does not check times.

        RS256 is deterministic (RFC 8017, section 8.2), so a token is accepted only if signing its payload
        again returns the same text. This rejects every alternative encoding of a segment.
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
