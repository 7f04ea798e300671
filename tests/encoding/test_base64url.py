"""Bytes have one canonical encoding in base64url, and every other text is rejected (requirement TV-03)."""

from base64 import urlsafe_b64encode

import pytest

from fastapi_descope._encoding import base64url_decode, base64url_encode, is_canonical_base64url

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize("length", range(1, 50))
def test_the_canonical_encoding_is_read_and_written(length: int) -> None:
    """It is what a strict encoder writes, without padding."""
    for raw in (bytes(length), b"\xff" * length, bytes(range(200, 200 + length))):
        text = urlsafe_b64encode(raw).rstrip(b"=")
        assert is_canonical_base64url(text)
        assert base64url_decode(text) == raw
        assert base64url_encode(raw) == text.decode()


@pytest.mark.parametrize("length", range(1, 4))
def test_only_last_characters_with_zero_unused_bits_are_canonical(length: int) -> None:
    """The number of canonical last characters is the number of values of the bits that are used."""
    text = urlsafe_b64encode(bytes(length)).rstrip(b"=")
    spellings = [text[:-1] + bytes([last]) for last in ALPHABET]
    canonical = [spelling for spelling in spellings if is_canonical_base64url(spelling)]
    assert len(canonical) == {1: 4, 2: 16, 3: 64}[length]
    assert len({base64url_decode(spelling) for spelling in canonical}) == len(canonical)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"A",
        b"AAAAA",
        b"AA==",
        b"AAA=",
        b"AA=",
        b"====",
        b"AA+A",
        b"AA/A",
        b"A A",
        b"AA\n",
        b"A.A",
        b"\xff\xff",
    ],
)
def test_other_texts_are_not_canonical(text: bytes) -> None:
    """Empty text, padding, the other alphabet, white space, dots and impossible lengths are rejected."""
    assert not is_canonical_base64url(text)
