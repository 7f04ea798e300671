"""What one release stores in Redis, another one reads: both run during a deploy.

``recorded`` has what earlier releases have stored, so that every clone can read it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from tests.helpers.redis_server import RedisServer
from tests.helpers.result_format import decrypt_by_hand, encrypt_by_hand, name_by_hand

from .releases import PREVIOUS, previous_release, run_module
from .stored_values import PROJECT, TOKENS, dump, load, read, write

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

RECORDED = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "recorded").glob("*.json"))
}
"""What each earlier release has stored, by the release."""
PROGRAM = str(Path(__file__).with_name("stored_values.py"))
EXPECTED = {
    "results": {
        "rotated": ["session-of-rotated", "rotated-2", 1_800_000_500.5, False, False],
        "kept": ["session-of-kept", "kept", None, False, False],
        "presented": ["session-of-presented", "presented-2", 1_800_000_500, False, True],
        "limited": [None, None, 1_800_000_060.0, False, False],
        "logged-out": [None, None, None, False, False],
        "replaced-by-a-login": [None, None, None, True, False],
        "leased": "leased",
        "unknown": None,
    },
    "revoked user": True,
    "revoked token": True,
    "stale user": True,
    "other users": False,
}
"""What every release reads."""

NOTHING = {
    "results": dict.fromkeys(TOKENS) | {"leased": "leased"},
    "revoked user": False,
    "revoked token": False,
    "stale user": False,
    "other users": False,
}
"""What a release reads of values in a later format. A lease has no format."""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the previous release."""
    return previous_release(tmp_path_factory.mktemp("previous"))


@pytest.mark.parametrize("release", RECORDED)
async def test_values_of_an_earlier_release_are_read(redis_server: RedisServer, release: str) -> None:
    """Results, leases, logouts and revocations."""
    load(redis_server.url, RECORDED[release])

    assert await read(redis_server.url) == EXPECTED


@pytest.mark.parametrize("release", RECORDED)
async def test_an_earlier_release_finds_what_it_would_have_stored(
    redis_server: RedisServer, release: str
) -> None:
    """The same keys with the same members. Further members are ignored."""
    earlier = _plain(RECORDED[release])

    await write(redis_server.url)

    held = _plain(dump(redis_server.url))
    assert held.keys() == earlier.keys()
    for key, entries in earlier.items():
        for mine, theirs in zip(held[key], entries, strict=True):
            assert theirs.items() <= mine.items(), key


async def test_previous_release_reads_what_this_one_stores(redis_server: RedisServer, previous: Path) -> None:
    """In a process that runs the package of an older commit."""
    await write(redis_server.url)

    assert json.loads(run_module(previous, PROGRAM, "read", redis_server.url)) == EXPECTED


async def test_this_release_reads_what_the_previous_one_stores(
    redis_server: RedisServer, previous: Path
) -> None:
    """In a process that runs the package of an older commit."""
    run_module(previous, PROGRAM, "write", redis_server.url)

    assert await read(redis_server.url) == EXPECTED


async def test_values_of_a_later_format_count_as_absent(redis_server: RedisServer, previous: Path) -> None:
    """In the previous release as in this one. Neither takes them for another result, or fails."""
    await write(redis_server.url)
    later = {key: _as_later_format(key, value) for key, value in dump(redis_server.url).items()}
    redis_server.flush()
    load(redis_server.url, later)

    assert json.loads(run_module(previous, PROGRAM, "read", redis_server.url)) == NOTHING
    assert await read(redis_server.url) == NOTHING


async def test_recording_is_what_its_release_stores(redis_server: RedisServer, previous: Path) -> None:
    """The previous release has one."""
    output = run_module(previous, PROGRAM, "write", redis_server.url)

    assert _plain(json.loads(output)) == _plain(RECORDED[PREVIOUS[:7]])


_NAMES = {name_by_hand(token, PROJECT): token for token in TOKENS}
_MARKER = 1
_REPLACED_HEADER = 1 + 12 + 10
"""A marker, the nonce of the value that replaced this one, and a TTL in milliseconds."""


def _plain(held: Mapping[str, object]) -> dict[str, list[dict[str, object]]]:
    """Return the members of each value: of a result its marker and plaintext, of a stream its entries."""
    return {key: _members(key, value) for key, value in held.items()}


def _members(key: str, value: object) -> list[dict[str, object]]:
    if not isinstance(value, str):
        return [json.loads(entry) for entry in cast("list[str]", value)]
    stored = bytes.fromhex(value)
    match _kind(key):
        case "lease":
            return [{"length": len(stored)}]
        case "refresh":
            return [_result(key, stored)]
        case "replaced":
            return [_result(key, stored[_REPLACED_HEADER:])]
        case _:
            return [{"text": stored.decode()}]


def _result(key: str, stored: bytes) -> dict[str, object]:
    plaintext = decrypt_by_hand(stored[_MARKER:], _token(key), PROJECT)
    return {"marker": stored[:_MARKER], **json.loads(plaintext)}


def _as_later_format(key: str, value: object) -> object:
    """Return a value of the next version with a member that no release knows yet."""
    if not isinstance(value, str):
        return [entry.replace('"v":1', '"v":2,"more":1') for entry in cast("list[str]", value)]
    if _kind(key) != "refresh":
        return value
    stored = bytes.fromhex(value)
    members = json.loads(decrypt_by_hand(stored[_MARKER:], _token(key), PROJECT)) | {"version": 2, "more": 1}
    later = encrypt_by_hand(json.dumps(members).encode(), _token(key), PROJECT)
    return (stored[:_MARKER] + later).hex()


def _kind(key: str) -> str:
    return key.split(":")[2]


def _token(key: str) -> str:
    """Return the token whose hash is in the braces of a key."""
    return _NAMES[key.split("{")[1].rstrip("}")]
