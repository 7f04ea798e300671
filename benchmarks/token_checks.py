"""Single checks: a token verified, cached or rejected; cookies read, or skipped."""

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
from fastapi_descope._encoding import base64url_decode
from fastapi_descope._tokens.claims import TokenKind, TokenPolicy, verify
from fastapi_descope._tokens.jwks import parse_key_set
from fastapi_descope._tokens.verifier import TokenVerifier
from fastapi_descope._web.credentials import CredentialsReader
from fastapi_descope.emulator import Emulator
from fastapi_descope.errors import TokenError
from fastapi_descope.events import EventBus

from .rounds import Benchmark

__all__ = ["HUGE_COOKIES", "KNOWN", "RAW_RSA", "REJECTED", "VERIFY", "token_benchmarks"]

RAW_RSA, VERIFY, KNOWN = "raw RSA verification", "verify", "verify, cached"
REJECTED = ("rejected: four parts", "rejected: stray character", "rejected: unused bits", "rejected: size")
HUGE_COOKIES = ("2 MB of cookies in one header", "2 MB of cookies in 2,000 headers")
_SLOW, _FAST, _FEW = 40, 200, 5

_Prepare = Callable[[int], Callable[[], Awaitable[None]]]


@dataclass(frozen=True)
class _Case:
    """The keys of a project, the policy for its tokens, and the tokens of one user."""

    key_set: bytes
    policy: TokenPolicy
    session_jwt: str
    refresh_jwt: str


def token_benchmarks(emulator: Emulator) -> Mapping[str, Benchmark]:
    """Return the benchmark of each check, with the tokens of one user of the emulator."""
    pair = emulator.issue("ada@acme.example", "acme")
    case = _Case(
        json.dumps({"keys": emulator.public_keys}).encode(),
        TokenPolicy(emulator.project_id, frozenset({emulator.project_id})),
        pair.session_jwt,
        pair.refresh_jwt,
    )
    pair_header = f"DS={case.session_jwt}; DSR={case.refresh_jwt}"
    return {
        RAW_RSA: Benchmark(_SLOW, _raw_rsa(emulator, case)),
        VERIFY: Benchmark(_SLOW, _verify(case)),
        KNOWN: Benchmark(_FAST, _verify_cached(case)),
        "read cookies, DS and DSR": Benchmark(_FAST, _read_cookies([pair_header])),
        HUGE_COOKIES[0]: Benchmark(_FEW, _read_cookies(["DS=" + "a" * 2_000_000])),
        HUGE_COOKIES[1]: Benchmark(
            _FEW, _read_cookies([f"DS{number}=" + "a" * 1_000 for number in range(2_000)])
        ),
        **_rejection_benchmarks(case),
    }


def _rejection_benchmarks(case: _Case) -> Mapping[str, Benchmark]:
    token = case.session_jwt
    # The last character of a signature of 256 bytes has four unused bits, which must be zero.
    tokens = (f"{token}.", f"{token[:-9]}!{token[-8:]}", token[:-1] + "B", token * 8)
    return {
        name: Benchmark(_FAST, _reject(case, token)) for name, token in zip(REJECTED, tokens, strict=True)
    }


def _repeated(operation: Callable[[], object]) -> _Prepare:
    def prepare(size: int) -> Callable[[], Awaitable[None]]:
        async def batch() -> None:
            for _ in range(size):
                operation()

        return batch

    return prepare


def _raw_rsa(emulator: Emulator, case: _Case) -> _Prepare:
    """Time the one RSA operation that every verifier needs, with everything else prepared."""
    (jwk,) = emulator.public_keys
    exponent, modulus = (int.from_bytes(base64url_decode(jwk[name].encode())) for name in ("e", "n"))
    key = RSAPublicNumbers(exponent, modulus).public_key()
    signed, _, signature = case.session_jwt.encode().rpartition(b".")
    decoded = base64url_decode(signature)
    padding, digest = PKCS1v15(), SHA256()
    return _repeated(lambda: key.verify(decoded, signed, padding, digest))


def _verify(case: _Case) -> _Prepare:
    keys, now = parse_key_set(case.key_set).keys, time.time()
    return _repeated(
        partial(verify, case.session_jwt, kinds=(TokenKind.SESSION,), keys=keys, policy=case.policy, now=now)
    )


def _reject(case: _Case, token: str) -> _Prepare:
    keys, now = parse_key_set(case.key_set).keys, time.time()

    def reject() -> None:
        with suppress(TokenError):
            verify(token, kinds=(TokenKind.SESSION,), keys=keys, policy=case.policy, now=now)
            raise AssertionError("this token must be rejected")

    return _repeated(reject)


def _verify_cached(case: _Case) -> _Prepare:
    async def fetch() -> tuple[bytes, int | None]:
        return case.key_set, 600

    cache = TokenVerifier(
        fetch, policy=case.policy, clock=time.time, monotonic=time.monotonic, events=EventBus()
    )

    def prepare(size: int) -> Callable[[], Awaitable[None]]:
        # New objects, as from a socket: a string caches its hash.
        tokens = [case.session_jwt.encode().decode() for _ in range(size)]

        async def batch() -> None:
            for token in tokens:
                await cache.verify_session(token)

        return batch

    return prepare


def _read_cookies(values: list[str]) -> _Prepare:
    reader = CredentialsReader(DescopeSettings(project_id="P" + "a" * 27))
    headers = [(b"cookie", value.encode()) for value in values]
    return _repeated(partial(reader.read, {"type": "http", "method": "GET", "headers": headers}))
