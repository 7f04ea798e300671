"""``scripts/bench stampede``: 200 requests with one expired session, all at once or one every 3 ms.

Ours is a whole app, in one process and in two that share a Redis. The official SDK runs only
``validate_and_refresh_session``: in 40 threads, as FastAPI runs a synchronous dependency, and as a coroutine.
All refresh at the same emulator, in a process of its own behind a socket. Latencies are wall-clock times, so
only their ratio is meaningful. Exits 1 unless each of our stampedes answers every request with one call to
Descope. Needs redis-server.
"""

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

from descope import DescopeClient, DescopeClientAsync

from fastapi_descope.emulator import JwtPair
from tests.helpers.redis_server import RedisServer

from .page_requests import serve
from .peers.page_request import page_scope
from .upstream import PROCESSES, Upstream, both_cookies, frozen_garbage, running_upstream, serving

# The SDK uses untyped dicts.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

__all__ = ["REQUESTS", "Stampede", "main"]

REQUESTS = 200
_STAGGER_SECONDS = 0.003
_THREADS = 40  # in which Starlette runs synchronous dependencies
_WORKERS = 2
_OURS, _FLEET = "ours, one process", f"ours, {_WORKERS} processes and Redis"

_Latencies = Sequence[float | None]
"""The seconds of each request, or None if it failed."""

_Send = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class _Target:
    """The work of one process of ours: its Descope and Redis, and how many requests arrive how fast."""

    url: str
    project_id: str
    requests: int
    interval: float
    redis_url: str | None = None


@dataclass(frozen=True)
class Stampede:
    """The result of one stampede: seconds of the successful requests, failed requests, calls to Descope."""

    latencies: Sequence[float]
    failures: int
    calls: int

    @property
    def is_exact(self) -> bool:
        """Whether all requests succeeded with one call."""
        return (len(self.latencies), self.calls) == (REQUESTS, 1)


async def _send_all(send: _Send, requests: int, interval: float) -> _Latencies:
    async def request(number: int) -> float | None:
        await asyncio.sleep(interval * number)
        started = time.perf_counter()
        try:
            await send()
        except Exception:  # noqa: BLE001 - it counts as failed, whatever it is
            return None
        return time.perf_counter() - started

    return await asyncio.gather(*(request(number) for number in range(requests)))


async def _plugin(target: _Target, pair: JwtPair, when_ready: Callable[[], object]) -> _Latencies:
    async with serving(target.url, target.project_id, redis_url=target.redis_url) as app:
        when_ready()
        cookies = f"cookie: {both_cookies(pair)}"
        return await _send_all(lambda: serve(app, page_scope(cookies)), target.requests, target.interval)


def _run_plugin(upstream: Upstream, pair: JwtPair, interval: float) -> _Latencies:
    target = _Target(upstream.url, upstream.project_id, REQUESTS, interval)
    return asyncio.run(_plugin(target, pair, lambda: None))


def _run_fleet(redis: RedisServer, upstream: Upstream, pair: JwtPair, interval: float) -> _Latencies:
    target = _Target(
        upstream.url, upstream.project_id, REQUESTS // _WORKERS, interval * _WORKERS, redis_url=redis.url
    )
    barrier, workers = PROCESSES.Barrier(_WORKERS), [PROCESSES.Pipe() for _ in range(_WORKERS)]
    processes = [
        PROCESSES.Process(target=_work, args=(theirs, barrier, target, pair), daemon=True)
        for _, theirs in workers
    ]
    for process in processes:
        process.start()
    latencies: list[float | None] = []
    for ours, _ in workers:
        latencies += ours.recv()
    for process in processes:
        process.join()
    return latencies


def _work(pipe: Connection, barrier: Barrier, target: _Target, pair: JwtPair) -> None:
    """Take part in a stampede, as one process of a fleet."""
    with frozen_garbage():
        pipe.send(asyncio.run(_plugin(target, pair, barrier.wait)))


def _run_sdk_threads(upstream: Upstream, pair: JwtPair, interval: float) -> _Latencies:
    client = DescopeClient(project_id=upstream.project_id, base_url=upstream.url)

    async def run() -> _Latencies:
        loop = asyncio.get_running_loop()
        refresh = partial(client.validate_and_refresh_session, pair.session_jwt, pair.refresh_jwt)
        with ThreadPoolExecutor(_THREADS) as pool:
            await loop.run_in_executor(pool, client.refresh_session, pair.refresh_jwt)  # fetches the keys
            upstream.calls()
            return await _send_all(lambda: loop.run_in_executor(pool, refresh), REQUESTS, interval)

    return asyncio.run(run())


def _run_sdk_async(upstream: Upstream, pair: JwtPair, interval: float) -> _Latencies:
    async def run() -> _Latencies:
        async with DescopeClientAsync(project_id=upstream.project_id, base_url=upstream.url) as client:
            await client.refresh_session(pair.refresh_jwt)  # fetches the keys
            upstream.calls()
            refresh = partial(client.validate_and_refresh_session, pair.session_jwt, pair.refresh_jwt)
            return await _send_all(refresh, REQUESTS, interval)

    return asyncio.run(run())


_Run = Callable[[Upstream, JwtPair, float], _Latencies]


def _run(run: _Run, upstream: Upstream, interval: float) -> Stampede:
    (pair,) = upstream.expired_sessions(1)
    upstream.calls()
    latencies = run(upstream, pair, interval)
    succeeded = [each for each in latencies if each is not None]
    return Stampede(succeeded, len(latencies) - len(succeeded), upstream.calls())


def _format(name: str, stampedes: Sequence[Stampede]) -> str:
    """Return a line of the report: calls of each stampede, failures, percentiles over all of them."""
    calls = sorted({stampede.calls for stampede in stampedes})
    seconds = [each for stampede in stampedes for each in stampede.latencies]
    cuts = [cut * 1000 for cut in quantiles(seconds, n=100)] if len(seconds) > 1 else [float("nan")] * 99
    counts = f"{calls[0]}" if len(calls) == 1 else f"{calls[0]}-{calls[-1]}"
    failures = sum(stampede.failures for stampede in stampedes)
    return f"  {name:34}{counts:>9}{failures:>8}{cuts[49]:10.1f}{cuts[98]:10.1f}"


def _report(rounds: int, runs: dict[str, _Run], upstream: Upstream, interval: float) -> bool:
    """Run stampedes and print the results; return whether all of ours were exact."""
    results: dict[str, list[Stampede]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(_run(run, upstream, interval))
    arrival = f"one every {interval * 1000:g} ms" if interval else "all at once"
    print(f"\n{f'{REQUESTS} requests, {arrival}':36}{'calls':>9}{'failed':>8}{'p50 ms':>10}{'p99 ms':>10}")
    for name, stampedes in results.items():
        print(_format(name, stampedes))
    return all(stampede.is_exact for name in (_OURS, _FLEET) for stampede in results[name])


def main() -> int:
    """Run the stampedes, print the results, and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench stampede", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="number of stampedes of each kind (default: 5)")
    rounds = parser.parse_args().rounds
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: run scripts/setup", file=sys.stderr)
        return 1
    with TemporaryDirectory() as directory, running_upstream() as upstream, frozen_garbage():
        redis = RedisServer(Path(directory))
        runs: dict[str, _Run] = {
            _OURS: _run_plugin,
            _FLEET: partial(_run_fleet, redis),
            f"SDK in {_THREADS} threads": _run_sdk_threads,
            "SDK async": _run_sdk_async,
        }
        try:
            verdicts = [_report(rounds, runs, upstream, interval) for interval in (0.0, _STAGGER_SECONDS)]
        finally:
            redis.stop()
    print("\nok" if all(verdicts) else "\nABOVE: a stampede of ours did not cost exactly one call")
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
