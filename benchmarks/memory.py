"""``scripts/bench memory``: the memory of remembered sessions, and the cost of finding one among many.

A fresh process verifies the session token and the refresh token of 4,096 users, through the caches of a
verifier of the default size. It reports the bytes that Python has allocated for them, and the growth of the
process. Then tokens are looked up in caches of 1 to 100,000 sessions. Exits 1 if a limit is exceeded.
"""

import asyncio
import gc
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from fastapi_descope._tokens.claims import TokenPolicy
from fastapi_descope._tokens.verifier import TokenCache, TokenVerifier
from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator, Grants, Project, SeedTenant, SeedUser
from fastapi_descope.events import EventBus
from fastapi_descope.session import AuthSession

from .rounds import Benchmark, measure

__all__ = ["main", "project_with_users"]

SESSIONS = 4096
MAX_MEGABYTES = 12.0
"""For the sessions and the refresh tokens of all users."""
MAX_GROWTH = 3.0
"""A lookup among 100,000 sessions, divided by one in a cache of a single session. Both look once into a hash
table, but the entries of the larger cache are not in the processor's cache."""

_TENANTS = 40
_WARM_UP = 200
_SIZES = (1, 100, 10_000, 100_000)
_LOOKUPS, _ROUNDS = 500, 40
_PERMISSIONS = tuple(
    f"{name}.{verb}" for name in ("reports", "invoices") for verb in ("read", "write", "export")
)
_ROLES = (
    Grants(("admin", "billing-manager"), (*_PERMISSIONS, "users.manage", "settings.manage")),
    Grants(("editor",), _PERMISSIONS),
    Grants(("viewer",), ("reports.read", "invoices.read")),
)

_Tokens = list[tuple[str, str]]
_KeySet = tuple[dict[str, str], ...]


def project_with_users(users: int) -> Project:
    """Return a project whose users are each in two of its tenants, with roles and permissions."""
    random = Random(20_261_130)
    tenants = tuple(SeedTenant(f"T2{random.randbytes(13).hex()}", f"Tenant {n}") for n in range(_TENANTS))
    return Project(
        tenants=tenants,
        users=tuple(
            SeedUser(
                f"{random.randbytes(5).hex()}@customer{number % _TENANTS}.example",
                f"Customer {random.randbytes(4).hex()}",
                {tenant.id: random.choice(_ROLES) for tenant in random.sample(tenants, 2)},
            )
            for number in range(users)
        ),
    )


def _issue(users: int) -> tuple[_Tokens, _KeySet]:
    """Return a session token and a refresh token for each user, and the keys that verify them."""
    emulator = Emulator(project_with_users(users))
    pairs = [emulator.issue(user.user_id, next(iter(user.tenants))) for user in emulator.project.users]
    return [(pair.session_jwt, pair.refresh_jwt) for pair in pairs], emulator.public_keys


def _verifier(keys: _KeySet) -> TokenVerifier:
    async def fetch() -> tuple[bytes, int | None]:
        return json.dumps({"keys": keys}).encode(), 600

    return TokenVerifier(
        fetch,
        policy=TokenPolicy(DEFAULT_PROJECT_ID, frozenset({DEFAULT_PROJECT_ID})),
        clock=time.time,
        monotonic=time.monotonic,
        events=EventBus(),
        cache_size=SESSIONS,
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def _remember(verifier: TokenVerifier, path: Path, lines: range) -> None:
    """Verify the tokens in these lines of a file. Only the verifier keeps anything of them."""
    with path.open(encoding="ascii") as file:
        for number, line in enumerate(file):
            if number in lines:
                session, refresh = line.split()
                await verifier.verify_session(session)
                await verifier.verify_refresh_token(refresh)


def measure_growth(path: Path, keys: _KeySet, *, trace: bool) -> int:
    """Return how many bytes the process grows by when it remembers all users.

    Args:
        path: A file with the tokens of one user in each line; the first users are a warm-up.
        keys: The keys that verify the tokens.
        trace: Measure the memory that Python has allocated, and not the size of the process.
    """
    warm, verifier = _verifier(keys), _verifier(keys)
    asyncio.run(_remember(warm, path, range(_WARM_UP)))
    measure: Callable[[], int] = _resident_bytes
    if trace:
        tracemalloc.start()
        measure = _traced_bytes
    gc.collect()
    before = measure()
    asyncio.run(_remember(verifier, path, range(_WARM_UP, _WARM_UP + SESSIONS)))
    gc.collect()
    return measure() - before


def _traced_bytes() -> int:
    return tracemalloc.get_traced_memory()[0]


def _in_new_process(path: Path, keys: _KeySet, *, trace: bool) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure_growth, path, keys, trace=trace).result()


def _report_memory() -> bool:
    """Measure and print the memory; return whether it is within its limit."""
    tokens, keys = _issue(_WARM_UP + SESSIONS)
    session, refresh = tokens[0]
    print(f"{SESSIONS:,} users, tokens of {len(session):,} and {len(refresh):,} bytes")
    with TemporaryDirectory() as directory:
        path = Path(directory) / "tokens"
        path.write_text("\n".join(map(" ".join, tokens)), encoding="ascii")
        traced, grown = (_in_new_process(path, keys, trace=trace) for trace in (True, False))
    for name, size in (("allocated by Python", traced), ("growth of the process", grown)):
        print(f"  {name:24}{size / 1e6:6.2f} MB, {size / SESSIONS:7,.0f} bytes for each session")
    verdict = "ok" if max(traced, grown) <= MAX_MEGABYTES * 1e6 else "ABOVE"
    print(f"  at most {MAX_MEGABYTES:g} MB: {verdict}")
    return verdict == "ok"


def _text(number: int) -> bytes:
    """Return a text as long as a token. It is new, like a token from a socket."""
    return f"{number:01200}".encode()


def _filled_cache(size: int) -> TokenCache[AuthSession]:
    cache = TokenCache[AuthSession](size)
    for number in range(size):
        session = AuthSession.from_claims({"sub": str(number), "iat": 1, "exp": 2})
        cache.put(sha256(_text(number)).digest(), session, expires_at=2.0, subject=session.user.id)
    return cache


def _look_up(caches: Mapping[int, TokenCache[AuthSession]], size: int) -> Benchmark:
    """Look a token up in the cache of this size: digest, entry, expiry."""
    random, cache = Random(size), caches[size]

    def prepare(lookups: int) -> Callable[[], Awaitable[None]]:
        texts = [_text(random.randrange(size)) for _ in range(lookups)]

        async def batch() -> None:
            for text in texts:
                cache.get(sha256(text).digest(), 1.0)

        return batch

    return Benchmark(_LOOKUPS, prepare)


def _report_lookups() -> bool:
    """Time and print lookups in caches of several sizes; return whether the cost is flat."""
    caches = {size: _filled_cache(size) for size in _SIZES}
    names = {size: f"among {size:7,} sessions" for size in _SIZES}
    lookups = {names[size]: _look_up(caches, size) for size in _SIZES}
    timings = asyncio.run(measure(lookups, rounds=_ROUNDS))
    print("Lookup of a known token")
    for name in names.values():
        ratio = timings.ratio(name, names[1]).median
        print(f"  {name}{timings.time(name).median:8.2f} us, {ratio:5.2f} x among 1")
    verdict = "ok" if timings.ratio(names[_SIZES[-1]], names[1]).median <= MAX_GROWTH else "ABOVE"
    print(f"  at most {MAX_GROWTH:g} x: {verdict}")
    return verdict == "ok"


def main() -> int:
    """Run the benchmarks, print the results, and return the exit code."""
    return 0 if all([_report_memory(), _report_lookups()]) else 1


if __name__ == "__main__":
    sys.exit(main())
