"""The server's side of a WebSocket, for an app that runs in this process."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Scope

__all__ = ["Headers", "WebSocketClient"]

Headers = Sequence[tuple[bytes, bytes]]


@dataclass
class WebSocketClient:
    """The server's side of one WebSocket: the messages in both directions."""

    app: ASGIApp
    headers: Headers
    path: str = "/ws"
    denial: bool = False
    query: bytes = b""
    sent: list[Message] = field(default_factory=list[Message])
    _in: "asyncio.Queue[Message]" = field(default_factory=asyncio.Queue["Message"])
    _out: "asyncio.Queue[Message]" = field(default_factory=asyncio.Queue["Message"])

    async def open(self) -> Message:
        """Connect, and return the app's first message."""
        scope: Scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": self.query,
            "headers": [(b"host", b"127.0.0.1:8000"), *self.headers],
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}} if self.denial else {},
        }
        self._in.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.ensure_future(self.app(scope, self._in.get, self._send))
        return await self.next()

    async def next(self) -> Message:
        """Return the next message of the app. Raises what the app raised."""
        getting = asyncio.ensure_future(self._out.get())
        await asyncio.wait([getting, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not getting.done():
            getting.cancel()
            self._task.result()
            raise AssertionError("the app ended without a word")
        return getting.result()

    def send_text(self, text: str) -> None:
        """Send a text frame."""
        self._in.put_nowait({"type": "websocket.receive", "text": text})

    def disconnect(self) -> None:
        """Disconnect the client."""
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def cancel(self) -> None:
        """Cancel the app, as a server does at shutdown."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def wait(self) -> None:
        """Wait for the app to end."""
        await self._task

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self._out.put_nowait(message)
