"""The emulator as the Descope of storms and stampedes: in a process of its own, behind a socket."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar, cast

from fastapi import FastAPI
from pydantic import SecretStr

from fastapi_descope import CurrentUser, Descope, DescopeMiddleware, DescopeSettings
from fastapi_descope.emulator import Emulator, JwtPair
from fastapi_descope.emulator.server import running

from .peers.page_request import PATH

__all__ = ["PROCESSES", "Upstream", "both_cookies", "frozen_garbage", "running_upstream", "serving"]

PROCESSES = get_context("spawn")
_TIMEOUT_SECONDS = 60.0  # that of the SDK; a slow machine must not fail the refreshes
_POLL_SECONDS = 0.01
_USERS = (("ada@acme.example", "acme"), ("hank@globex.example", "globex"))

T = TypeVar("T")


@dataclass(frozen=True)
class Upstream:
    """The emulator in its own process, controlled over a pipe."""

    url: str
    project_id: str
    pipe: Connection

    def expired_sessions(self, count: int) -> Sequence[JwtPair]:
        """Return new sessions whose session tokens have expired."""
        return self._run(partial(_issue_expired, count=count))

    def calls(self) -> int:
        """Return the number of refreshes since the previous call of this method."""
        return self._run(_take_calls)

    def _run(self, command: Callable[[Emulator], T]) -> T:
        self.pipe.send(command)
        return cast("T", self.pipe.recv())


@asynccontextmanager
async def serving(url: str, project_id: str, *, redis_url: str | None = None) -> AsyncGenerator[FastAPI]:
    """Start an app whose Descope is at ``url``, with one page that needs a user. It has fetched the keys."""
    descope = Descope(
        settings=DescopeSettings(
            project_id=project_id,
            base_url=url,
            public_url="http://127.0.0.1:8000",
            upstream_timeout=_TIMEOUT_SECONDS,
            redis_url=SecretStr(redis_url) if redis_url else None,
        )
    )
    app = FastAPI(openapi_url=None)

    @app.get(PATH)
    async def page(user: CurrentUser) -> dict[str, str]:
        return {"page": user.id}

    app.add_middleware(DescopeMiddleware, descope=descope)
    async with descope.lifespan(app):
        while not descope.ready():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(_POLL_SECONDS)
        yield app


def both_cookies(pair: JwtPair) -> str:
    """Return the header of a browser with the session."""
    return f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"


@contextmanager
def running_upstream() -> Generator[Upstream]:
    """Start the emulator, and stop it at the end."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=_emulate, args=(theirs,), daemon=True)
    process.start()
    url, project_id = ours.recv()
    try:
        yield Upstream(url, project_id, ours)
    finally:
        ours.send(None)
        process.join()


@contextmanager
def frozen_garbage() -> Generator[None]:
    """Exclude the imported modules from garbage collection, which would take 50 ms each time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _emulate(pipe: Connection) -> None:
    emulator = Emulator()
    with running(emulator) as url:
        pipe.send((url, emulator.project_id))
        while (command := pipe.recv()) is not None:
            pipe.send(command(emulator))


def _issue_expired(emulator: Emulator, *, count: int) -> Sequence[JwtPair]:
    return [emulator.issue(*_USERS[number % 2], session_seconds=-60) for number in range(count)]


def _take_calls(emulator: Emulator) -> int:
    calls = emulator.requests.count("refresh")
    emulator.requests.clear()
    return calls
