"""Base64url without padding, in its one canonical spelling (RFC 4648 sections 3.5 and 5, TV-03).

Python's decoder skips junk and ignores the unused bits of the last character, so one signed text would
have unlimited spellings, each of them a miss in every cache and a way round every deny-list.
"""

from binascii import a2b_base64

__all__ = ["decode", "is_canonical"]

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
# By length modulo 4: what a text may end with so that its unused bits are zero, and what padding it lacks.
_LAST = (_ALPHABET, b"", b"AQgw", b"AEIMQUYcgkosw048")
_PADDING = (b"", b"", b"==", b"=")


def is_canonical(text: bytes) -> bool:
    """Whether ``text`` is the one spelling of at least one byte."""
    if not text or text[-1] not in _LAST[len(text) % 4]:
        return False
    return not text.translate(None, _ALPHABET)


def decode(text: bytes) -> bytes:
    """The bytes that ``text`` spells, which is known to be canonical: it is not checked again."""
    return a2b_base64(text.translate(_TO_STANDARD) + _PADDING[len(text) % 4])
