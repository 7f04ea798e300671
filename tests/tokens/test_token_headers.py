"""A token's header: it names a key, and changes no rule.

Requirements TV-05 to TV-10. Every header here is genuinely signed.
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

Refusal = Callable[..., TokenError]
Verify = Callable[..., Claims]


@pytest.mark.parametrize("alg", ALGORITHMS.values(), ids=ALGORITHMS)
def test_tv05_only_rs256_is_an_algorithm(token_refusal: Refusal, forge: Forge, alg: object) -> None:
    """Nothing but the exact string RS256 is accepted, and no option changes that."""
    header = {"kid": "A", "alg": alg} if alg is not ... else {"kid": "A"}
    assert token_refusal(forge.token(header=header)).reason is TokenReason.ALGORITHM


@pytest.mark.parametrize("alg", ["HS256", "RS256"])
def test_tv06_a_public_key_is_no_secret(token_refusal: Refusal, forge: Forge, alg: str) -> None:
    """A MAC made with any form of the public key passes for no signature."""
    text = forge.token(header={"alg": alg, "kid": "A"}).rpartition(".")[0]
    for secret in hmac_secrets(forge.private("A"), forge.jwk("A")):
        mac = urlsafe_b64encode(hmac.digest(secret, text.encode(), "sha256")).rstrip(b"=")
        reason = token_refusal(f"{text}.{mac.decode()}").reason
        assert reason is (TokenReason.SIGNATURE if alg == "RS256" else TokenReason.ALGORITHM)


@pytest.mark.parametrize("kid", KIDS.values(), ids=KIDS)
def test_tv07_a_key_id_is_a_short_text(token_refusal: Refusal, forge: Forge, kid: object) -> None:
    """A header that names no key is refused; with one key in the set as well as with many."""
    header = {"alg": "RS256", "kid": kid} if kid is not ... else {"alg": "RS256"}
    assert token_refusal(forge.token(header=header)).reason is TokenReason.HEADER


@pytest.mark.parametrize("kid", UNKNOWN_KIDS)
def test_tv07_an_unknown_key_is_not_searched_for(
    token_refusal: Refusal, forge: Forge, key_pair: Mapping[str, Key], kid: str
) -> None:
    """Only the exact id finds a key: no other one is tried, although it would fit."""
    token = forge.token(header={"alg": "RS256", "kid": kid})
    only = {"A": key_pair["A"]}
    assert token_refusal(token, keys=only).reason is TokenReason.UNKNOWN_KEY


def test_tv07_the_key_of_another_id_does_not_count(token_refusal: Refusal, forge: Forge) -> None:
    """A token of key A that names key B is refused, although the set holds both."""
    token = forge.token(header={"alg": "RS256", "kid": "B"}, key="A")
    assert token_refusal(token).reason is TokenReason.SIGNATURE


@pytest.mark.parametrize("extra", EXTENSIONS.values(), ids=EXTENSIONS)
def test_tv08_tv09_tv10_a_header_changes_no_rules(
    token_refusal: Refusal, forge: Forge, extra: Mapping[str, object]
) -> None:
    """Keys brought along, critical extensions and other types are refused (TV-08, TV-09, TV-10)."""
    token = forge.token(header={"alg": "RS256", "kid": "A", **extra})
    assert token_refusal(token).reason is TokenReason.HEADER


@pytest.mark.parametrize("typ", ["JWT", "jwt", "Jwt", "application/jwt", "Application/JWT", None])
def test_tv10_a_jwt_may_say_so(token_verify: Verify, forge: Forge, typ: str | None) -> None:
    """The type is JWT in any case, with or without ``application/``, or not given at all."""
    header = {"alg": "RS256", "kid": "A"} | ({"typ": typ} if typ else {})
    assert token_verify(forge.token(header=header))["sub"] == "U2forge"
