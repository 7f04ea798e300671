"""The memory of a worker: for each session that it knows, and for each keep-alive connection."""

import asyncio
import resource
import socket
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi_descope.emulator import Emulator, JwtPair
from fastapi_descope.emulator.server import running

from ..memory import project_with_users
from ..upstream import both_cookies
from .workers import Connection, Worker, running_workers

__all__ = ["ConnectionCost", "measure_connections", "measure_known_sessions"]

_WARM_UP = 200
_SPARE_FILES = 256
_WORKERS = 4
_OK = b"HTTP/1.1 200 "


@dataclass(frozen=True, slots=True)
class ConnectionCost:
    """What idle keep-alive connections cost the workers.

    Attributes:
        connections: how many were open at once, in all workers.
        bytes_each: the growth of the workers, for each connection.
        files_each: open file descriptors, for each connection.
    """

    connections: int
    bytes_each: float
    files_each: float


def measure_known_sessions(sessions: int) -> float:
    """Return by how many bytes a worker grows for each session that it knows, with both tokens."""
    with _emulator(_WARM_UP + sessions) as (emulator, pairs), TemporaryDirectory() as directory:
        variables = _variables(emulator, DESCOPE_TOKEN_CACHE_SIZE=str(_WARM_UP + sessions))
        with running_workers(1, variables, Path(directory)) as (worker,):
            asyncio.run(_send(worker, pairs[:_WARM_UP]))
            before = worker.resident
            asyncio.run(_send(worker, pairs[_WARM_UP:]))
            return (worker.resident - before) / sessions


def measure_connections(connections: int) -> ConnectionCost:
    """Open connections to four workers, one request on each, and keep them."""
    connections = min(connections, _allow_files(connections + _SPARE_FILES) - _SPARE_FILES)
    with _emulator(1) as (emulator, (pair,)), TemporaryDirectory() as directory, ExitStack() as stack:
        workers = stack.enter_context(running_workers(_WORKERS, _variables(emulator), Path(directory)))
        for worker in workers:
            asyncio.run(_send(worker, [pair] * _WARM_UP))
        resident, files = _totals(workers)
        for number in range(connections):
            stack.enter_context(_open(workers[number % _WORKERS], both_cookies(pair)))
        resident_after, files_after = _totals(workers)
    return ConnectionCost(
        connections, (resident_after - resident) / connections, (files_after - files) / connections
    )


@contextmanager
def _emulator(users: int) -> Generator[tuple[Emulator, Sequence[JwtPair]]]:
    """Run an emulator, and yield it with a session of each of its users, who are in two tenants."""
    emulator = Emulator(project_with_users(users))
    with running(emulator):
        yield emulator, [emulator.issue(user.user_id, min(user.tenants)) for user in emulator.project.users]


def _variables(emulator: Emulator, **variables: str) -> dict[str, str]:
    return {"DESCOPE_PROJECT_ID": emulator.project_id, "DESCOPE_BASE_URL": emulator.base_url, **variables}


async def _send(worker: Worker, pairs: Sequence[JwtPair]) -> None:
    connection = await Connection.open(worker)
    statuses = {await connection.get(both_cookies(pair)) for pair in pairs}
    assert statuses == {200}, statuses
    connection.close()


def _open(worker: Worker, cookies: str) -> socket.socket:
    """Open a connection to a worker on which one request was answered."""
    client = socket.create_connection(("127.0.0.1", worker.port))
    client.sendall(f"GET /me HTTP/1.1\r\nhost: 127.0.0.1\r\ncookie: {cookies}\r\n\r\n".encode())
    response = client.recv(65536)
    assert response.startswith(_OK), response[:80]
    return client


def _totals(workers: Sequence[Worker]) -> tuple[int, int]:
    """Return the resident bytes and the open files of all workers."""
    return sum(worker.resident for worker in workers), sum(worker.files for worker in workers)


def _allow_files(count: int) -> int:
    """Raise the soft limit of open files to ``count``, or to the hard limit, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(max(soft, count), hard) if hard != resource.RLIM_INFINITY else max(soft, count)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
