"""``python -m benchmarks.revocation``: how long a revocation takes to reach four processes.

Four processes of uvicorn share a Redis. In each round a user has a known session, an idle WebSocket and an
idle event stream at every process, and logs out everywhere at the first. Prints the time from the sending of
the logout until the last process has refused a request, closed the WebSocket and ended the stream.
"""

import asyncio
import statistics
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from tests.helpers.redis_server import RedisServer
from tests.helpers.revocation_fleet import (
    Latency,
    project_with_users,
    running_workers,
    seconds_until_refused,
)

_ROUNDS = 100
_MILLISECONDS = 1000


async def _measure(emulator: Emulator, urls: Sequence[str]) -> list[Latency]:
    return [await seconds_until_refused(emulator, user.login_id, urls) for user in emulator.project.users]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the result. Returns the exit status."""
    parser = ArgumentParser(description="Measure how long a revocation takes to reach four processes.")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="how many users log out")
    options = parser.parse_args(arguments)
    emulator = Emulator(project_with_users(options.rounds))
    with TemporaryDirectory() as folder, running(emulator):
        redis = RedisServer(Path(folder))
        try:
            with running_workers(emulator, redis.url, Path(folder)) as urls:
                rounds = asyncio.run(_measure(emulator, urls))
        finally:
            redis.stop()
    print(f"{len(rounds)} rounds, {len(urls)} processes, milliseconds   p50    p99    max")
    for name in (each.name for each in fields(Latency)):
        times = sorted(getattr(each, name) * _MILLISECONDS for each in rounds)
        p99 = times[int(0.99 * (len(times) - 1))]
        print(f"  {name:<44} {statistics.median(times):>5.1f}  {p99:>5.1f}  {times[-1]:>5.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
