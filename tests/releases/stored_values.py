"""What a release stores in Redis, written and read by that release itself.

    python -P tests/releases/stored_values.py write REDIS_URL
    python -P tests/releases/stored_values.py read REDIS_URL

Runs the ``fastapi_descope`` on the path, whichever release it is, and imports no other module of the tests.
``write`` stores a value of each kind and prints what Redis then holds. ``read`` prints what is read.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from pydantic import SecretStr
from redis import Redis

from fastapi_descope._refresh.redis.store import RedisRefreshStore
from fastapi_descope._refresh.store import Lease, RefreshResult
from fastapi_descope._revocation.redis_log import RedisRevocationLog
from fastapi_descope._revocation.revocations import Revocations
from fastapi_descope.events import EventBus

__all__ = ["NOW", "PROJECT", "REVOKED_TOKEN", "TOKENS", "dump", "load", "read", "write"]

PROJECT = "P2abcdefghijklmnopqrstuvwxyz"
NOW = 1_800_000_000.0
REVOKED_TOKEN = "canary-head.canary-body.canary-seal"
_TTL = 600.0
_DAY = 24 * 3600

_REFRESHED = {
    "rotated": RefreshResult("session-of-rotated", "rotated-2", 1_800_000_500.5),
    "kept": RefreshResult("session-of-kept", "kept"),
    "presented": RefreshResult("session-of-presented", "presented-2", 1_800_000_500),
    "limited": RefreshResult.backoff(1_800_000_060.0),
    "logged-out": RefreshResult("session-of-logged-out", "logged-out-2"),
    "replaced-by-a-login": RefreshResult("session-of-replaced", "replaced-2"),
}
TOKENS = (*_REFRESHED, "leased", "unknown")


@asynccontextmanager
async def _release(url: str) -> AsyncGenerator[tuple[RedisRefreshStore, Revocations]]:
    """Yield the store and the revocations of a process of this release."""
    events = EventBus()
    store = RedisRefreshStore(
        SecretStr(url), project_id=PROJECT, events=events, timeout=10, lease_seconds=_TTL
    )
    revocations = Revocations(
        lambda: NOW,
        ttl=30 * _DAY,
        log=lambda deny_list: RedisRevocationLog(
            store.client,
            prefix=store.prefix,
            deny_list=deny_list,
            clock=lambda: NOW,
            ttl=30 * _DAY,
            events=events,
        ),
    )
    try:
        await revocations.ready()
        yield store, revocations
    finally:
        await revocations.aclose()
        await store.aclose()


async def write(url: str) -> None:
    """Store a value of each kind."""
    async with _release(url) as (store, revocations):
        for token, result in _REFRESHED.items():
            lease = await store.acquire(token)
            assert isinstance(lease, Lease)
            assert await store.complete(token, lease, result, _TTL)
        await store.mark_presented("presented-2", _TTL)
        await store.force_set("logged-out", RefreshResult.ended(), _TTL)
        await store.force_set("replaced-by-a-login", RefreshResult.ended(superseded=True), _TTL)
        await store.acquire("leased")
        await revocations.revoke_user("U2ada")
        await revocations.revoke_tokens("U2hank", [REVOKED_TOKEN], until=NOW + _TTL)
        await revocations.refresh_user("U2grace", at=NOW)


async def read(url: str) -> dict[str, object]:
    """Return what is read: of each refresh token its result, and which tokens are revoked."""
    async with _release(url) as (store, revocations):
        results = {token: _describe(await store.get(token)) for token in TOKENS}
        results["leased"] = "leased" if await store.acquire("leased") is None else "free"
        return {
            "results": results,
            "revoked user": revocations.denies("another.token.here", "U2ada", NOW),
            "revoked token": revocations.denies(REVOKED_TOKEN, "U2hank", NOW),
            "stale user": revocations.is_stale("U2grace", NOW),
            "other users": revocations.denies("another.token.here", "U2hank", NOW),
        }


def _describe(result: RefreshResult | None) -> object:
    if result is None:
        return None
    return [result.session_jwt, result.refresh_jwt, result.refresh_at, result.superseded, result.delivered]


def dump(url: str) -> dict[str, object]:
    """Return every key: the value of a string, in hexadecimal, or the entries of a stream."""
    client = _client(url)
    keys: list[bytes] = sorted(client.keys())
    held: dict[str, object] = {
        key.decode(): client.get(key).hex()
        if client.type(key) == b"string"
        else [fields[b"entry"].decode() for _, fields in client.xrange(key)]
        for key in keys
    }
    client.close()
    return held


def load(url: str, held: dict[str, object]) -> None:
    """Store the keys of a dump, for ten minutes."""
    client = _client(url)
    for key, value in held.items():
        if isinstance(value, str):
            client.set(key, bytes.fromhex(value), px=int(_TTL * 1000))
        else:
            for entry in cast("list[str]", value):
                client.xadd(key, {"entry": entry})
            client.pexpire(key, int(_TTL * 1000))
    client.close()


def _client(url: str) -> Any:  # redis-py leaves its types open
    return cast("Any", Redis).from_url(url)


def _main(arguments: Sequence[str]) -> None:
    what, url = arguments
    if what == "write":
        asyncio.run(write(url))
        output = dump(url)
    else:
        output = asyncio.run(read(url))
    print(json.dumps(output, indent=1, sort_keys=True))  # noqa: T201 - the output of a program


if __name__ == "__main__":
    _main(sys.argv[1:])
