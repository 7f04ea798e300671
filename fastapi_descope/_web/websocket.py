"""Reject a WebSocket, and close one when its session ends or is revoked."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from .request_auth import RequestAuth

__all__ = ["WebSocketRejection", "WebSocketSession"]


@dataclass(frozen=True, slots=True)
class WebSocketRejection:
    """An ASGI app that rejects a WebSocket: by an HTTP response if the server supports it, else by a code.

    ``denial`` is None for a WebSocket that was accepted already.
    """

    close_code: int
    reason: str
    denial: Response | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the WebSocket."""
        if self.denial is not None and "websocket.http.response" in scope.get("extensions", {}):
            await self.denial(scope, receive, send)
            return
        await send({"type": "websocket.close", "code": self.close_code, "reason": self.reason})


class WebSocketSession:
    """Wraps a WebSocket, and closes it with ``close_code`` when its session has ended (WS-04).

    A WebSocket whose app never asked for the session is not closed. The clock is read before each frame in
    either direction. A timer closes an idle WebSocket, whether its app waits for frames or for something
    else. The app sees what it sees when a client disconnects: a disconnect message, or an ``OSError`` from
    its next send. Accepting the connection is left to the app, and a WebSocket is closed once (WS-05).
    """

    def __init__(self, auth: RequestAuth) -> None:
        self._auth = auth
        self._is_revoked: Callable[[], bool] = lambda: False
        self._close_code = auth.parts.close_code
        self._next: asyncio.Task[Message] | None = None
        self._timer: asyncio.Task[None] | None = None
        self._revoked = asyncio.Event()
        self._accepted = False
        self._closed = False
        self._terminated = False

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run ``app`` on the socket until it, the client or the session ends."""

        async def guarded_send(message: Message) -> None:
            """Send a message while the session is live."""
            await self._send_unless_terminated(message, send)

        async def guarded_receive() -> Message:
            """Return the next message, or a disconnect when the session has ended."""
            return await self._receive(receive, send)

        try:
            await app(scope, guarded_receive, guarded_send)
        except (OSError, WebSocketDisconnect):
            if not self._terminated:
                raise
            # We closed the WebSocket, so this exception is not an error of the app.
        finally:
            await self._stop()

    async def _send_unless_terminated(self, message: Message, send: Send) -> None:
        if message["type"] == "websocket.send" and self._has_session_ended():
            await self._terminate(send)
        if self._terminated:
            if message["type"] == "websocket.send":
                raise BrokenPipeError("The session of this WebSocket has ended")  # as servers do (ASGI 2.4)
            return
        self._closed = message["type"] == "websocket.close"
        await send(message)
        self._accepted = self._accepted or message["type"] == "websocket.accept"
        self._watch(send)

    def _watch(self, send: Send) -> None:
        """Start the timer when the end of the session is known: the app may ask for it after ``accept``."""
        if self._timer is None and self._seconds_left() is not None:
            self._is_revoked = self._auth.revocation_check()
            self._auth.watch_revocations(self.end_if_revoked)
            self.end_if_revoked()  # it may have been revoked since the handshake
            self._timer = asyncio.ensure_future(self._terminate_on_time(send))

    def end_if_revoked(self) -> None:
        """Let the timer close the WebSocket now if the session was revoked (RV-03)."""
        if self._is_revoked():
            self._revoked.set()

    async def _terminate_on_time(self, send: Send) -> None:
        while not self._has_session_ended():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_left()):
                    await self._revoked.wait()
        await self._terminate(send)

    async def _stop(self) -> None:
        tasks: list[asyncio.Task[Any]] = [task for task in (self._next, self._timer) if task is not None]
        for task in tasks:
            task.cancel()
        # gather alone replaces a cancellation from outside by its own, which no cancel scope recognises.
        await asyncio.wait([asyncio.gather(*tasks, return_exceptions=True)])

    async def _receive(self, receive: Receive, send: Send) -> Message:
        self._watch(send)
        if self._next is None:
            self._next = asyncio.ensure_future(receive())
        while not (self._next.done() or self._has_session_ended()):
            waiting = [self._next] if self._timer is None else [self._next, self._timer]
            await asyncio.wait(waiting, timeout=self._seconds_left(), return_when=asyncio.FIRST_COMPLETED)
        gone = self._next.done() and self._next.result()["type"] == "websocket.disconnect"
        if self._has_session_ended() and not gone:
            await self._terminate(send)
            return {"type": "websocket.disconnect", "code": self._close_code, "reason": "session ended"}
        message, self._next = self._next.result(), None
        return message

    async def _terminate(self, send: Send) -> None:
        if not (self._terminated or self._closed):
            self._terminated = True
            await send({"type": "websocket.close", "code": self._close_code, "reason": "session ended"})

    def _has_session_ended(self) -> bool:
        seconds = self._seconds_left()
        return seconds is not None and seconds <= 0

    def _seconds_left(self) -> float | None:
        """Return the seconds until the session ends; None before ``accept`` or without a session."""
        if self._revoked.is_set():
            return 0.0
        ends_at = self._auth.ends_at
        return None if ends_at is None or not self._accepted else ends_at - self._auth.now()
