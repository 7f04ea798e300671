"""Base64url without padding, in its one canonical encoding (RFC 4648, sections 3.5 and 5)."""

from binascii import a2b_base64, b2a_base64

__all__ = ["decode", "encode", "is_canonical"]

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
# Indexed by length modulo 4: the last characters whose unused bits are zero, and the padding to add.
_LAST = (_ALPHABET, b"", b"AQgw", b"AEIMQUYcgkosw048")
_PADDING = (b"", b"", b"==", b"=")


def is_canonical(text: bytes) -> bool:
    """Return whether ``text`` is the canonical encoding of at least one byte."""
    # Python's decoder skips foreign characters and ignores the unused bits of the last one. One signed token
    # would have any number of encodings, each of which misses every cache and evades every deny-list (TV-03).
    if not text or text[-1] not in _LAST[len(text) % 4]:
        return False
    return not text.translate(None, _ALPHABET)


def decode(text: bytes) -> bytes:
    """Return the bytes encoded in ``text``, which must be canonical or empty: this is not checked."""
    return a2b_base64(text.translate(_TO_STANDARD) + _PADDING[len(text) % 4])


def encode(data: bytes) -> str:
    """Return the canonical encoding of ``data``."""
    return b2a_base64(data, newline=False).translate(_TO_URL_SAFE).rstrip(b"=").decode("ascii")
