"""Refresh results as a shared store may hold them: sealed, under names that tell nothing.

Whoever reads the store, or a copy of it, finds neither a token nor a user (RD-03, RD-04). The key to a
result is the refresh token that it was made with, which only its holder and Descope know; so there is
no secret to configure, and a result opens for nobody but the holder of the old token.
"""

import json
from dataclasses import asdict
from hashlib import sha256
from secrets import token_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..._encoding.strict_json import parse_object
from ..store import RefreshResult

__all__ = ["NONCE_BYTES", "ResultCipher"]

NONCE_BYTES = 12
"""A sealed result begins with this many random bytes, so that no two begin alike."""

_KEY_BYTES = 32
_PURPOSE = b"fastapi-descope refresh result v1"


class ResultCipher:
    """Names and seals the results of one Descope project."""

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self._info = _PURPOSE + project_id.encode()

    def name(self, token: str) -> str:
        """The name for what concerns a refresh token: 64 hexadecimal digits, a hash of token and project."""
        return sha256(f"{self._project_id} {token}".encode()).hexdigest()

    def encrypt(self, token: str, result: RefreshResult) -> bytes:
        """``result``, encrypted with AES-256-GCM under a key from HKDF-SHA256 (RFC 5869) over ``token``."""
        nonce = token_bytes(NONCE_BYTES)
        plain = json.dumps(asdict(result)).encode()
        return nonce + self._cipher(token).encrypt(nonce, plain, self._name_bytes(token))

    def decrypt(self, token: str, sealed: bytes) -> RefreshResult | None:
        """The result that was sealed for ``token``; None for everything else, whatever it is."""
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            plain = self._cipher(token).decrypt(nonce, text, self._name_bytes(token))
            members = parse_object(plain)
        except (InvalidTag, ValueError):
            return None
        match members:
            case {
                "session_jwt": str() | None as session_jwt,
                "refresh_jwt": str() | None as refresh_jwt,
                "refresh_at": int() | float() | None as refresh_at,
            }:
                # A word of its own since later than the others: not there is False.
                return RefreshResult(session_jwt, refresh_jwt, refresh_at, members.get("superseded") is True)
            case _:
                return None

    def _cipher(self, token: str) -> AESGCM:
        key = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=self._info)
        return AESGCM(key.derive(token.encode()))

    def _name_bytes(self, token: str) -> bytes:
        """Bound to the sealed result, which is therefore worthless under another name."""
        return self.name(token).encode()
