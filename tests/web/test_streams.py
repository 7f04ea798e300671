"""Streams and server-sent events: passed on at once, with the session of the request (WS-06)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from fastapi_descope import CurrentUser, OptionalUser
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.stream_client import StreamClient

pytestmark = pytest.mark.anyio


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


def _expired(env: AppHarness) -> str:
    pair = env.emulator.issue("ada@acme.example", "acme", session_seconds=-60)
    return f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"


async def test_ws06_stream_is_passed_on_chunk_by_chunk(make_env: EnvFactory) -> None:
    """The start carries the cookies of a refresh; each chunk is sent before the next is made."""
    feed = _Feed()
    env = make_env(routes=feed.add)
    client = StreamClient(env, _expired(env))

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
    client = StreamClient(env, _expired(env))
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
        earlier = StreamClient(env, cookie)
        await earlier.part()
        await earlier.part()
    client = StreamClient(env, cookie)
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

    client = StreamClient(make_env(routes=routes), "")
    await client.wait()

    assert [client.parts.get_nowait()["type"] for _ in range(4)] == [
        "http.response.start",
        *["http.response.body"] * 3,
    ]
