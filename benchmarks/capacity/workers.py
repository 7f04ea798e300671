"""The processes that the measurements load: workers of uvicorn, and what they use."""

import asyncio
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.deployment.processes import running_server
from tests.helpers.ports import free_port

__all__ = ["PUBLIC_URL", "Connection", "Worker", "cpu_seconds", "running_workers"]

PUBLIC_URL = "http://127.0.0.1:8000"
_KEEP_ALIVE_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker: where it listens, and its process."""

    port: int
    pid: int

    @property
    def resident(self) -> int:
        """Its resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def files(self) -> int:
        """The number of its open file descriptors."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())


@contextmanager
def running_workers(count: int, variables: Mapping[str, str], directory: Path) -> Generator[Sequence[Worker]]:
    """Run ``count`` processes of uvicorn, each on a port of its own."""
    settings = {"DESCOPE_PUBLIC_URL": PUBLIC_URL, "DESCOPE_UPSTREAM_TIMEOUT": "60", **variables}
    with ExitStack() as stack:
        workers: list[Worker] = []
        for _ in range(count):
            port = free_port()
            command = [
                *(sys.executable, "-m", "uvicorn", "tests.deployment.app:app", "--port", str(port)),
                *("--no-access-log", "--backlog", "4096", "--timeout-keep-alive", str(_KEEP_ALIVE_SECONDS)),
            ]
            log = directory / f"worker-{port}.log"
            process = stack.enter_context(running_server(command, port, settings, log))
            workers.append(Worker(port, process.pid))
        yield workers


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Connection:
    """A keep-alive connection to a worker: no pool and no cookie jar, which would cost more than the app."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, worker: Worker) -> Self:
        """Connect to a worker."""
        return cls(*await asyncio.open_connection("127.0.0.1", worker.port))

    async def get(self, cookies: str) -> int:
        """Request the page with these cookies, and return the status of the response."""
        self._writer.write(f"GET /me HTTP/1.1\r\nhost: 127.0.0.1\r\ncookie: {cookies}\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        (length,) = (
            line.partition(":")[2] for line in head.splitlines() if line.startswith("content-length")
        )
        await self._reader.readexactly(int(length))
        return int(head.split()[1])

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
