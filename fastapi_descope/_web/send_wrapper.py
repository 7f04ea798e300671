"""The wrapper of an ASGI ``send``: how far a response has got, and what happens when it starts."""

from collections.abc import Awaitable
from http import HTTPStatus

from starlette.types import Message, Scope, Send

__all__ = ["SendWrapper"]

_SERVER_ERROR = int(HTTPStatus.INTERNAL_SERVER_ERROR)
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class SendWrapper:
    """Wraps an ASGI ``send``: records how far the response has got, and delays the 500 of a mounted app.

    A mounted app has a ``ServerErrorMiddleware`` of its own, which sends a 500 before it re-raises one of our
    errors. So a 500 of a mounted app is held until the app has returned or raised. Then it is sent, or the
    response to our error replaces it. A streaming 500 is not held.

    Attributes:
        scope: The scope of the request.
        held: The messages that are held, or None.
        started: Whether the response has started.
        closed: Whether the WebSocket was closed.
    """

    held: list[Message] | None = None
    started = False
    closed = False

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self._send = send
        self._app: object = scope.get("app")

    # Not a coroutine: one more for each message would be measurable on each request.
    def send(self, message: Message) -> Awaitable[None]:
        """Return an awaitable that sends a message, or holds it.

        Raises:
            Exception: Whatever ``on_start`` raises.
        """
        kind = message["type"]
        if self.held is not None:
            return self._hold(message)
        if kind == "http.response.body":
            return self._send(message)
        if kind in _STARTS:
            if message.get("status") == _SERVER_ERROR and self._is_mounted_app(kind):
                return self._hold(message)
            waiting = self.on_start(message)
            if waiting is not None:
                return self._start_after(waiting, message)
            self.started = True
        elif kind == "websocket.close":
            self.closed = True
        return self._send(message)

    def on_start(self, message: Message) -> Awaitable[None] | None:
        """Change the first message, or return an awaitable that changes it. Here nothing is changed."""

    async def _hold(self, message: Message) -> None:
        self.held = [*(self.held or ()), message]
        if message.get("more_body"):
            await self.flush()

    async def _start_after(self, waiting: Awaitable[None], message: Message) -> None:
        await waiting
        self.started = True
        await self._send(message)

    async def flush(self) -> None:
        """Send the held messages, if any."""
        for message in self.discard():
            await self.send(message)

    def discard(self) -> list[Message]:
        """Return the held messages, and hold none from now on."""
        held, self.held = self.held, None
        self._app = self.scope.get("app")
        return held or []

    def _is_mounted_app(self, kind: str) -> bool:
        # A mounted app puts itself into the scope.
        is_response = kind == "http.response.start" and not self.started
        return is_response and self.scope.get("app") is not self._app
