"""Headers of tokens that name no key, or try to change the rules (requirements TV-05 to TV-10)."""

import json
from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHMS: Mapping[str, object] = {
    "missing": ...,
    "none": "none",
    "None": "None",
    "nOnE": "nOnE",
    "empty": "",
    "RS": "RS",
    "prefix": "RS2561",
    "lower": "rs256",
    "trailing space": "RS256 ",
    "nul": "RS256\x00",
    "long s": "R\u017f256",
    "HS256": "HS256",
    "HS384": "HS384",
    "HS512": "HS512",
    "RS384": "RS384",
    "RS512": "RS512",
    "PS256": "PS256",
    "ES256": "ES256",
    "EdDSA": "EdDSA",
    "RSA-OAEP": "RSA-OAEP",
    "null": None,
    "one": 1,
    "true": True,
    "list": [],
    "list of it": ["RS256"],
    "object": {},
    "object of it": {"RS256": 1},
}

KIDS: Mapping[str, object] = {
    "missing": ...,
    "null": None,
    "int": 1,
    "true": True,
    "list": ["A"],
    "object": {"A": 1},
    "empty": "",
    "257 characters": "A" * 257,
}

UNKNOWN_KIDS = ("a", "A ", " A", "AA", "C", "\u0410", "A\x00", "A" * 256)
"""Key ids that resemble that of key A."""

EXTENSIONS: Mapping[str, Mapping[str, object]] = {
    "tv08-jwk": {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
    "tv08-jwk null": {"jwk": None},
    "tv08-jku": {"jku": "https://127.0.0.1/keys"},
    "tv08-x5u": {"x5u": "https://127.0.0.1/cert"},
    "tv08-x5c": {"x5c": ["AA"]},
    "tv09-crit unknown": {"crit": ["x"], "x": 1},
    "tv09-crit empty": {"crit": []},
    "tv09-crit string": {"crit": "exp"},
    "tv09-crit null": {"crit": None},
    "tv09-crit exp": {"crit": ["exp"], "exp": 1},
    "tv09-crit b64": {"crit": ["b64"], "b64": False},
    "tv09-b64 false": {"b64": False},
    "tv09-b64 true": {"b64": True},
    "tv09-zip": {"zip": "DEF"},
    "tv09-zip null": {"zip": None},
    "tv10-logout": {"typ": "logout+jwt"},
    "tv10-dpop": {"typ": "dpop+jwt"},
    "tv10-at": {"typ": "at+jwt"},
    "tv10-empty": {"typ": ""},
    "tv10-space": {"typ": "JWT "},
    "tv10-int": {"typ": 1},
    "tv10-null": {"typ": None},
    "tv10-list": {"typ": ["JWT"]},
    "tv10-slash": {"typ": "/jwt"},
    "tv10-other type": {"typ": "text/jwt"},
}


def hmac_secrets(private: RSAPrivateKey, jwk: Mapping[str, object]) -> Iterator[bytes]:
    """Yield every encoding of the public key that a confused verifier could use as an HMAC secret."""
    public = private.public_key()
    for encoding in (Encoding.PEM, Encoding.DER):
        for form in (PublicFormat.PKCS1, PublicFormat.SubjectPublicKeyInfo):
            yield public.public_bytes(encoding, form)
    yield str(jwk["n"]).encode()
    yield json.dumps(jwk).encode()
    yield b""
