"""The rig: the app in uvicorn's worker processes, the emulator in another, and browsers in front.

``running_rig`` starts and ends the processes, by their ids; what it awaits of them is a line or an
answer. A rig outlives scenarios: ``fresh`` begins the next one.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

from fastapi_descope.emulator import DEFAULT_PROJECT_ID

from .browsers import Browser, Line
from .relay import Relay
from .shared_clock import SharedClock
from .upstream import Upstream

__all__ = ["App", "Rig", "Scale", "Setup", "Vitals", "running_rig", "until"]

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
_LONGEST_PAUSE = 61.0
"""Longer than any pause of ours: breakers are open for 30 seconds, a Retry-After holds for 60."""


class Scale(Enum):
    """How much a scenario throws: enough for the suite, or what the requirements say."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a rig is made of. ``variables`` go into the environment of the app's processes.

    ``clock``: see ``tests.faults.worker``.
    """

    workers: int = 1
    clock: Literal["seam", "machine"] = "seam"
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Vitals:
    """One of the app's processes. ``lag``: the longest block of its loop since last asked, in seconds.

    ``came`` and ``under_way``: how many requests it has had, and how many of them it has yet to answer.
    ``held``: how many handlers wait for the end of ``Rig.holding``.
    """

    pid: int
    tasks: int
    lag: float
    files: int
    resident: int
    came: int
    under_way: int
    held: int


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait for another process to have come this far; there is no event of ours to await."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


class App:
    """The app's processes: uvicorn with its workers, on one port for the life of the rig."""

    def __init__(self, setup: Setup, environment: Mapping[str, str], log: Path, clock: SharedClock) -> None:
        self._setup = setup
        self._log = log
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "DESCOPE_PROJECT_ID": DEFAULT_PROJECT_ID,
            "DESCOPE_PUBLIC_URL": self.url,
            **environment,
            **setup.variables,
        }
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until every worker has answered."""
        options = f"--host 127.0.0.1 --port {self._port} --workers {self._setup.workers} --backlog 2048"
        command = ["-m", "uvicorn", "tests.faults.worker:app", *options.split(), "--timeout-keep-alive", "60"]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *command, cwd=_ROOT, env=self._environment, stdout=log, stderr=log
            )
        await until(self._is_complete, _START_SECONDS)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it has ended."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(how)
        await asyncio.wait_for(self._process.wait(), 30)
        self._process = None

    async def vitals(self) -> dict[int, Vitals]:
        """How each worker is, by process id; those that answer out of twenty tries a worker."""
        found: dict[int, Vitals] = {}
        for _ in range(20 * self._setup.workers):
            async with Line(self.url, self._clock) as line:  # a new connection, for another worker to take
                answer = await line.ask("/rig/vitals", [])
            if answer.status:
                told = answer.json
                found[told["pid"]] = Vitals(**told, **_of_process(told["pid"]))
            if len(found) == self._setup.workers:
                break
        return found

    @property
    def logged(self) -> str:
        """Everything that the processes have written to standard output and error."""
        return self._log.read_text(errors="replace")

    async def _is_complete(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.logged
        return len(await self.vitals()) == self._setup.workers


class Rig:
    """Everything that a scenario needs."""

    def __init__(self, setup: Setup, app: App, upstream: Upstream, clock: SharedClock, hold: Path) -> None:
        self.setup = setup
        self.app = app
        self.upstream = upstream
        self.clock = clock
        self.line = Line(app.url, clock)
        self._hold = hold

    async def fresh(self) -> None:
        """Begin a scenario: nothing is wrong, nothing is counted, nobody is there."""
        await self.pass_time(_LONGEST_PAUSE)
        await self.upstream.relay.mend()
        await self.upstream.reset()

    async def browsers(
        self, count: int, *, session_seconds: int | None = None, **claims: object
    ) -> list[Browser]:
        """New people's browsers, signed in: with ``DEAD`` to a session that is over, and can be renewed."""
        guests = await self.upstream.issue(count, session_seconds=session_seconds, **claims)
        return [Browser(guest, self.line) for guest in guests]

    async def browser(self, *, session_seconds: int | None = None, **claims: object) -> Browser:
        """One new person's browser; see ``browsers``."""
        (browser,) = await self.browsers(1, session_seconds=session_seconds, **claims)
        return browser

    @contextmanager
    def holding(self) -> Generator[None]:
        """Have the handlers of ``/held`` that come into the block go on when it ends."""
        self._hold.touch()
        try:
            yield
        finally:
            self._hold.unlink()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass for Descope and the app, and at once."""
        self.clock.advance(seconds)
        await self.upstream.advance(seconds)

    def step_clock(self, seconds: float) -> None:
        """Move the app's clock alone: it is wrong from now on, or right again."""
        self.clock.advance(seconds)

    async def heal(self) -> None:
        """End every fault, and every pause that the app may be making because of them."""
        await self.upstream.clear()
        await self.pass_time(_LONGEST_PAUSE)


@asynccontextmanager
async def running_rig(setup: Setup, directory: Path) -> AsyncGenerator[Rig]:
    """A rig for the length of an ``async with``; its clock and its logs are in ``directory``."""
    clock = SharedClock(directory / "clock")
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_emulator(directory / "emulator.log"))
        relay = await stack.enter_async_context(Relay(int(url.rpartition(":")[2])))
        upstream = Upstream(url, DEFAULT_PROJECT_ID, relay)
        stack.push_async_callback(upstream.aclose)
        environment = {
            "DESCOPE_BASE_URL": relay.url,
            "RIG_CLOCK": str(directory / "clock"),
            "RIG_CLOCK_IS": setup.clock,
            "RIG_HOLD": str(directory / "hold"),
        }
        app = App(setup, environment, directory / "app.log", clock)
        rig = Rig(setup, app, upstream, clock, directory / "hold")
        stack.push_async_callback(rig.line.aclose)
        stack.push_async_callback(app.stop)
        await app.start()
        yield rig


@asynccontextmanager
async def _emulator(log: Path) -> AsyncGenerator[str]:
    """The emulator's process, and its URL."""
    command = [sys.executable, "-m", "tests.faults.emulator_process"]
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=_ROOT, stdout=asyncio.subprocess.PIPE, stderr=errors
        )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
        yield line.decode().strip()
    finally:
        process.kill()
        await process.wait()


def _of_process(pid: int) -> dict[str, int]:
    """What the kernel knows of a process: open files, and resident memory in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a count of names that may be gone
    return {"files": files, "resident": int(resident.split()[1])}
