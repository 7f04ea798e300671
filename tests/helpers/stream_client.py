"""The server's side of one request to ``/feed``, whose response is a stream."""

import asyncio

from starlette.types import Message, Scope

from .app_harness import AppHarness

__all__ = ["StreamClient"]

_TIMEOUT = 60.0
"""Seconds after which a test fails instead of waiting for ever."""


class StreamClient:
    """Sends a request as a server does, and ``http.disconnect`` after its response or a disconnect.

    Attributes:
        parts: The messages that the app has sent and no test has read.
        done: The request.
    """

    def __init__(self, env: AppHarness, cookie: str, *, spec_version: str = "2.3") -> None:
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        self._gone = asyncio.Event()
        self._asked = False
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": spec_version},
            "method": "GET",
            "scheme": "http",
            "path": "/feed",
            "raw_path": b"/feed",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8000"), (b"cookie", cookie.encode())],
        }
        self.done = asyncio.ensure_future(env.app(scope, self._receive, self._send))

    def disconnect(self) -> None:
        """Disconnect the client."""
        self._gone.set()

    async def part(self) -> Message:
        """Return the next message, or raise ``TimeoutError`` if the app sends none."""
        return await asyncio.wait_for(self.parts.get(), _TIMEOUT)

    async def wait(self) -> None:
        """Wait for the end of the request, or raise ``TimeoutError``."""
        await asyncio.wait_for(self.done, _TIMEOUT)

    async def _send(self, message: Message) -> None:
        self.parts.put_nowait(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._gone.set()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}
