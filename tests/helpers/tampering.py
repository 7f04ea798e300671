"""A token factory with real RSA keys, generated for each test run, and functions that tamper with tokens."""

import json
from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from fastapi_descope._tokens.claims import TokenPolicy

PROJECT = "P2forgeforgeforgeforgeforgefo"
NOW = 1_800_000_000
POLICY = TokenPolicy(PROJECT, frozenset({PROJECT, f"https://api.descope.com/{PROJECT}"}))

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def encode(raw: bytes) -> str:
    """Return unpadded base64url."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def segment(token: str, index: int) -> str:
    """Return one of the three segments of a token."""
    return token.split(".")[index]


def with_segment(token: str, index: int, text: str) -> str:
    """Return the token with one segment replaced."""
    parts = token.split(".")
    parts[index] = text
    return ".".join(parts)


def twin(text: str) -> str:
    """Return a second encoding of the same bytes, for lenient decoders: its unused bits are not zero."""
    return text[:-1] + ALPHABET[ALPHABET.index(text[-1]) + 1]


class Forge:
    """Creates keys, key sets and validly signed tokens. A key is identified by its name and cached."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, int], RSAPrivateKey] = {}

    def private(self, name: str = "A", bits: int = 2048) -> RSAPrivateKey:
        """Return the private key with this name and size."""
        if (name, bits) not in self._keys:
            self._keys[name, bits] = generate_private_key(65537, bits)
        return self._keys[name, bits]

    def jwk(self, name: str = "A", bits: int = 2048, /, **changes: object) -> dict[str, object]:
        """Return a JWK as Descope publishes it, with changes; ``...`` removes a member."""
        modulus = self.private(name, bits).public_key().public_numbers().n
        member: dict[str, object] = {
            "alg": "RS256",
            "e": "AQAB",
            "kid": name,
            "kty": "RSA",
            "n": encode(modulus.to_bytes(bits // 8)),
            "use": "sig",
        }
        return {name: value for name, value in (member | changes).items() if value is not ...}

    def key_set(self, *members: object) -> bytes:
        """Return the body of a key set. A single letter is the key of that name, else it is a raw member."""
        named = (self.jwk(m) if isinstance(m, str) and len(m) == 1 else m for m in members)
        return _json({"keys": list(named)})

    def claims(self, **changes: object) -> dict[str, object]:
        """Return the claims of a session token valid at ``NOW``, with changes; ``...`` removes a claim."""
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
        return {name: value for name, value in (good | changes).items() if value is not ...}

    def token(self, claims: object = None, *, header: object = None, key: str = "A") -> str:
        """Return a token signed with a key. Claims and header are objects, or raw bytes."""
        head = {"alg": "RS256", "kid": key, "typ": "JWT"} if header is None else header
        body = self.claims() if claims is None else claims
        text = f"{encode(_json(head))}.{encode(_json(body))}"
        return f"{text}.{encode(self.private(key).sign(text.encode(), PKCS1v15(), SHA256()))}"


def _json(part: object) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()
