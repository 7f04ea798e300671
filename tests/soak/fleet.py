"""What the soak runs: four workers with a port each, a Redis, and the emulator as Descope."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from fastapi_descope.emulator import DEFAULT_PROJECT_ID
from tests.faults.tcp_proxy import TcpProxy
from tests.faults.testbed import running_emulator, wait_until
from tests.faults.upstream import Upstream
from tests.helpers.ports import free_port
from tests.helpers.redis_server import RedisServer

__all__ = ["Fleet", "Worker", "running_fleet"]

_ROOT = Path(__file__).parents[2]
_WORKERS = 4
_START_SECONDS, _STOP_SECONDS = 90.0, 20.0
_SETTINGS = {
    "DESCOPE_REFRESH_AHEAD": "5",
    "DESCOPE_REFRESH_GRACE": "10",
    "DESCOPE_REVOCATION_TTL": "3600",
    "DESCOPE_UPSTREAM_TIMEOUT": "2",
    "DESCOPE_TOKEN_CACHE_SIZE": "256",  # full early, so that what grows later is no cache
}


class Worker:
    """One process of uvicorn, which can be killed and started again on the same port.

    Attributes:
        url: where it listens.
        pid: its process.
    """

    def __init__(self, port: int, variables: Mapping[str, str], log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._environment = {"PATH": os.environ["PATH"], **variables}
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def logged(self) -> str:
        """What it has written since the start."""
        return self._log.read_text(errors="replace")

    async def start(self) -> None:
        """Start the process and wait until it responds."""
        options = f"--host 127.0.0.1 --port {self._port} --no-access-log --ws websockets-sansio"
        command = [sys.executable, "-m", "uvicorn", "tests.soak.worker:app", *options.split()]
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C ends the soak, which then ends its workers.
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=_ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:

            async def responds() -> bool:
                assert self._process is not None
                assert self._process.returncode is None, self.logged
                try:
                    return (await client.get("/stats")).is_success
                except httpx.TransportError:
                    return False

            await wait_until(responds, _START_SECONDS)

    async def kill(self) -> None:
        """Kill the process, as a machine that loses power does."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """End the process if it was started."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            await self.kill()


@dataclass(frozen=True, slots=True)
class Fleet:
    """The processes of the soak. ``url`` is the public URL of the app."""

    workers: Sequence[Worker]
    redis: RedisServer
    upstream: Upstream
    url: str


@asynccontextmanager
async def running_fleet(directory: Path) -> AsyncGenerator[Fleet]:
    """Run the processes until the block ends, however it ends."""
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(running_emulator(directory / "emulator.log"))
        proxy = await stack.enter_async_context(TcpProxy(int(emulator.rpartition(":")[2])))
        upstream = Upstream(emulator, DEFAULT_PROJECT_ID, proxy)
        stack.push_async_callback(upstream.aclose)
        redis = RedisServer(directory)
        stack.callback(redis.stop)
        ports = [free_port() for _ in range(_WORKERS)]
        url = f"http://127.0.0.1:{ports[0]}"
        variables = {
            "DESCOPE_PROJECT_ID": DEFAULT_PROJECT_ID,
            "DESCOPE_BASE_URL": proxy.url,
            "DESCOPE_PUBLIC_URL": url,
            "DESCOPE_REDIS_URL": redis.url,
            **_SETTINGS,
        }
        workers = [Worker(port, variables, directory / f"worker-{port}.log") for port in ports]
        for worker in workers:
            stack.push_async_callback(worker.stop)
        async with asyncio.TaskGroup() as starts:
            for worker in workers:
                starts.create_task(worker.start())
        yield Fleet(workers, redis, upstream, url)
