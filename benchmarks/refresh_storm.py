"""A thousand sessions that ran out in the same second: our app, and the official SDK in a thread pool.

Both ask the same emulator, in a process of its own behind a socket, for the same sessions, in turns. Ours
is the whole app: request in, 200 and new cookies out. Theirs is ``refresh_session`` alone in 20 threads,
as many as we have connections. Time is wall-clock, so read the ratio.
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

from .page_requests import PATH, page_scope, served

# The SDK is typed with bare dicts.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

__all__ = ["SESSIONS", "Storm", "report"]

SESSIONS = 1000
_THREADS = 20
_TICK_SECONDS = 0.005
_ARRIVAL_SECONDS = 1.0
_GAP_MS = 50
_TIMEOUT_SECONDS = 60.0  # the SDK's; a busy machine may be slow, but nothing is to fail
_USERS = (("ada@acme.example", "acme"), ("hank@globex.example", "globex"))


@dataclass(frozen=True)
class Storm:
    """What one storm came to: its time, failed refreshes, calls that Descope got.

    ``gap`` is the longest time that the event loop was held, in milliseconds of CPU and by the wall clock.
    """

    name: str
    seconds: float
    cpu_seconds: float
    failures: int
    calls: int
    gap: tuple[float, float] = (0.0, 0.0)

    def line(self) -> str:
        """For people."""
        speed = f"{SESSIONS / self.seconds:6.0f}/s{self.cpu_seconds / SESSIONS * 1000:7.2f} ms CPU each"
        held, wall = self.gap
        gap = f", loop held for {held:.0f} ms of CPU, {wall:.0f} ms in all" if wall else ""
        return f"  {self.name:32}{speed}  {self.failures} failed, {self.calls} calls{gap}"


@dataclass(frozen=True)
class _Upstream:
    """The emulator in its process: where it is, whose sessions are over, and a line to ask for its count."""

    url: str
    project_id: str
    dead: Sequence[JwtPair]
    pipe: Connection

    def calls(self) -> int:
        """How many refreshes came in since the last time this was asked."""
        self.pipe.send(True)
        return int(self.pipe.recv())


def _emulate(pipe: Connection) -> None:
    emulator = Emulator()
    with running(emulator) as url:
        dead = [emulator.issue(*_USERS[n % 2], session_seconds=-60) for n in range(SESSIONS)]
        pipe.send((url, emulator.project_id, dead))
        while pipe.recv():
            pipe.send(emulator.requests.count("refresh"))
            emulator.requests.clear()


@contextmanager
def _upstream() -> Generator[_Upstream]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_emulate, args=(theirs,), daemon=True)
    process.start()
    url, project_id, dead = ours.recv()
    try:
        yield _Upstream(url, project_id, dead, ours)
    finally:
        ours.send(False)
        process.join()


class _Ticker:
    """Wants to run each five milliseconds, and notes how long it was kept from it at worst.

    That is the CPU time of the loop's thread: what other programs take of a busy machine is not ours.
    """

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self.worst_wall_ms = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        last, wall = time.thread_time(), time.perf_counter()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now, wall_now = time.thread_time(), time.perf_counter()
            self.worst_ms = max(self.worst_ms, (now - last) * 1000)
            self.worst_wall_ms = max(self.worst_wall_ms, (wall_now - wall) * 1000)
            last, wall = now, wall_now


def _ours(upstream: _Upstream, over: float) -> Storm:
    return asyncio.run(_drive(upstream, over))


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


async def _drive(upstream: _Upstream, over: float) -> Storm:
    app, descope = _app(upstream)
    cookies = [f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}" for pair in upstream.dead]

    async def request(number: int) -> None:
        await asyncio.sleep(over * number / SESSIONS)
        await served(app, page_scope(cookies[number]))

    async with descope.lifespan(app):
        await asyncio.sleep(0.5)  # until the keys are there
        ticker = _Ticker()
        ticking = asyncio.create_task(ticker.run())
        begun, cpu = time.perf_counter(), time.process_time()
        ended = await asyncio.gather(*(request(number) for number in range(SESSIONS)), return_exceptions=True)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        ticking.cancel()
    failures = sum(isinstance(each, BaseException) for each in ended)
    name = f"ours, arriving within {over:g} s" if over else "ours, all at once"
    return Storm(name, seconds, cpu, failures, upstream.calls(), (ticker.worst_ms, ticker.worst_wall_ms))


def _theirs(upstream: _Upstream) -> Storm:
    client = DescopeClient(project_id=upstream.project_id, base_url=upstream.url)

    def refresh(pair: JwtPair) -> None:
        client.refresh_session(pair.refresh_jwt)

    refresh(upstream.dead[0])  # fetches the keys
    upstream.calls()
    begun, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(_THREADS) as pool:
        futures = [pool.submit(refresh, pair) for pair in upstream.dead]
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    failures = sum(future.exception() is not None for future in futures)
    return Storm("SDK refresh_session, 20 threads", seconds, cpu, failures, upstream.calls())


@contextmanager
def _without_old_garbage() -> Generator[None]:
    """What was imported is not searched for garbage again and again, for 50 ms each time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def report(rounds: int) -> bool:
    """Print what came of it. Whether every refresh of ours worked with one call: no machine excuses that."""
    print(f"\n{SESSIONS} sessions that ran out in the same second")
    with _upstream() as upstream, _without_old_garbage():
        storms = [
            (_ours(upstream, 0.0), _ours(upstream, _ARRIVAL_SECONDS), _theirs(upstream))
            for _ in range(rounds)
        ]
    for column in zip(*storms, strict=True):
        for storm in column:
            print(storm.line())
    faster = median(sdk.seconds / ours.seconds for ours, _, sdk in storms)
    cheaper = median(sdk.cpu_seconds / ours.cpu_seconds for ours, _, sdk in storms)
    gap = median(arriving.gap[0] for _, arriving, _ in storms)
    print(f"  throughput, ours all at once / SDK: {faster:.2f}, goal at least 1")
    print(f"  CPU of a refresh, SDK / ours all at once: {cheaper:.2f}")
    print(f"  longest hold of the event loop while they arrive: {gap:.0f} ms of CPU, goal below {_GAP_MS}")
    return all(
        (storm.failures, storm.calls) == (0, SESSIONS)
        for at_once, arriving, _ in storms
        for storm in (at_once, arriving)
    )


if __name__ == "__main__":
    report(3)
