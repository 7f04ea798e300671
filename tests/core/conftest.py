"""A forge for tokens: real RSA keys, made anew for every run, that sign whatever a test wants signed."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from fastapi_descope.core.keys import parse_jwks
from fastapi_descope.core.session import Claims
from fastapi_descope.core.tokens import Key, TokenKind, TokenPolicy, verify
from fastapi_descope.errors import TokenError

PROJECT = "P2forgeforgeforgeforgeforgefo"
NOW = 1_800_000_000


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _json(part: object) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def _signature(private: RSAPrivateKey, text: str) -> bytes:
    return private.sign(text.encode(), PKCS1v15(), SHA256())


@pytest.fixture(scope="session")
def key_private() -> Callable[..., RSAPrivateKey]:
    """A private RSA key by name and size; the same name has the same key all through the run."""
    made: dict[tuple[str, int], RSAPrivateKey] = {}

    def private(name: str = "A", *, bits: int = 2048) -> RSAPrivateKey:
        if (name, bits) not in made:
            made[name, bits] = generate_private_key(65537, bits)
        return made[name, bits]

    return private


@pytest.fixture(scope="session")
def key_jwk(key_private: Callable[..., RSAPrivateKey]) -> Callable[..., dict[str, object]]:
    """A JWK as Descope publishes it, with a test's changes; a change to None removes the member."""

    def jwk(name: str = "A", *, bits: int = 2048, **changes: object) -> dict[str, object]:
        numbers = key_private(name, bits=bits).public_key().public_numbers()
        member: dict[str, object] = {
            "alg": "RS256",
            "e": "AQAB",
            "kid": name,
            "kty": "RSA",
            "n": _encode(numbers.n.to_bytes(bits // 8)),
            "use": "sig",
        }
        return {k: v for k, v in (member | changes).items() if v is not None}

    return jwk


@pytest.fixture(scope="session")
def key_document(key_jwk: Callable[..., dict[str, object]]) -> Callable[..., bytes]:
    """The body of a key set: a single letter stands for that key, all else is a member as it is."""

    def document(*members: object) -> bytes:
        named = (key_jwk(m) if isinstance(m, str) and len(m) == 1 else m for m in members)
        return _json({"keys": list(named)})

    return document


@pytest.fixture(scope="session")
def key_set(key_document: Callable[..., bytes]) -> Mapping[str, Key]:
    """The keys A and B, parsed."""
    return parse_jwks(key_document("A", "B"))


@pytest.fixture(scope="session")
def token_now() -> int:
    """The frozen time at which ``token_claims`` begin to hold."""
    return NOW


@pytest.fixture(scope="session")
def token_policy() -> TokenPolicy:
    """What a project without an audience of its own demands."""
    issuers = frozenset({PROJECT, f"https://api.descope.com/{PROJECT}"})
    return TokenPolicy(project_id=PROJECT, issuers=issuers)


@pytest.fixture(scope="session")
def token_claims() -> Callable[..., dict[str, object]]:
    """The claims of a good session, with a test's changes; ``without`` names claims to leave out."""

    def claims(without: str = "", **changes: object) -> dict[str, object]:
        good: dict[str, object] = {
            "amr": ["fed"],
            "dct": "T1",
            "drn": "DS",
            "exp": NOW + 600,
            "iat": NOW,
            "iss": PROJECT,
            "sub": "U2forge",
            "tenants": {"T1": {"roles": ["admin"], "permissions": []}},
        }
        return {k: v for k, v in (good | changes).items() if k != without}

    return claims


@pytest.fixture(scope="session")
def token_forge(
    key_private: Callable[..., RSAPrivateKey],
    token_claims: Callable[..., dict[str, object]],
) -> Callable[..., str]:
    """A token truly signed by key ``key``; claims and header may be objects, or bytes of any kind."""

    def forge(claims: object = None, *, header: object = None, key: str = "A") -> str:
        head = {"alg": "RS256", "kid": key, "typ": "JWT"} if header is None else header
        body = token_claims() if claims is None else claims
        text = f"{_encode(_json(head))}.{_encode(_json(body))}"
        return f"{text}.{_encode(_signature(key_private(key), text))}"

    return forge


@pytest.fixture(scope="session")
def token_verify(key_set: Mapping[str, Key], token_policy: TokenPolicy) -> Callable[..., Claims]:
    """``verify`` as a session at the frozen time, unless a test says otherwise."""

    def run(
        token: object,
        kind: TokenKind = TokenKind.SESSION,
        *,
        now: float = NOW,
        policy: TokenPolicy = token_policy,
        keys: Mapping[str, Key] = key_set,
    ) -> Claims:
        return verify(token, kind=kind, keys=keys, policy=policy, now=now)

    return run


@pytest.fixture(scope="session")
def token_refusal(token_verify: Callable[..., Claims]) -> Callable[..., TokenError]:
    """The error that a token meets: it is of our family, and tells nothing but a reason (LG-02)."""

    def refusal(token: object, *arguments: object, **options: object) -> TokenError:
        with pytest.raises(TokenError) as caught:
            token_verify(token, *arguments, **options)
        assert caught.value.__context__ is None
        assert str(caught.value) == "The session is not valid"
        return caught.value

    return refusal
