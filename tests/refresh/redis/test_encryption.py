"""Encrypted results: a store can neither read nor change them (RD-03, RD-04)."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_descope._refresh.redis.encryption import NONCE_BYTES, ResultCipher
from fastapi_descope._refresh.store import RefreshResult
from tests.helpers import result_format
from tests.helpers.result_format import decrypt_by_hand

TOKEN = "canary-header.canary-payload.canary-signature"
RESULT = RefreshResult("new-session", "new-refresh", 1_800_000_000.5)
CIPHER = ResultCipher("P1")

TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
TIMES = st.none() | st.floats(0, 1e11) | st.integers(0, 10**11)


def encrypt_by_hand(plaintext: bytes) -> bytes:
    """Encrypt like the holder of the token could."""
    return result_format.encrypt_by_hand(plaintext, TOKEN, "P1")


@given(session=TEXTS, refresh=TEXTS, at=TIMES)
def test_encrypted_result_round_trips(session: str | None, refresh: str | None, at: float | None) -> None:
    """Every result can be decrypted with the token that it belongs to."""
    result = RefreshResult(session, refresh, at)
    assert CIPHER.decrypt(TOKEN, CIPHER.encrypt(TOKEN, result)) == result
    assert ResultCipher("P1").decrypt(TOKEN, CIPHER.encrypt(TOKEN, result)) == result


def test_ciphertext_reveals_nothing() -> None:
    """It contains no token and no field name, and encrypting twice gives different bytes."""
    once, again = CIPHER.encrypt(TOKEN, RESULT), CIPHER.encrypt(TOKEN, RESULT)
    assert once[:NONCE_BYTES] != again[:NONCE_BYTES]
    assert once[NONCE_BYTES:] != again[NONCE_BYTES:]
    for secret in (b"canary", b"new-", b"session", b"refresh", b"1800000000"):
        assert secret not in once + again


def test_previous_release_and_this_one_read_each_others_values() -> None:
    """Both run during a deploy. The previous one ignores members that it does not know."""
    plaintext = decrypt_by_hand(CIPHER.encrypt(TOKEN, RESULT), TOKEN, "P1")
    previous = {"session_jwt": "new-session", "refresh_jwt": "new-refresh", "refresh_at": 1_800_000_000.5}
    assert json.loads(plaintext) == previous | {"superseded": False, "version": 1}
    superseded = encrypt_by_hand(json.dumps(previous | {"superseded": True}).encode())
    assert CIPHER.decrypt(TOKEN, superseded) == replace(RESULT, superseded=True)


def test_value_of_a_later_format_counts_as_absent() -> None:
    """It is not taken for another result."""
    members = {"session_jwt": None, "refresh_jwt": None, "refresh_at": None, "version": 2}
    assert CIPHER.decrypt(TOKEN, encrypt_by_hand(json.dumps(members).encode())) is None


def test_format_is_nonce_ciphertext_and_tag() -> None:
    """Every version with the same purpose string can decrypt it."""
    members = {"session_jwt": "new-session", "refresh_jwt": "new-refresh", "refresh_at": 1_800_000_000.5}
    assert CIPHER.decrypt(TOKEN, encrypt_by_hand(json.dumps(members).encode())) == RESULT


@pytest.mark.parametrize(
    ("token", "project"), [(TOKEN + "x", "P1"), (TOKEN[:-1], "P1"), ("", "P1"), (TOKEN, "P2")]
)
def test_only_the_same_token_and_project_decrypt(token: str, project: str) -> None:
    """Another token, or the same token in another project, gives None."""
    assert ResultCipher(project).decrypt(token, CIPHER.encrypt(TOKEN, RESULT)) is None


@pytest.mark.parametrize("superseded", [True, False])
def test_superseded_round_trips(superseded: bool) -> None:
    """The end of a session by a new login differs from a logout."""
    result = RefreshResult.ended(superseded=superseded)
    assert CIPHER.decrypt(TOKEN, CIPHER.encrypt(TOKEN, result)) == result


def test_any_changed_bit_is_rejected() -> None:
    """Changing one bit anywhere gives None."""
    ciphertext = CIPHER.encrypt(TOKEN, RESULT)
    for position in range(len(ciphertext)):
        changed = bytearray(ciphertext)
        changed[position] ^= 1 << position % 8
        assert CIPHER.decrypt(TOKEN, bytes(changed)) is None


@given(st.binary(max_size=80))
def test_random_bytes_are_rejected(garbage: bytes) -> None:
    """Arbitrary bytes from a store give None and raise nothing."""
    assert CIPHER.decrypt(TOKEN, garbage) is None


@given(st.integers(0, 200))
def test_truncated_ciphertext_is_rejected(length: int) -> None:
    """A ciphertext without its end gives None."""
    ciphertext = CIPHER.encrypt(TOKEN, RESULT)
    assert CIPHER.decrypt(TOKEN, ciphertext[: min(length, len(ciphertext) - 1)]) is None


@pytest.mark.parametrize(
    "plaintext",
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
def test_malformed_plaintext_is_rejected(plaintext: bytes) -> None:
    """A plaintext is parsed strictly, although only the holder of the token can have encrypted it."""
    assert CIPHER.decrypt(TOKEN, encrypt_by_hand(plaintext)) is None


def test_token_hash_depends_on_token_and_project() -> None:
    """The hash is the same for one token of one project, and differs for any other."""
    names = {
        ResultCipher(project).token_hash(token) for project in ("P1", "P2") for token in (TOKEN, "b", "c")
    }
    assert len(names) == 6
    assert {len(bytes.fromhex(name)) for name in names} == {32}
    assert CIPHER.token_hash(TOKEN) == ResultCipher("P1").token_hash(TOKEN)
