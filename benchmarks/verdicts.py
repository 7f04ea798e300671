"""Single verdicts: a token verified, known, or refused; cookies read, or not even looked at."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from fastapi_descope import DescopeSettings
from fastapi_descope.core import base64url
from fastapi_descope.core.jwks import parse_key_set
from fastapi_descope.core.keys import KeyCache
from fastapi_descope.core.tokens import TokenKind, TokenPolicy, verify
from fastapi_descope.emulator import Emulator
from fastapi_descope.errors import TokenError
from fastapi_descope.events import Events
from fastapi_descope.web.cookies import SessionCookies

from .rounds import Contender

__all__ = ["HUGE", "RAW", "REFUSED", "VERIFY", "verdict_contenders"]

RAW, VERIFY = "raw RSA verification", "verify"
REFUSED = ("refused: not three parts", "refused: stray character", "refused: unused bits", "refused: size")
HUGE = ("2 MB of cookies in one header", "2 MB of cookies in 2,000 headers")
_SLOW, _FAST, _FEW = 40, 200, 5


def verdict_contenders(emulator: Emulator) -> Mapping[str, Contender]:
    """Every kind of verdict on the tokens of one signed-in user of the emulator."""
    pair = emulator.issue("ada@acme.example", "acme")
    policy = TokenPolicy(emulator.project_id, frozenset({emulator.project_id}))
    document = emulator.key_set()
    return {
        RAW: _each(_raw(emulator, pair.session_jwt), _SLOW),
        VERIFY: _each(_verify(document, policy, pair.session_jwt), _SLOW),
        "session(), known": _known(document, policy, pair.session_jwt),
        "read cookies, DS and DSR": _reading([f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"], _FAST),
        HUGE[0]: _reading(["DS=" + "a" * 2_000_000], _FEW),
        HUGE[1]: _reading([f"DS{number}=" + "a" * 1_000 for number in range(2_000)], _FEW),
        **_refusals(document, policy, pair.session_jwt),
    }


def _refusals(document: bytes, policy: TokenPolicy, token: str) -> Mapping[str, Contender]:
    header, payload, signature = token.split(".")
    texts = (f"{token}.", f"{header}.{payload}!.{signature}", f"{header}.{payload}.{signature[:-1]}B", "a" * 9_000)
    return {
        name: _each(_refusal(document, policy, text), _FAST) for name, text in zip(REFUSED, texts, strict=True)
    }
