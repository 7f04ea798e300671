"""Track and delay the messages of one response."""

from collections.abc import Awaitable, Callable
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
        started: Whether the response has started.
        closed: Whether the WebSocket was closed.
    """

    __slots__ = ("_app", "_held", "_on_start", "_scope", "_send", "closed", "started")

    def __init__(self, on_start: Callable[[Message], Awaitable[None]], scope: Scope, send: Send) -> None:
        self._on_start = on_start
        self._scope = scope
        self._send = send
        self._app: object = scope.get("app")
        self._held: list[Message] | None = None
        self.started = False
        self.closed = False

    # One function for all messages: another call would be measurable on each request.
    async def send(self, message: Message) -> None:
        """Send a message, or hold it.

        Raises:
            Exception: Whatever ``on_start`` raises, which may change the first message.
        """
        kind = message["type"]
        if self._held is not None:
            self._held.append(message)
            if message.get("more_body"):
                await self.flush()
            return
        if kind in _STARTS:
            if (
                kind == "http.response.start"
                and message["status"] == _SERVER_ERROR
                and self._is_mounted_app()
            ):
                self._held = [message]
                return
            await self._on_start(message)
            self.started = True
        elif kind == "websocket.close":
            self.closed = True
        await self._send(message)

    async def flush(self) -> None:
        """Send the held messages, if any."""
        for message in self.discard():
            await self.send(message)

    def discard(self) -> list[Message]:
        """Return the held messages, and hold none from now on."""
        held, self._held = self._held, None
        self._app = self._scope.get("app")
        return held or []

    def _is_mounted_app(self) -> bool:
        # A mounted app puts itself into the scope.
        return not self.started and self._scope.get("app") is not self._app
