"""A WebSocket ends when the session that opened it does."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from .request_auth import RequestAuth

__all__ = ["SESSION_ENDED", "WebSocketSession"]

SESSION_ENDED = 4401
"""The close code for "sign in again": 4000 to 4999 are the application's (RFC 6455, section 7.4.2)."""


class WebSocketSession:
    """Stands between the app and the server, and closes with 4401 once the session is over (WS-04).

    A socket whose app never asked who is there is left alone. The clock is
    looked at before every frame in either direction, and a timer closes a silent socket, whether its app
    waits for frames or for something else. The app hears of it as of a client that left: a disconnect, or an
    ``OSError`` from its next frame. Accepting is the app's affair, and a socket is closed once (WS-05).
    """

    def __init__(self, auth: RequestAuth) -> None:
        self._auth = auth
        self._next: asyncio.Task[Message] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._accepted = False
        self._closed = False
        self._ended = False

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run ``app`` on the socket until it, the client or the session ends."""

        async def guarded_send(message: Message) -> None:
            """Send a frame while the session lasts."""
            await self._send_while_it_lasts(message, send)

        async def guarded_receive() -> Message:
            """The next frame, or a disconnect once the session is over."""
            return await self._receive(receive, send)

        try:
            await app(scope, guarded_receive, guarded_send)
        except (OSError, WebSocketDisconnect):
            if not self._ended:
                raise
            # The end of the session is no error of an app that did not expect it.
        finally:
            await self._stop()

    async def _send_while_it_lasts(self, message: Message, send: Send) -> None:
        if message["type"] == "websocket.send" and self._is_over():
            await self._end(send)
        if self._ended:
            if message["type"] == "websocket.send":
                raise BrokenPipeError("The session of this WebSocket is over")  # as a server does (ASGI 2.4)
            return
        self._closed = message["type"] == "websocket.close"
        await send(message)
        self._accepted = self._accepted or message["type"] == "websocket.accept"
        self._watch(send)

    def _watch(self, send: Send) -> None:
        """Start the timer once it is known when the session ends: the app may ask after ``accept``."""
        if self._timer is None and self._seconds_left() is not None:
            self._timer = asyncio.ensure_future(self._end_in_time(send))

    async def _end_in_time(self, send: Send) -> None:
        while not self._is_over():  # noqa: ASYNC110 - what is waited for is the clock
            await asyncio.sleep(self._seconds_left() or 0)
        await self._end(send)

    async def _stop(self) -> None:
        tasks: list[asyncio.Task[Any]] = [task for task in (self._next, self._timer) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, receive: Receive, send: Send) -> Message:
        self._watch(send)
        if self._next is None:
            self._next = asyncio.ensure_future(receive())
        while not (self._next.done() or self._is_over()):
            await asyncio.wait([self._next], timeout=self._seconds_left())
        gone = self._next.done() and self._next.result()["type"] == "websocket.disconnect"
        if self._is_over() and not gone:
            await self._end(send)
            return {"type": "websocket.disconnect", "code": SESSION_ENDED, "reason": "session ended"}
        message, self._next = self._next.result(), None
        return message

    async def _end(self, send: Send) -> None:
        if not (self._ended or self._closed):
            self._ended = True
            await send({"type": "websocket.close", "code": SESSION_ENDED, "reason": "session ended"})

    def _is_over(self) -> bool:
        seconds = self._seconds_left()
        return seconds is not None and seconds <= 0

    def _seconds_left(self) -> float | None:
        """Seconds until the session is over; None before ``accept`` and for a socket without a session."""
        ends_at = self._auth.ends_at
        return None if ends_at is None or not self._accepted else ends_at - self._auth.now()
