"""Sealed results: what a store can learn from them, and what it can make of them (RD-03, RD-04)."""

import json

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._refresh.redis.encryption import NONCE_BYTES, ResultCipher
from fastapi_descope._refresh.store import RefreshResult

TOKEN = "canary-head.canary-body.canary-seal"
RESULT = RefreshResult("new-session", "new-refresh", 1_800_000_000.5)
CIPHER = ResultCipher("P1")

TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
TIMES = st.none() | st.floats(0, 1e11) | st.integers(0, 10**11)


def sealed_by_hand(plain: bytes, token: str = TOKEN) -> bytes:
    """What the holder of a refresh token could put into the store: the format, spelt out once more."""
    derived = HKDF(SHA256(), 32, None, b"fastapi-descope refresh result v1P1").derive(token.encode())
    nonce = b"\x01" * 12
    return nonce + AESGCM(derived).encrypt(nonce, plain, CIPHER.token_hash(token).encode())


@given(session=TEXTS, refresh=TEXTS, at=TIMES)
def test_what_was_sealed_comes_back(session: str | None, refresh: str | None, at: float | None) -> None:
    """Every result, for whoever holds the token that it belongs to."""
    result = RefreshResult(session, refresh, at)
    assert CIPHER.decrypt(TOKEN, CIPHER.encrypt(TOKEN, result)) == result
    assert ResultCipher("P1").decrypt(TOKEN, CIPHER.encrypt(TOKEN, result)) == result


def test_a_sealed_result_tells_nothing() -> None:
    """No token, old or new, and no field of it is to be seen; sealed twice, it looks different."""
    once, again = CIPHER.encrypt(TOKEN, RESULT), CIPHER.encrypt(TOKEN, RESULT)
    assert once[:NONCE_BYTES] != again[:NONCE_BYTES]
    assert once[NONCE_BYTES:] != again[NONCE_BYTES:]
    for secret in (b"canary", b"new-", b"session", b"refresh", b"1800000000"):
        assert secret not in once + again


def test_the_format() -> None:
    """Nonce, ciphertext, tag; readable to any version that knows the same purpose."""
    members = {"session_jwt": "new-session", "refresh_jwt": "new-refresh", "refresh_at": 1_800_000_000.5}
    assert CIPHER.decrypt(TOKEN, sealed_by_hand(json.dumps(members).encode())) == RESULT


@pytest.mark.parametrize(
    ("token", "project"), [(TOKEN + "x", "P1"), (TOKEN[:-1], "P1"), ("", "P1"), (TOKEN, "P2")]
)
def test_it_opens_for_its_token_only(token: str, project: str) -> None:
    """Another token, or the same in another project, opens nothing."""
    assert ResultCipher(project).decrypt(token, CIPHER.encrypt(TOKEN, RESULT)) is None


@pytest.mark.parametrize("superseded", [True, False])
def test_the_end_of_a_session_says_whose_it_is(superseded: bool) -> None:  # noqa: FBT001 - a member
    """A logout or a refusal, or another login in its place."""
    result = RefreshResult.ended(superseded=superseded)
    assert CIPHER.decrypt(TOKEN, CIPHER.encrypt(TOKEN, result)) == result


def test_every_bit_counts() -> None:
    """With one bit changed anywhere, it is nothing."""
    sealed = CIPHER.encrypt(TOKEN, RESULT)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << position % 8
        assert CIPHER.decrypt(TOKEN, bytes(changed)) is None


@given(st.binary(max_size=80))
def test_garbage_is_nothing(garbage: bytes) -> None:
    """Whatever bytes a store hands out, nothing is raised, and nothing believed."""
    assert CIPHER.decrypt(TOKEN, garbage) is None


@given(st.integers(0, 200))
def test_a_piece_is_nothing(length: int) -> None:
    """A sealed result that was cut opens no more."""
    sealed = CIPHER.encrypt(TOKEN, RESULT)
    assert CIPHER.decrypt(TOKEN, sealed[: min(length, len(sealed) - 1)]) is None


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"session_jwt": "a", "refresh_jwt": "b"}',
        b'{"session_jwt": 1, "refresh_jwt": "b", "refresh_at": null}',
        b'{"session_jwt": "a", "refresh_jwt": ["b"], "refresh_at": null}',
        b'{"session_jwt": "a", "refresh_jwt": "b", "refresh_at": "soon"}',
        b'{"session_jwt": "a", "refresh_jwt": "b", "refresh_at": NaN}',
        b'{"session_jwt": "a", "session_jwt": "c", "refresh_jwt": "b", "refresh_at": null}',
    ],
)
def test_only_a_result_is_a_result(plain: bytes) -> None:
    """What the holder of the token sealed is read strictly all the same."""
    assert CIPHER.decrypt(TOKEN, sealed_by_hand(plain)) is None


def test_names_tell_nothing() -> None:
    """A name is a hash: the same for one token of one project, another for any other."""
    names = {
        ResultCipher(project).token_hash(token) for project in ("P1", "P2") for token in (TOKEN, "b", "c")
    }
    assert len(names) == 6
    assert {len(bytes.fromhex(name)) for name in names} == {32}
    assert CIPHER.token_hash(TOKEN) == ResultCipher("P1").token_hash(TOKEN)
