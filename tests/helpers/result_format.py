"""The format of encrypted refresh results, written a second time, as an independent check."""

from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["decrypt_by_hand", "encrypt_by_hand", "name_by_hand"]

_NONCE = b"\x01" * 12


def name_by_hand(token: str, project: str) -> str:
    """Return the name of a result: the SHA-256 of project and token."""
    return sha256(f"{project} {token}".encode()).hexdigest()


def encrypt_by_hand(plaintext: bytes, token: str, project: str) -> bytes:
    """Encrypt as the holder of a refresh token could."""
    name = name_by_hand(token, project).encode()
    return _NONCE + AESGCM(_key(token, project)).encrypt(_NONCE, plaintext, name)


def decrypt_by_hand(ciphertext: bytes, token: str, project: str) -> bytes:
    """Decrypt as the holder of a refresh token could."""
    nonce, encrypted = ciphertext[: len(_NONCE)], ciphertext[len(_NONCE) :]
    return AESGCM(_key(token, project)).decrypt(nonce, encrypted, name_by_hand(token, project).encode())


def _key(token: str, project: str) -> bytes:
    purpose = b"fastapi-descope refresh result v1" + project.encode()
    return HKDF(SHA256(), 32, None, purpose).derive(token.encode())
