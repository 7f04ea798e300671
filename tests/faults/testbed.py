"""The testbed: the app in uvicorn's worker processes, the emulator in its own process, and browsers.

``running_testbed`` starts and ends the processes. Several scenarios run on one testbed; ``reset`` prepares
the next one.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar, Literal

from fastapi_descope.emulator import DEFAULT_PROJECT_ID
from tests.helpers.ports import free_port

from .browsers import AppClient, Browser
from .shared_clock import SharedClock
from .tcp_proxy import TcpProxy
from .upstream import Upstream

__all__ = [
    "App",
    "ProcessStats",
    "Scale",
    "Testbed",
    "TestbedConfig",
    "running_emulator",
    "running_testbed",
    "wait_until",
]

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 180.0
_LONGEST_DELAY = 61.0
"""Longer than any delay: a breaker is open for 30 seconds, a Retry-After lasts 60."""


class Scale(Enum):
    """The size of a scenario: short for the test suite, long as the requirements define it."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class TestbedConfig:
    """Configures a testbed. ``variables`` go into the environment of the app's processes.

    ``clock``: see ``tests.faults.worker``.
    """

    __test__: ClassVar[bool] = False  # no test class, in spite of its name
    workers: int = 1
    clock: Literal["injected", "machine"] = "injected"
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class ProcessStats:
    """The state of one worker process.

    Attributes:
        pid: the process id.
        tasks: the number of asyncio tasks.
        lag: the longest block of the event loop since the last call, in seconds.
        files: the number of open files.
        resident: the resident memory in KiB.
        received: the number of requests so far.
        in_flight: the number of requests without a response yet.
        held: the number of handlers and hooks that wait for the end of ``Testbed.holding``.
    """

    pid: int
    tasks: int
    lag: float
    files: int
    resident: int
    received: int
    in_flight: int
    held: int


async def wait_until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Poll a condition of another process until it is true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


class App:
    """The app's processes: uvicorn and its workers, on one port for the lifetime of the testbed."""

    def __init__(
        self, config: TestbedConfig, environment: Mapping[str, str], log: Path, clock: SharedClock
    ) -> None:
        self._setup = config
        self._log = log
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "DESCOPE_PROJECT_ID": DEFAULT_PROJECT_ID,
            "DESCOPE_PUBLIC_URL": self.url,
            **environment,
            **config.variables,
        }
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start uvicorn and wait until every worker has responded."""
        options = f"--host 127.0.0.1 --port {self._port} --workers {self._setup.workers} --backlog 2048"
        command = ["-m", "uvicorn", "tests.faults.worker:app", *options.split(), "--timeout-keep-alive", "60"]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *command, cwd=_ROOT, env=self._environment, stdout=log, stderr=log
            )
        await wait_until(self._is_complete, _START_SECONDS)

    async def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Stop uvicorn and wait until it has exited."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(sig)
        await asyncio.wait_for(self._process.wait(), 60)
        self._process = None

    async def stats(self) -> dict[int, ProcessStats]:
        """Return the stats of the workers that respond in twenty attempts per worker, by process id."""
        found: dict[int, ProcessStats] = {}
        for _ in range(20 * self._setup.workers):
            async with AppClient(
                self.url, self._clock
            ) as client:  # a new connection may reach another worker
                response = await client.get("/testbed/stats", [])
            if response.status:
                fields = response.json
                found[fields["pid"]] = ProcessStats(**fields, **_of_process(fields["pid"]))
            if len(found) == self._setup.workers:
                break
        return found

    @property
    def logged(self) -> str:
        """The standard output and error of all processes."""
        return self._log.read_text(errors="replace")

    async def _is_complete(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.logged
        return len(await self.stats()) == self._setup.workers


class Testbed:
    """The app, the emulator and their clock."""

    __test__: ClassVar[bool] = False  # no test class, in spite of its name

    def __init__(
        self, config: TestbedConfig, app: App, upstream: Upstream, clock: SharedClock, hold: Path
    ) -> None:
        self.config = config
        self.app = app
        self.upstream = upstream
        self.clock = clock
        self.client = AppClient(app.url, clock)
        self._hold = hold

    async def reset(self) -> None:
        """Prepare the next scenario: no faults, no counts, no users."""
        await self.pass_time(_LONGEST_DELAY)
        await self.upstream.proxy.restore()
        await self.upstream.reset()

    async def browsers(
        self, count: int, *, session_seconds: int | None = None, **claims: object
    ) -> list[Browser]:
        """Create signed-in browsers of new users; with ``EXPIRED`` their sessions can only be refreshed."""
        users = await self.upstream.issue(count, session_seconds=session_seconds, **claims)
        return [Browser(user, self.client) for user in users]

    async def browser(self, *, session_seconds: int | None = None, **claims: object) -> Browser:
        """Create one browser; see ``browsers``."""
        (browser,) = await self.browsers(1, session_seconds=session_seconds, **claims)
        return browser

    @contextmanager
    def holding(self) -> Generator[None]:
        """Make handlers of ``/held`` and the hook of logins wait until the block ends."""
        self._hold.touch()
        try:
            yield
        finally:
            self._hold.unlink()

    async def pass_time(self, seconds: float) -> None:
        """Advance the time of Descope and of the app."""
        self.clock.advance(seconds)
        await self.upstream.advance(seconds)

    def step_clock(self, seconds: float) -> None:
        """Move the app's clock only, to make it wrong or correct."""
        self.clock.advance(seconds)

    async def recover(self) -> None:
        """End all faults, and every delay that the app keeps because of them."""
        await self.upstream.clear()
        await self.pass_time(_LONGEST_DELAY)


@asynccontextmanager
async def running_testbed(config: TestbedConfig, directory: Path) -> AsyncGenerator[Testbed]:
    """Run a testbed. Its clock and its logs are in ``directory``."""
    clock = SharedClock(directory / "clock", time.time())
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(running_emulator(directory / "emulator.log", clock()))
        proxy = await stack.enter_async_context(TcpProxy(int(url.rpartition(":")[2])))
        upstream = Upstream(url, DEFAULT_PROJECT_ID, proxy)
        stack.push_async_callback(upstream.aclose)
        environment = {
            "DESCOPE_BASE_URL": proxy.url,
            "TESTBED_CLOCK": str(directory / "clock"),
            "TESTBED_CLOCK_IS": config.clock,
            "TESTBED_HOLD": str(directory / "hold"),
        }
        app = App(config, environment, directory / "app.log", clock)
        testbed = Testbed(config, app, upstream, clock, directory / "hold")
        stack.push_async_callback(testbed.client.aclose)
        stack.push_async_callback(app.stop)
        await app.start()
        yield testbed


@asynccontextmanager
async def running_emulator(log: Path, now: float | None = None) -> AsyncGenerator[str]:
    """Run the emulator process and yield its URL. From ``now`` on, only a command moves its clock."""
    time_of = [] if now is None else [repr(now)]
    command = [sys.executable, "-m", "tests.faults.emulator_process", *time_of]
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
    """Return the open files and the resident memory (KiB) of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - the files may be closed already
    return {"files": files, "resident": int(resident.split()[1])}
