"""Measures how long a revocation takes to reach every process of a fleet: real processes and sockets."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from fastapi_descope.emulator import Emulator, Grants, JwtPair, Project, SeedUser
from tests.deployment.processes import running_server
from tests.helpers.ports import free_port

__all__ = ["Client", "Latency", "project_with_users", "running_workers", "seconds_until_refused"]

_SIGN_IN_AGAIN = 4401


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the sending of a logout until the last process has refused the session.

    Attributes:
        logout: until the logout itself has its response.
        requests: until the last process refuses a request with the session token.
        websockets: until the last process has closed the session's WebSocket.
        streams: until the last process has ended the session's event stream.
    """

    logout: float
    requests: float
    websockets: float
    streams: float


def project_with_users(count: int) -> Project:
    """Return a project with ``count`` users in Acme: a user who was revoked is not used again."""
    users = (SeedUser(f"user{number}@acme.example", tenants={"acme": Grants()}) for number in range(count))
    return Project(users=tuple(users))


@contextmanager
def running_workers(
    emulator: Emulator, redis_url: str, directory: Path, *, count: int = 4
) -> Generator[Sequence[str]]:
    """Run ``count`` processes of uvicorn, each on a port of its own, and yield their URLs."""
    with ExitStack() as stack:
        ports = [free_port() for _ in range(count)]
        for port in ports:
            url = f"http://127.0.0.1:{port}"
            variables = {
                "DESCOPE_PROJECT_ID": emulator.project_id,
                "DESCOPE_BASE_URL": emulator.base_url,
                "DESCOPE_PUBLIC_URL": url,
                "DESCOPE_REDIS_URL": redis_url,
            }
            command = [
                *(sys.executable, "-m", "uvicorn", "tests.deployment.app:app", "--port", str(port)),
                *("--log-level", "warning", "--ws", "websockets-sansio"),
            ]
            stack.enter_context(running_server(command, port, variables, directory / f"worker-{port}.log"))
        yield [f"http://127.0.0.1:{port}" for port in ports]


class Client:
    """A client of one process, with the session token of one user as a bearer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, trust_env=False, timeout=30)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def status(self, token: str) -> int:
        """Return the status of a request."""
        return (await self._http.get("/me", headers=_bearer(token))).status_code

    async def until_refused(self, token: str) -> float:
        """Send one request after the other until one is refused, and return the time."""
        while await self.status(token) == HTTPStatus.OK:
            pass
        return _now()

    @asynccontextmanager
    async def websocket(self, token: str) -> AsyncGenerator[ClientConnection]:
        """Open a WebSocket of the session."""
        url = self.url.replace("http", "ws", 1) + "/ws"
        async with connect(url, additional_headers=_bearer(token), proxy=None) as socket:
            await socket.recv()
            yield socket

    @asynccontextmanager
    async def stream(self, token: str) -> AsyncGenerator[httpx.Response]:
        """Open an event stream of the session. It has sent its only event."""
        async with self._http.stream("GET", "/events", headers=_bearer(token)) as response:
            assert response.status_code == HTTPStatus.OK
            yield response

    async def log_out_everywhere(self, pair: JwtPair) -> float:
        """Log the user out everywhere, and return the time of the response."""
        cookies = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
        headers = {"cookie": cookies, "origin": self.url, "sec-fetch-site": "same-origin"}
        response = await self._http.post("/logout/all", headers=headers)
        assert response.status_code == HTTPStatus.NO_CONTENT
        return _now()


async def seconds_until_refused(emulator: Emulator, user: str, urls: Sequence[str]) -> Latency:
    """Log a user out everywhere at the first process, and watch all processes."""
    pair = emulator.issue(user, "acme")
    token = pair.session_jwt
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(url)) for url in urls]
        assert [await each.status(token) for each in clients] == [HTTPStatus.OK] * len(urls)
        sockets = [await stack.enter_async_context(each.websocket(token)) for each in clients]
        streams = [await stack.enter_async_context(each.stream(token)) for each in clients]
        started = _now()
        logout, *ends = await asyncio.gather(
            clients[0].log_out_everywhere(pair),
            *(each.until_refused(token) for each in clients),
            *(_until_closed(each) for each in sockets),
            *(_until_ended(each) for each in streams),
        )
    count = len(urls)
    groups = (ends[:count], ends[count : 2 * count], ends[2 * count :])
    return Latency(logout - started, *(max(group) - started for group in groups))


async def _until_closed(socket: ClientConnection) -> float:
    with suppress(ConnectionClosed):
        await socket.recv()
    closed = _now()
    assert socket.close_code == _SIGN_IN_AGAIN
    return closed


async def _until_ended(response: httpx.Response) -> float:
    async for _ in response.aiter_raw():
        pass
    return _now()


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _now() -> float:
    return asyncio.get_running_loop().time()
