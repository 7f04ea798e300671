"""``scripts/bench capacity``: what sessions, refreshes and connections cost, on this machine.

Redis memory for each refreshed session, at 1,000, 10,000 and 100,000 sessions; memory of a worker for each
known session and each keep-alive connection; commands and bytes for each refresh; refreshes in a second with
one worker and with four. docs/operations/capacity.md computes from these figures what larger apps need.
Needs redis-server.
"""

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from .connections import measure_connections, measure_known_sessions
from .redis_memory import measure_redis_memory, token_lengths
from .refreshes import measure_throughput, measure_traffic

__all__ = ["main"]

_SESSIONS = (1_000, 10_000, 100_000)
_KNOWN, _REFRESHES, _CONNECTIONS = 4_096, 1_000, 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the results, and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench capacity", description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="*", default=_SESSIONS, help="sessions in Redis")
    parser.add_argument("--known", type=int, default=_KNOWN, help="sessions that a worker knows")
    parser.add_argument("--refreshes", type=int, default=_REFRESHES, help="refreshes of each worker")
    parser.add_argument("--connections", type=int, default=_CONNECTIONS, help="keep-alive connections")
    options = parser.parse_args(arguments)
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: run scripts/setup", file=sys.stderr)
        return 1
    session, refresh = token_lengths()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()};"
        f" tokens of {session:,} and {refresh:,} bytes"
    )
    for sessions in options.sessions:
        _print_redis_memory(sessions)
    print(
        f"A worker: {measure_known_sessions(options.known):,.0f} bytes for each of {options.known:,} sessions"
    )
    _print_refreshes(options.refreshes)
    cost = measure_connections(options.connections)
    print(
        f"{cost.connections:,} keep-alive connections to four workers:"
        f" {cost.bytes_each:,.0f} bytes and {cost.files_each:.2f} descriptors for each"
    )
    return 0


def _print_redis_memory(sessions: int) -> None:
    memory = measure_redis_memory(sessions)
    print(
        f"Redis, {sessions:7,} sessions: {memory.refreshed:6,.0f} bytes after a refresh,"
        f" {memory.presented:5,.0f} when the new token was presented;"
        f" its process grew by {memory.resident:6,.0f}; {memory.per_second:,.0f} written in a second",
        flush=True,
    )


def _print_refreshes(refreshes: int) -> None:
    traffic = measure_traffic(refreshes)
    print(
        f"A refresh: {traffic.commands:.1f} commands and {traffic.redis_bytes:,.0f} bytes to and from Redis,"
        f" {traffic.descope_bytes:,.0f} bytes to and from Descope"
    )
    for workers in (1, 4):
        found = measure_throughput(workers, workers * refreshes)
        print(
            f"{workers} workers: {found.per_second:,.0f} refreshes in a second;"
            f" CPU time for each: {found.worker_ms:.2f} ms in a worker, {found.redis_ms:.2f} ms in Redis",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
