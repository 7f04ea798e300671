"""Single verdicts: a token verified, known, or refused; cookies read, or not even looked at."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from fastapi_descope import DescopeSettings
from fastapi_descope._encoding import base64url
from fastapi_descope._tokens.claims import TokenKind, TokenPolicy, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope._tokens.verifier import TokenVerifier
from fastapi_descope._web.credentials import CredentialsReader
from fastapi_descope.emulator import Emulator
from fastapi_descope.errors import TokenError
from fastapi_descope.events import EventBus

from .rounds import Contender

__all__ = ["HUGE", "KNOWN", "RAW", "REFUSED", "VERIFY", "verdict_contenders"]

RAW, VERIFY, KNOWN = "raw RSA verification", "verify", "session(), known"
REFUSED = ("refused: four parts", "refused: stray character", "refused: unused bits", "refused: size")
HUGE = ("2 MB of cookies in one header", "2 MB of cookies in 2,000 headers")
_SLOW, _FAST, _FEW = 40, 200, 5

_Prepare = Callable[[int], Callable[[], Awaitable[None]]]


@dataclass(frozen=True)
class _Case:
    """One project's keys, what its tokens must say, and the tokens of one user."""

    key_set: bytes
    policy: TokenPolicy
    session_jwt: str
    refresh_jwt: str


def verdict_contenders(emulator: Emulator) -> Mapping[str, Contender]:
    """Every kind of verdict on the tokens of one signed-in user of the emulator."""
    pair = emulator.issue("ada@acme.example", "acme")
    case = _Case(
        json.dumps({"keys": emulator.public_keys}).encode(),
        TokenPolicy(emulator.project_id, frozenset({emulator.project_id})),
        pair.session_jwt,
        pair.refresh_jwt,
    )
    pair_header = f"DS={case.session_jwt}; DSR={case.refresh_jwt}"
    return {
        RAW: Contender(_SLOW, _raw(emulator, case)),
        VERIFY: Contender(_SLOW, _verifying(case)),
        KNOWN: Contender(_FAST, _known(case)),
        "read cookies, DS and DSR": Contender(_FAST, _reading([pair_header])),
        HUGE[0]: Contender(_FEW, _reading(["DS=" + "a" * 2_000_000])),
        HUGE[1]: Contender(_FEW, _reading([f"DS{number}=" + "a" * 1_000 for number in range(2_000)])),
        **_refusals(case),
    }


def _refusals(case: _Case) -> Mapping[str, Contender]:
    token = case.session_jwt
    # A signature of 256 bytes ends with a character whose last four bits are unused, so zero.
    texts = (f"{token}.", f"{token[:-9]}!{token[-8:]}", token[:-1] + "B", token * 8)
    return {name: Contender(_FAST, _refusing(case, text)) for name, text in zip(REFUSED, texts, strict=True)}


def _repeated(operation: Callable[[], object]) -> _Prepare:
    def prepare(size: int) -> Callable[[], Awaitable[None]]:
        async def batch() -> None:
            for _ in range(size):
                operation()

        return batch

    return prepare


def _raw(emulator: Emulator, case: _Case) -> _Prepare:
    """What no verifier can do without: one RSA operation, all else prepared."""
    (jwk,) = emulator.public_keys
    exponent, modulus = (int.from_bytes(base64url.decode(jwk[name].encode())) for name in ("e", "n"))
    key = RSAPublicNumbers(exponent, modulus).public_key()
    signed, _, signature = case.session_jwt.encode().rpartition(b".")
    decoded = base64url.decode(signature)
    padding, digest = PKCS1v15(), SHA256()
    return _repeated(lambda: key.verify(decoded, signed, padding, digest))


def _verifying(case: _Case) -> _Prepare:
    keys, now = parse_key_set(case.key_set).keys, time.time()
    return _repeated(
        partial(verify, case.session_jwt, kind=TokenKind.SESSION, keys=keys, policy=case.policy, now=now)
    )


def _refusing(case: _Case, text: str) -> _Prepare:
    keys, now = parse_key_set(case.key_set).keys, time.time()

    def refuse() -> None:
        with suppress(TokenError):
            verify(text, kind=TokenKind.SESSION, keys=keys, policy=case.policy, now=now)
            raise AssertionError("this token was to be refused")

    return _repeated(refuse)


def _known(case: _Case) -> _Prepare:
    async def fetch() -> tuple[bytes, int | None]:
        return case.key_set, 600

    cache = TokenVerifier(
        fetch, policy=case.policy, clock=time.time, monotonic=time.monotonic, events=EventBus()
    )

    def prepare(size: int) -> Callable[[], Awaitable[None]]:
        # New objects, as from a socket: a string remembers its hash.
        texts = [case.session_jwt.encode().decode() for _ in range(size)]

        async def batch() -> None:
            for text in texts:
                await cache.verify_session(text)

        return batch

    return prepare


def _reading(values: list[str]) -> _Prepare:
    reader = CredentialsReader(DescopeSettings(project_id="P" + "a" * 27))
    headers = [(b"cookie", value.encode()) for value in values]
    return _repeated(partial(reader.read, {"type": "http", "method": "GET", "headers": headers}))
