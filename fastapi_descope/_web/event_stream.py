"""End an event stream when its session is revoked."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from starlette.types import Message, Send

__all__ = ["EventStream", "is_event_stream"]


def is_event_stream(start: Message) -> bool:
    """Return whether a response that starts is a stream of server-sent events."""
    for name, value in start.get("headers", ()):
        if name == b"content-length":  # the first header of most other responses
            return False
        if name == b"content-type":
            return bool(value.startswith(b"text/event-stream"))
    return False


# RV-03
class EventStream:
    """Wraps the ``send`` of an event stream, and ends the response when its session is revoked.

    The client sees the end of the stream. ``EventSource`` connects again, and gets a 401. The app sees what
    it sees when a client disconnects: ``http.disconnect`` from the server, or an ``OSError`` from its next
    send.

    Args:
        send: The ``send`` of the server.
        is_revoked: Returns whether the session was revoked.
    """

    def __init__(self, send: Send, is_revoked: Callable[[], bool]) -> None:
        self._send = send
        self._is_revoked = is_revoked
        self._is_complete = False
        self._end: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            BrokenPipeError: The session was revoked, and the message is a part of the stream.
        """
        if self._end is not None:
            if not message.get("body") and not message.get("more_body"):
                await asyncio.wait([self._end])  # the response is complete then, as the app wants it
                return
            raise BrokenPipeError("The session of this stream was revoked")
        if message["type"] == "http.response.body":
            self._is_complete = not message.get("more_body")
        await self._send(message)

    def end_if_revoked(self) -> None:
        """End the response if the session was revoked, unless it is complete."""
        if self._end is None and not self._is_complete and self._is_revoked():
            self._end = asyncio.ensure_future(self._complete())

    async def _complete(self) -> None:
        with suppress(OSError):  # the client has disconnected, and the app does not know it yet
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
