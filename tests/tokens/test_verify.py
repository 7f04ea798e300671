"""The signature of a token, and the keys it is checked with.

Requirements TV-16 and TV-19, JW-02 for unknown keys, and SC-01. Form, header and claims have their own
test files.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256

import pytest
from jose.backends.cryptography_backend import CryptographyRSAKey
from typing_extensions import override

from fastapi_descope._tokens.claims import Key, TokenKind, UnknownKey, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope.errors import TokenError, TokenReason
from fastapi_descope.session import Claims
from tests.helpers.tampering import NOW, POLICY, Forge, segment, with_segment

ErrorOf = Callable[..., TokenError]
Verify = Callable[..., Claims]


def test_a_valid_token_returns_its_claims(verify_token: Verify, forge: Forge) -> None:
    """The claims are those that were signed."""
    claims = verify_token(forge.token())
    assert claims["sub"] == "U2forge"
    assert claims["amr"] == ("fed",)


def test_every_bit_of_a_signature_counts(error_of: ErrorOf, forge: Forge) -> None:
    """No signature with a bit changed, rotated, shortened or extended is valid."""
    token = forge.token()
    good = urlsafe_b64decode(segment(token, 2) + "==")
    flipped = [good[:i] + bytes([good[i] ^ 1 << i % 8]) + good[i + 1 :] for i in range(256)]
    wrong = [*flipped, good[1:] + good[:1], good[:-1], b"\0" + good, good * 2, b"\0" * 256]
    for signature in wrong:
        text = urlsafe_b64encode(signature).rstrip(b"=").decode()
        tampered = with_segment(token, 2, text)
        assert error_of(tampered).reason is TokenReason.SIGNATURE


def test_a_signature_covers_header_and_claims(error_of: ErrorOf, forge: Forge) -> None:
    """The header or payload of another valid token does not match the signature."""
    token = forge.token()
    other_header = forge.token(header={"alg": "RS256", "kid": "A"})
    other_claims = forge.token({"sub": "U2other"})
    for index, donor in ((0, other_header), (1, other_claims), (2, other_claims)):
        tampered = with_segment(token, index, segment(donor, index))
        assert error_of(tampered).reason is TokenReason.SIGNATURE


@pytest.mark.parametrize("claims", [b"{", b"null", b'{"exp":1}'], ids=["broken", "null", "expired"])
def test_tv16_claims_are_not_read_before_the_signature_is_valid(
    error_of: ErrorOf, forge: Forge, claims: bytes
) -> None:
    """Claims with a wrong signature are neither malformed nor expired."""
    token = forge.token(claims)
    unsigned = with_segment(token, 2, segment(forge.token(), 2))
    assert error_of(unsigned).reason is TokenReason.SIGNATURE


def test_tv19_one_signature_is_checked_however_many_keys(key_pair: Mapping[str, Key], forge: Forge) -> None:
    """A token costs one RSA operation, with the key that it names."""
    used: list[str] = []

    class Counting(CryptographyRSAKey):
        def __init__(self, kid: str) -> None:
            self.kid = kid

        @override
        def verify(self, msg: bytes, sig: bytes) -> bool:
            used.append(self.kid)
            return key_pair["A"].rsa.verify(msg, sig)

    keys = {kid: Key(kid, Counting(kid), "") for kid in ("A", *map(str, range(31)))}
    verify(forge.token(), kinds=(TokenKind.SESSION,), keys=keys, policy=POLICY, now=NOW)
    assert used == ["A"]


def test_sc01_signatures_are_checked_by_cryptography(key_pair: Mapping[str, Key]) -> None:
    """The key class is the one based on cryptography, and not a fallback of python-jose."""
    assert {type(key.rsa) for key in key_pair.values()} == {CryptographyRSAKey}


def test_keys_are_compared_by_their_material(forge: Forge) -> None:
    """The fingerprint depends on modulus and exponent, and ``repr`` shows no key object."""
    one, same, other = (forge.jwk(name) for name in ("A", "A", "B"))
    first, again, second = (
        parse_key_set(json.dumps({"keys": [{**jwk, "kid": "kid"}]}).encode()).keys["kid"]
        for jwk in (one, same, other)
    )
    assert first == again
    assert first != second
    assert first.fingerprint == sha256(f"{one['n']}.{one['e']}".encode()).hexdigest()
    assert "RSA" not in repr(first)


PLAUSIBLE: Mapping[str, Mapping[str, object]] = {
    "as a good one": {},
    "of another user": {"sub": "U2other"},
    "of the second issuer": {"iss": "https://api.descope.com/P2forgeforgeforgeforgeforgefo"},
}
IMPLAUSIBLE: Mapping[str, Mapping[str, object]] = {
    "expired": {"exp": 1_799_999_000, "iat": 1_799_998_000},
    "of the future": {"iat": 1_900_000_000, "exp": 1_900_000_600},
    "of another issuer": {"iss": "https://evil.example/P2"},
    "for another audience": {"aud": "P2other"},
    "of another kind": {"drn": "DSR"},
    "without a user": {"sub": ""},
    "without a time": {"exp": None},
}


@pytest.mark.parametrize("changes", PLAUSIBLE.values(), ids=PLAUSIBLE)
def test_jw02_a_plausible_token_of_an_unknown_key_causes_a_fetch(
    error_of: ErrorOf, forge: Forge, changes: Mapping[str, object]
) -> None:
    """A newer key could make the token valid."""
    error = error_of(forge.token(forge.claims(**changes), key="C"))
    assert isinstance(error, UnknownKey)
    assert error.should_refetch


@pytest.mark.parametrize("changes", IMPLAUSIBLE.values(), ids=IMPLAUSIBLE)
def test_jw02_an_implausible_token_of_an_unknown_key_causes_no_fetch(
    error_of: ErrorOf, forge: Forge, changes: Mapping[str, object]
) -> None:
    """No key could make the token valid."""
    error = error_of(forge.token(forge.claims(**changes), key="C"))
    assert isinstance(error, UnknownKey)
    assert not error.should_refetch


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"a":NaN}'])
def test_jw02_a_malformed_payload_of_an_unknown_key_causes_no_fetch(
    error_of: ErrorOf, forge: Forge, raw: bytes
) -> None:
    """No key could make the token valid."""
    error = error_of(forge.token(raw, key="C"))
    assert isinstance(error, UnknownKey)
    assert not error.should_refetch
