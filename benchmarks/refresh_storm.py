"""A thousand sessions that expired in the same second: our app, and the official SDK in a thread pool.

Both refresh the same sessions at the same emulator, in a process of its own behind a socket, in turns. Ours
is a whole app: request in, 200 and new cookies out. The SDK runs only ``refresh_session`` in 20 threads, as
many as we have connections. Times are wall-clock times, so only their ratio is meaningful.
"""

import asyncio
import gc
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median

from descope import DescopeClient
from fastapi import FastAPI

from fastapi_descope import CurrentUser, Descope, DescopeMiddleware, DescopeSettings
from fastapi_descope.emulator import Emulator, JwtPair
from fastapi_descope.emulator.server import running

from .page_requests import PATH, page_scope, serve

# The SDK uses untyped dicts.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

__all__ = ["SESSIONS", "Storm", "report"]

SESSIONS = 1000
_THREADS = 20
_TICK_SECONDS = 0.005
_ARRIVAL_SECONDS = 1.0
_MAX_BLOCK_MS = 50
_TIMEOUT_SECONDS = 60.0  # that of the SDK; a slow machine must not fail the refreshes
_USERS = (("ada@acme.example", "acme"), ("hank@globex.example", "globex"))


@dataclass(frozen=True)
class Storm:
    """The result of one storm: time, failed refreshes, calls to Descope.

    ``longest_block_ms`` is the longest time for which the event loop was blocked, in milliseconds of CPU time
    and of wall-clock time.
    """

    name: str
    seconds: float
    cpu_seconds: float
    failures: int
    calls: int
    longest_block_ms: tuple[float, float] = (0.0, 0.0)

    def format(self) -> str:
        """Return a line of the report."""
        speed = f"{SESSIONS / self.seconds:6.0f}/s{self.cpu_seconds / SESSIONS * 1000:7.2f} ms CPU each"
        cpu, wall = self.longest_block_ms
        block = f", loop blocked for {cpu:.0f} ms of CPU time, {wall:.0f} ms in all" if wall else ""
        return f"  {self.name:32}{speed}  {self.failures} failed, {self.calls} calls{block}"


@dataclass(frozen=True)
class _Upstream:
    """The emulator in its own process, with its expired sessions and a pipe for the number of calls."""

    url: str
    project_id: str
    expired: Sequence[JwtPair]
    pipe: Connection

    def calls(self) -> int:
        """Return the number of refreshes since the previous call of this method."""
        self.pipe.send(True)
        return int(self.pipe.recv())


def _emulate(pipe: Connection) -> None:
    emulator = Emulator()
    with running(emulator) as url:
        expired = [emulator.issue(*_USERS[n % 2], session_seconds=-60) for n in range(SESSIONS)]
        pipe.send((url, emulator.project_id, expired))
        while pipe.recv():
            pipe.send(emulator.requests.count("refresh"))
            emulator.requests.clear()


@contextmanager
def _upstream() -> Generator[_Upstream]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_emulate, args=(theirs,), daemon=True)
    process.start()
    url, project_id, expired = ours.recv()
    try:
        yield _Upstream(url, project_id, expired, ours)
    finally:
        ours.send(False)
        process.join()


class _BlockMeter:
    """Measures for how long the event loop is blocked: a task that should run every five milliseconds.

    It measures the CPU time of the loop's thread, so other programs on a busy machine do not count.
    """

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self.worst_wall_ms = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        last, wall = time.thread_time(), time.perf_counter()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now, wall_now = time.thread_time(), time.perf_counter()
            self.worst_ms = max(self.worst_ms, (now - last) * 1000)
            self.worst_wall_ms = max(self.worst_wall_ms, (wall_now - wall) * 1000)
            last, wall = now, wall_now


def _run_plugin(upstream: _Upstream, arrival_seconds: float) -> Storm:
    return asyncio.run(_drive(upstream, arrival_seconds))


def _app(upstream: _Upstream) -> tuple[FastAPI, Descope]:
    descope = Descope(
        settings=DescopeSettings(
            project_id=upstream.project_id,
            base_url=upstream.url,
            public_url="http://127.0.0.1:8000",
            upstream_timeout=_TIMEOUT_SECONDS,
        )
    )
    app = FastAPI(openapi_url=None)

    @app.get(PATH)
    async def page(user: CurrentUser) -> dict[str, str]:
        return {"page": user.id}

    app.add_middleware(DescopeMiddleware, descope=descope)
    return app, descope


async def _drive(upstream: _Upstream, arrival_seconds: float) -> Storm:
    app, descope = _app(upstream)
    cookies = [f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}" for pair in upstream.expired]

    async def request(number: int) -> None:
        await asyncio.sleep(arrival_seconds * number / SESSIONS)
        await serve(app, page_scope(cookies[number]))

    async with descope.lifespan(app):
        await asyncio.sleep(0.5)  # until the keys are fetched
        meter = _BlockMeter()
        metering = asyncio.create_task(meter.run())
        started, cpu = time.perf_counter(), time.process_time()
        results = await asyncio.gather(
            *(request(number) for number in range(SESSIONS)), return_exceptions=True
        )
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        metering.cancel()
    failures = sum(isinstance(each, BaseException) for each in results)
    name = f"ours, arriving within {arrival_seconds:g} s" if arrival_seconds else "ours, all at once"
    return Storm(name, seconds, cpu, failures, upstream.calls(), (meter.worst_ms, meter.worst_wall_ms))


def _run_sdk(upstream: _Upstream) -> Storm:
    client = DescopeClient(project_id=upstream.project_id, base_url=upstream.url)

    def refresh(pair: JwtPair) -> None:
        client.refresh_session(pair.refresh_jwt)

    refresh(upstream.expired[0])  # fetches the keys
    upstream.calls()
    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(refresh, pair) for pair in upstream.expired]
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    failures = sum(future.exception() is not None for future in futures)
    return Storm("SDK refresh_session, 20 threads", seconds, cpu, failures, upstream.calls())


@contextmanager
def _frozen_garbage() -> Generator[None]:
    """Exclude the imported modules from garbage collection, which would take 50 ms each time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def report(rounds: int) -> bool:
    """Run the storms and print the results.

    Returns whether each of our refreshes succeeded with one call, which must hold on any machine.
    """
    print(f"\n{SESSIONS} sessions that expired in the same second")
    with _upstream() as upstream, _frozen_garbage():
        storms = [
            (_run_plugin(upstream, 0.0), _run_plugin(upstream, _ARRIVAL_SECONDS), _run_sdk(upstream))
            for _ in range(rounds)
        ]
    for column in zip(*storms, strict=True):
        for storm in column:
            print(storm.format())
    faster = median(sdk.seconds / ours.seconds for ours, _, sdk in storms)
    cheaper = median(sdk.cpu_seconds / ours.cpu_seconds for ours, _, sdk in storms)
    block = median(arriving.longest_block_ms[0] for _, arriving, _ in storms)
    print(f"  throughput, ours all at once / SDK: {faster:.2f}, goal at least 1")
    print(f"  CPU of a refresh, SDK / ours all at once: {cheaper:.2f}")
    goal = f"goal below {_MAX_BLOCK_MS}"
    print(f"  longest block of the event loop while they arrive: {block:.0f} ms of CPU time, {goal}")
    return all(
        (storm.failures, storm.calls) == (0, SESSIONS)
        for at_once, arriving, _ in storms
        for storm in (at_once, arriving)
    )


if __name__ == "__main__":
    report(3)
