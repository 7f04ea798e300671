"""Streams and server-sent events: passed on at once, with the session of the request (WS-06)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import Message, Scope

from fastapi_descope import CurrentUser, OptionalUser
from tests.helpers.app_harness import AppHarness, EnvFactory

pytestmark = pytest.mark.anyio

_TIMEOUT = 5.0
"""Seconds after which a test fails instead of waiting for ever."""


class _Feed:
    """An endpoint that sends ``one``, waits for ``go_on``, and sends ``two``; ``over`` is set at its end."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.over = asyncio.Event()

    def add(self, app: FastAPI) -> None:
        """Add its route."""

        @app.get("/feed")
        async def feed(user: CurrentUser) -> StreamingResponse:
            return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        try:
            yield "data: one\n\n"
            await self.go_on.wait()
            yield "data: two\n\n"
        finally:
            self.over.set()


class _Client:
    """The server's side of one request; ``parts`` are the chunks that the app has sent so far."""

    def __init__(self, env: AppHarness, cookie: str) -> None:
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._asked = False
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "method": "GET",
            "scheme": "http",
            "path": "/feed",
            "raw_path": b"/feed",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8000"), (b"cookie", cookie.encode())],
        }
        self.done = asyncio.ensure_future(env.app(scope, self._receive, self.parts.put))

    def disconnect(self) -> None:
        """Disconnect the client."""
        self._gone.set()

    async def part(self) -> Message:
        """Return the next chunk, or raise ``TimeoutError`` if the app sends none."""
        return await asyncio.wait_for(self.parts.get(), _TIMEOUT)

    async def wait(self) -> None:
        """Wait for the end of the request, or raise ``TimeoutError``."""
        await asyncio.wait_for(self.done, _TIMEOUT)

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}


def _expired(env: AppHarness) -> str:
    pair = env.emulator.issue("ada@acme.example", "acme", session_seconds=-60)
    return f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"


async def test_ws06_stream_is_passed_on_chunk_by_chunk(make_env: EnvFactory) -> None:
    """The start carries the cookies of a refresh; each chunk is sent before the next is made."""
    feed = _Feed()
    env = make_env(routes=feed.add)
    client = _Client(env, _expired(env))

    start, first = await client.part(), await client.part()
    assert not client.done.done()
    feed.go_on.set()
    await client.wait()

    assert start["type"] == "http.response.start"
    assert [value[:4] for name, value in start["headers"] if name == b"set-cookie"] == [b"DS=e", b"DSR="]
    assert first == {"type": "http.response.body", "body": b"data: one\n\n", "more_body": True}
    rest = [client.parts.get_nowait() for _ in range(client.parts.qsize())]
    assert [part["type"] for part in rest] == ["http.response.body"] * 2
    assert [part["body"] for part in rest] == [b"data: two\n\n", b""]


async def test_ws06_app_notices_a_disconnect(make_env: EnvFactory) -> None:
    """An endless stream ends when its client disconnects."""
    feed = _Feed()
    env = make_env(routes=feed.add)
    client = _Client(env, _expired(env))
    await client.part()
    await client.part()
    assert not feed.over.is_set()

    client.disconnect()
    await client.wait()

    assert feed.over.is_set()
    assert client.parts.empty()


async def test_rv03_stream_of_a_known_session_ends_with_a_revocation(make_env: EnvFactory) -> None:
    """The first request fetches keys, the second is remembered, the third is not parsed any more."""
    feed = _Feed()
    env = make_env(routes=feed.add)
    pair = env.emulator.issue("ada@acme.example", "acme")
    cookie = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    for _ in range(2):
        earlier = _Client(env, cookie)
        await earlier.part()
        await earlier.part()
    client = _Client(env, cookie)
    await client.part()
    await client.part()

    await env.descope.revoke_user("U22a1322415fff1b1aceaebe7855")

    assert await client.part() == {"type": "http.response.body", "body": b"", "more_body": False}
    client.disconnect()
    await client.wait()


async def test_stream_without_a_session_goes_on(make_env: EnvFactory) -> None:
    """Nothing can be revoked for it."""

    def routes(app: FastAPI) -> None:
        @app.get("/feed")
        async def feed(user: OptionalUser) -> StreamingResponse:
            return StreamingResponse(_two(), media_type="text/event-stream")

    async def _two() -> AsyncIterator[str]:
        yield "data: one\n\n"
        yield "data: two\n\n"

    client = _Client(make_env(routes=routes), "")
    await client.wait()

    assert [client.parts.get_nowait()["type"] for _ in range(4)] == [
        "http.response.start",
        *["http.response.body"] * 3,
    ]
