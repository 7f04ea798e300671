"""The signing keys (EM-04)."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jose import jwt

from fastapi_descope.emulator.signing import KeyRing, SigningKey

_RING = KeyRing()
_TOKEN = _RING.sign({"sub": "U1"})


def test_each_ring_has_its_own_key() -> None:
    """Every key ring generates its own key."""
    assert KeyRing().public_keys[0]["n"] != KeyRing().public_keys[0]["n"]


def test_with_new_kid_makes_an_incompatible_key() -> None:
    """It generates no RSA key, and one ring rejects tokens of the other, even with a changed header."""
    key = SigningKey.generate()
    one, other = KeyRing(key), KeyRing(key.with_new_kid())
    token = one.sign({"sub": "U1"})
    header = other.sign({"sub": "U2"}).split(".")[0]

    assert one.public_keys[0]["n"] == other.public_keys[0]["n"]
    assert one.kid != other.kid == other.public_keys[0]["kid"]
    assert one.verify(token) == {"sub": "U1"}
    assert other.verify(token) is None
    assert other.verify(".".join([header, *token.split(".")[1:]])) is None


def test_published_key_is_complete_and_public() -> None:
    """The JWK has what every SDK needs, and nothing private."""
    (key,) = _RING.public_keys
    assert sorted(key) == ["alg", "e", "kid", "kty", "n", "use"]
    assert (key["alg"], key["e"], key["kty"], key["use"]) == ("RS256", "AQAB", "RSA", "sig")
    assert len(base64.urlsafe_b64decode(key["n"] + "==")) == 256


def test_token_verifies_under_the_published_key() -> None:
    """An independent verifier accepts the signature; the header has the algorithm and the key id."""
    assert jwt.decode(_TOKEN, _RING.public_keys[0], algorithms=["RS256"]) == {"sub": "U1"}
    header = jwt.get_unverified_header(_TOKEN)
    assert header == {"alg": "RS256", "kid": _RING.kid, "typ": "JWT"}


def test_verify_returns_the_claims() -> None:
    """The ring returns the claims of its own token."""
    assert _RING.verify(_TOKEN) == {"sub": "U1"}


def test_rotation_keeps_the_old_key_until_it_is_dropped() -> None:
    """A rotation signs with a new key; the old one verifies until it is dropped."""
    ring = KeyRing()
    old_kid, token = ring.kid, ring.sign({"sub": "U1"})
    ring.rotate()
    assert ring.kid != old_kid
    assert [key["kid"] for key in ring.public_keys] == [ring.kid, old_kid]
    assert ring.verify(token) == {"sub": "U1"}
    ring.drop_old()
    assert not ring.has_kid(old_kid)
    assert ring.verify(token) is None


def test_rotation_without_the_old_key() -> None:
    """Without the old key, its tokens are invalid at once."""
    ring = KeyRing()
    token = ring.sign({"sub": "U1"})
    ring.rotate(keep_old=False)
    assert len(ring.public_keys) == 1
    assert ring.verify(token) is None


def _other_spelling(segment: str) -> str:
    """Return text that decodes to the same bytes as a segment whose last character has spare bits."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) ^ 1]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_every_segment_counts(position: int) -> None:
    """A token with a segment of another token is rejected."""
    segments = _TOKEN.split(".")
    segments[position] = KeyRing().sign({"sub": "U2"}).split(".")[position]
    assert _RING.verify(".".join(segments)) is None


def test_alternative_base64_of_the_signature_is_rejected() -> None:
    """Several base64 texts decode to the same bytes; only the issued one is accepted."""
    head, payload, signature = _TOKEN.split(".")
    other = _other_spelling(signature)
    assert base64.urlsafe_b64decode(other + "==") == base64.urlsafe_b64decode(signature + "==")
    assert _RING.verify(f"{head}.{payload}.{other}") is None


def test_unsigned_token_is_rejected() -> None:
    """The algorithm "none" is rejected."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    payload = _TOKEN.split(".")[1]
    assert _RING.verify(f"{header}.{payload}.") is None


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c.d", "a.\u00e4.c", "a.b.c", f"{_TOKEN}.", f"{_TOKEN} "]
)
def test_malformed_token_is_rejected(token: str) -> None:
    """Text without three valid segments is rejected."""
    assert _RING.verify(token) is None


@settings(max_examples=50)
@given(st.binary(max_size=40))
def test_foreign_payload_is_rejected(payload: bytes) -> None:
    """A payload with the signature of another is rejected."""
    head, _, signature = _TOKEN.split(".")
    text = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    assert _RING.verify(f"{head}.{text}.{signature}") is None


def test_private_key_stays_out_of_the_repr() -> None:
    """The repr of a key ring contains no key material."""
    assert "PRIVATE" not in repr(vars(KeyRing()))
    assert "Cryptography" not in repr(vars(KeyRing()))
