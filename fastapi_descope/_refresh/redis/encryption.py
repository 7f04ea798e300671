"""Encryption of refresh results for a shared store.

A reader of the store, or of a copy of it, finds neither a token nor a user (RD-03, RD-04). The key of a
result derives from the refresh token that produced it, which only its holder and Descope know. So there is no
secret to configure, and only the holder of the old token can decrypt the result.
"""

import json
from dataclasses import asdict
from hashlib import sha256
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..._encoding import parse_strict_json
from ..store import RefreshResult

__all__ = ["NONCE_BYTES", "ResultCipher"]

NONCE_BYTES = 12
"""A ciphertext begins with this many random bytes, so no two begin alike."""

_KEY_BYTES = 32
_PURPOSE = b"fastapi-descope refresh result v1"

_VERSION = 1
"""The format of a value. Two releases run side by side during a deploy, so readers ignore unknown members.

A release that cannot be read so gets another version, which the release before it already reads.
"""


class ResultCipher:
    """Encrypts the refresh results of one Descope project, and derives the names they are stored under."""

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self._info = _PURPOSE + project_id.encode()

    def token_hash(self, token: str) -> str:
        """Return the SHA-256 of project and refresh token, in hexadecimal, for use in key names."""
        return sha256(f"{self._project_id} {token}".encode()).hexdigest()

    def encrypt(self, token: str, result: RefreshResult) -> bytes:
        """Encrypt ``result`` with AES-256-GCM; HKDF-SHA256 (RFC 5869) derives the key from ``token``."""
        nonce = token_bytes(NONCE_BYTES)
        members = asdict(result)
        del members["delivered"]  # the store knows
        members["version"] = _VERSION
        plaintext = json.dumps(members).encode()
        return nonce + self._cipher(token).encrypt(nonce, plaintext, self._associated_data(token))

    def decrypt(self, token: str, ciphertext: bytes) -> RefreshResult | None:
        """Return the result that was encrypted for ``token``, or None for any other bytes."""
        nonce, encrypted = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
        try:
            plaintext = self._cipher(token).decrypt(nonce, encrypted, self._associated_data(token))
            members = parse_strict_json(plaintext)
        except (InvalidTag, ValueError):
            return None
        match members:
            case {
                "session_jwt": str() | None as session_jwt,
                "refresh_jwt": str() | None as refresh_jwt,
                "refresh_at": int() | float() | None as refresh_at,
            } if members.get("version", _VERSION) == _VERSION:  # absent from values of the first release
                # ``superseded`` was added in a later version; absent means False.
                return RefreshResult(session_jwt, refresh_jwt, refresh_at, members.get("superseded") is True)
            case _:
                return None

    def _cipher(self, token: str) -> AESGCM:
        key = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=self._info)
        return AESGCM(key.derive(token.encode()))

    def _associated_data(self, token: str) -> bytes:
        """Bind the ciphertext to its name, so that it is worthless under another one."""
        return self.token_hash(token).encode()
