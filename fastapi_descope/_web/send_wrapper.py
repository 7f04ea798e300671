"""What goes out in answer to one request: what we add to its start, and nothing twice."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.types import Message, Scope, Send

__all__ = ["SendWrapper"]

_FAILED = int(HTTPStatus.INTERNAL_SERVER_ERROR)
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class SendWrapper:
    """Stands between the app and the server, and knows how far the answer to a request has come.

    A mounted app has a ``ServerErrorMiddleware`` of its own, which answers 500 before it lets an error of
    ours through. So a 500 of any app that is further in than we are waits until the app has ended: then it
    goes out, or an answer to our error takes its place. One that streams does not wait.
    """

    __slots__ = ("_app", "_held", "_scope", "_send", "_start", "closed", "started")

    def __init__(self, start: Callable[[Message], Awaitable[None]], scope: Scope, send: Send) -> None:
        self._start = start
        self._scope = scope
        self._send = send
        self._app: object = scope.get("app")
        self._held: list[Message] | None = None
        self.started = False
        self.closed = False

    # One function for what every message passes through: a frame more would be felt on every request.
    async def send(self, message: Message) -> None:
        """Pass a message on, or hold it. Raises what ``start``, which sees the first one, raises."""
        kind = message["type"]
        if self._held is not None:
            self._held.append(message)
            if message.get("more_body"):
                await self.flush()
            return
        if kind in _STARTS:
            if kind == "http.response.start" and message["status"] == _FAILED and self._is_anothers():
                self._held = [message]
                return
            await self._start(message)
            self.started = True
        elif kind == "websocket.close":
            self.closed = True
        await self._send(message)

    async def flush(self) -> None:
        """Send what was held: it was no error of ours."""
        for message in self.discard():
            await self.send(message)

    def discard(self) -> list[Message]:
        """What was held; from now on nothing is."""
        held, self._held = self._held, None
        self._app = self._scope.get("app")
        return held or []

    def _is_anothers(self) -> bool:
        return not self.started and self._scope.get("app") is not self._app
