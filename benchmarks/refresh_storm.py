"""A thousand sessions that expired in the same second: our app, and the official SDK in a thread pool.

Both refresh the same sessions at the same emulator, in a process of its own behind a socket, in turns. Ours
is a whole app: request in, 200 and new cookies out. The SDK runs only ``refresh_session`` in 20 threads, as
many as we have connections. Times are wall-clock times, so only their ratio is meaningful.

A stretch is the time for which the event loop runs without a look at its sockets and timers, so that nothing
else is served. It is gated without the garbage collections in it, which are reported: a full collection
visits every object of a thousand requests in progress. A route without authentication that gets the same
thousand requests is the comparison. It scales the gate on a busy machine, where CPU time is longer, too.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from descope import DescopeClient
from fastapi import FastAPI
from starlette.types import ASGIApp

from fastapi_descope.emulator import JwtPair

from .page_requests import serve
from .peers.page_request import PATH, page_scope
from .upstream import Upstream, both_cookies, frozen_garbage, running_upstream, serving

# The SDK uses untyped dicts.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

__all__ = ["SESSIONS", "Storm", "report"]

SESSIONS = 1000
_THREADS = 20
_TICK_SECONDS = 0.005
_ARRIVAL_SECONDS = 1.0
_MAX_STRETCH_MS, _MAX_OF_PLAIN = 50, 0.5
"""The gate of a stretch: milliseconds of CPU time or, if that is more, a part of a plain route's stretch."""


@dataclass
class _Stretch:
    """The longest stretch of the event loop, in milliseconds of CPU time and of wall-clock time.

    A task that should run every five milliseconds measures it. CPU time is that of the loop's thread, so
    other programs on a busy machine do not count, and without collections of garbage, unless it says so.
    """

    cpu: float = 0.0
    cpu_with_gc: float = 0.0
    wall: float = 0.0
    longest_gc: float = 0.0
    _gc_started: float = field(default=0.0, repr=False)
    _gc: float = field(default=0.0, repr=False)

    async def measure(self) -> None:
        """Measure until cancelled."""
        gc.callbacks.append(self._on_gc)
        try:
            while True:
                cpu, wall, self._gc = time.thread_time(), time.perf_counter(), 0.0
                await asyncio.sleep(_TICK_SECONDS)
                stretch = (time.thread_time() - cpu) * 1000
                self.cpu = max(self.cpu, stretch - self._gc)
                self.cpu_with_gc = max(self.cpu_with_gc, stretch)
                self.wall = max(self.wall, (time.perf_counter() - wall) * 1000)
        finally:
            gc.callbacks.remove(self._on_gc)

    def format(self) -> str:
        """Return the end of a line of the report."""
        return (
            f", longest stretch {self.cpu:.0f} ms of CPU time"
            f" ({self.cpu_with_gc:.0f} ms with collections, {self.wall:.0f} ms in all)"
        )

    def _on_gc(self, phase: Literal["start", "stop"], _: dict[str, int]) -> None:
        if phase == "start":
            self._gc_started = time.thread_time()
        else:
            milliseconds = (time.thread_time() - self._gc_started) * 1000
            self._gc += milliseconds
            self.longest_gc = max(self.longest_gc, milliseconds)


@dataclass(frozen=True)
class Storm:
    """The result of one storm: time, failed refreshes, calls to Descope, the longest stretch."""

    name: str
    seconds: float
    cpu_seconds: float
    failures: int
    calls: int
    stretch: _Stretch = field(default_factory=_Stretch)

    def format(self) -> str:
        """Return a line of the report."""
        speed = f"{SESSIONS / self.seconds:6.0f}/s{self.cpu_seconds / SESSIONS * 1000:7.2f} ms CPU each"
        stretch = self.stretch.format() if self.stretch.cpu else ""
        return f"  {self.name:32}{speed}  {self.failures} failed, {self.calls} calls{stretch}"


@dataclass(frozen=True)
class _Round:
    """The storms of one round, one after the other."""

    at_once: Storm
    arriving: Storm
    sdk: Storm
    plain: Storm

    @property
    def storms(self) -> Sequence[Storm]:
        return (self.at_once, self.arriving, self.sdk, self.plain)


def _run_plugin(upstream: Upstream, expired: Sequence[JwtPair], arrival_seconds: float) -> Storm:
    async def run() -> Storm:
        cookies = [both_cookies(pair) for pair in expired]
        name = f"ours, arriving within {arrival_seconds:g} s" if arrival_seconds else "ours, all at once"
        async with serving(upstream.url, upstream.project_id) as app:
            return await _drive(name, app, cookies, arrival_seconds, upstream.calls)

    return asyncio.run(run())


def _run_plain(upstream: Upstream, expired: Sequence[JwtPair]) -> Storm:
    app = FastAPI(openapi_url=None)

    @app.get(PATH)
    async def page() -> dict[str, str]:
        return {"page": "public"}

    cookies = [both_cookies(pair) for pair in expired]
    return asyncio.run(_drive("no authentication, all at once", app, cookies, 0.0, upstream.calls))


async def _drive(
    name: str, app: ASGIApp, cookies: Sequence[str], arrival_seconds: float, calls: Callable[[], int]
) -> Storm:
    scopes = [page_scope(f"cookie: {cookie}") for cookie in cookies]

    async def request(number: int) -> None:
        await asyncio.sleep(arrival_seconds * number / SESSIONS)
        await serve(app, scopes[number])

    stretch = _Stretch()
    metering = asyncio.create_task(stretch.measure())
    started, cpu = time.perf_counter(), time.process_time()
    requests: Sequence[Awaitable[None]] = [request(number) for number in range(SESSIONS)]
    results = await asyncio.gather(*requests, return_exceptions=True)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    await asyncio.sleep(2 * _TICK_SECONDS)  # until the last stretch is measured
    metering.cancel()
    await asyncio.wait([metering])
    failures = sum(isinstance(each, BaseException) for each in results)
    return Storm(name, seconds, cpu, failures, calls(), stretch)


def _run_sdk(upstream: Upstream, expired: Sequence[JwtPair]) -> Storm:
    client = DescopeClient(project_id=upstream.project_id, base_url=upstream.url)

    def refresh(pair: JwtPair) -> None:
        client.refresh_session(pair.refresh_jwt)

    refresh(expired[0])  # fetches the keys
    upstream.calls()
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(refresh, pair) for pair in expired]
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    failures = sum(future.exception() is not None for future in futures)
    return Storm("SDK refresh_session, 20 threads", seconds, cpu, failures, upstream.calls())


def report(rounds: int) -> bool:
    """Run the storms and print the results.

    Returns whether each of our refreshes succeeded with one call, which must hold on any machine, and no
    stretch of the event loop is too long.
    """
    print(f"\n{SESSIONS} sessions that expired in the same second")
    with running_upstream() as upstream, frozen_garbage():
        expired = upstream.expired_sessions(SESSIONS)
        results = [_run_round(upstream, expired) for _ in range(rounds)]
    for column in zip(*(each.storms for each in results), strict=True):
        for storm in column:
            print(storm.format())
    faster = median(each.sdk.seconds / each.at_once.seconds for each in results)
    cheaper = median(each.sdk.cpu_seconds / each.at_once.cpu_seconds for each in results)
    print(f"  throughput, ours all at once / SDK: {faster:.2f}, goal at least 1")
    print(f"  CPU of a refresh, SDK / ours all at once: {cheaper:.2f}")
    is_exact = all(
        (storm.failures, storm.calls) == (0, SESSIONS)
        for each in results
        for storm in (each.at_once, each.arriving)
    )
    limit = max(_MAX_STRETCH_MS, _MAX_OF_PLAIN * median(each.plain.stretch.cpu for each in results))
    stretches = [
        _report_stretch([each.at_once for each in results], limit),
        _report_stretch([each.arriving for each in results], limit),
    ]
    return is_exact and all(stretches)


def _run_round(upstream: Upstream, expired: Sequence[JwtPair]) -> _Round:
    return _Round(
        _run_plugin(upstream, expired, 0.0),
        _run_plugin(upstream, expired, _ARRIVAL_SECONDS),
        _run_sdk(upstream, expired),
        _run_plain(upstream, expired),
    )


def _report_stretch(storms: Sequence[Storm], limit: float) -> bool:
    """Print the median of the longest stretches; return whether it is short enough."""
    cpu = median(storm.stretch.cpu for storm in storms)
    collection = median(storm.stretch.longest_gc for storm in storms)
    verdict = "ok" if cpu <= limit else "ABOVE"
    print(
        f"  {verdict:6}longest stretch, {storms[0].name}: {cpu:.0f} ms of CPU time, at most {limit:.0f};"
        f" longest collection {collection:.0f} ms"
    )
    return cpu <= limit


if __name__ == "__main__":
    report(3)
