"""The header of a token selects a key and changes no rule.

Requirements TV-05 to TV-10. Every header here has a valid signature.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping

import pytest

from fastapi_descope._tokens.claims import Key
from fastapi_descope.errors import TokenError, TokenReason
from fastapi_descope.session import Claims
from tests.helpers.tampering import Forge
from tests.hostile.tables.token_headers import ALGORITHMS, EXTENSIONS, KIDS, UNKNOWN_KIDS, hmac_secrets

ErrorOf = Callable[..., TokenError]
Verify = Callable[..., Claims]


@pytest.mark.parametrize("alg", ALGORITHMS.values(), ids=ALGORITHMS)
def test_tv05_any_algorithm_but_rs256_is_rejected(error_of: ErrorOf, forge: Forge, alg: object) -> None:
    """Only the exact string RS256 is accepted, and no option changes that."""
    header = {"kid": "A", "alg": alg} if alg is not ... else {"kid": "A"}
    assert error_of(forge.token(header=header)).reason is TokenReason.ALGORITHM


@pytest.mark.parametrize("alg", ["HS256", "RS256"])
def test_tv06_a_public_key_is_not_used_as_an_hmac_secret(error_of: ErrorOf, forge: Forge, alg: str) -> None:
    """A MAC made with the public key, in any encoding of the key, is not a valid signature."""
    text = forge.token(header={"alg": alg, "kid": "A"}).rpartition(".")[0]
    for secret in hmac_secrets(forge.private("A"), forge.jwk("A")):
        mac = urlsafe_b64encode(hmac.digest(secret, text.encode(), "sha256")).rstrip(b"=")
        reason = error_of(f"{text}.{mac.decode()}").reason
        assert reason is (TokenReason.SIGNATURE if alg == "RS256" else TokenReason.ALGORITHM)


@pytest.mark.parametrize("kid", KIDS.values(), ids=KIDS)
def test_tv07_an_invalid_key_id_is_rejected(error_of: ErrorOf, forge: Forge, kid: object) -> None:
    """A header without a valid ``kid`` is rejected, however many keys there are."""
    header = {"alg": "RS256", "kid": kid} if kid is not ... else {"alg": "RS256"}
    assert error_of(forge.token(header=header)).reason is TokenReason.HEADER


@pytest.mark.parametrize("kid", UNKNOWN_KIDS)
def test_tv07_a_key_is_found_by_its_exact_id_only(
    error_of: ErrorOf, forge: Forge, key_pair: Mapping[str, Key], kid: str
) -> None:
    """No other key is tried, although its signature would be valid."""
    token = forge.token(header={"alg": "RS256", "kid": kid})
    only = {"A": key_pair["A"]}
    assert error_of(token, keys=only).reason is TokenReason.UNKNOWN_KEY


def test_tv07_a_signature_of_another_key_is_rejected(error_of: ErrorOf, forge: Forge) -> None:
    """A token signed by key A that names key B is rejected, although both are in the set."""
    token = forge.token(header={"alg": "RS256", "kid": "B"}, key="A")
    assert error_of(token).reason is TokenReason.SIGNATURE


@pytest.mark.parametrize("extra", EXTENSIONS.values(), ids=EXTENSIONS)
def test_tv08_tv09_tv10_a_header_that_would_change_the_rules_is_rejected(
    error_of: ErrorOf, forge: Forge, extra: Mapping[str, object]
) -> None:
    """Embedded keys, critical extensions and other types are rejected (TV-08, TV-09, TV-10)."""
    token = forge.token(header={"alg": "RS256", "kid": "A", **extra})
    assert error_of(token).reason is TokenReason.HEADER


@pytest.mark.parametrize("typ", ["JWT", "jwt", "Jwt", "application/jwt", "Application/JWT", None])
def test_tv10_the_type_jwt_is_accepted(verify_token: Verify, forge: Forge, typ: str | None) -> None:
    """``typ`` is JWT in any case, with or without ``application/``, or absent."""
    header = {"alg": "RS256", "kid": "A"} | ({"typ": typ} if typ else {})
    assert verify_token(forge.token(header=header))["sub"] == "U2forge"


def test_a_known_header_is_checked_like_any_other(
    error_of: ErrorOf, verify_token: Verify, forge: Forge
) -> None:
    """The header of a valid token does not make other tokens with it valid, nor headers that resemble it."""
    token = forge.token()
    header, payload, signature = token.split(".")
    for _ in range(2):
        assert verify_token(token)["sub"] == "U2forge"
        assert (
            error_of(forge.token(key="B", header={"alg": "RS256", "kid": "A"})).reason
            is TokenReason.SIGNATURE
        )
        assert error_of(token, keys={}).reason is TokenReason.UNKNOWN_KEY
        assert error_of(f"{header[:-4]}.{payload}.{signature}").reason is TokenReason.MALFORMED
        assert error_of(f"{header}.{payload[:-4]}.{signature}").reason is TokenReason.SIGNATURE
