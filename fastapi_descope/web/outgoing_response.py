"""What goes out in answer to one request: our cookies with its start, and nothing twice."""

from http import HTTPStatus

from starlette.types import Message, Scope, Send

from .pending_session import PendingSession

__all__ = ["OutgoingResponse"]

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class OutgoingResponse:
    """Stands between the app and the server, and knows how far the answer to a request has come.

    A mounted app has a ``ServerErrorMiddleware`` of its own, which answers 500 before it lets an error of
    ours through. So a 500 of any app that is further in than we are waits until the app has ended: then it
    goes out, or an answer to our error takes its place. One that streams does not wait.
    """

    __slots__ = ("_app", "_held", "_pending", "_scope", "_send", "closed", "started")

    def __init__(self, pending: PendingSession, scope: Scope, send: Send) -> None:
        self._pending = pending
        self._scope = scope
        self._send = send
        self._app: object = scope.get("app")
        self._held: list[Message] = []
        self.started = False
        self.closed = False

    async def send(self, message: Message) -> None:
        """Pass a message on, or hold it. Raises ``SessionTooLarge`` at a start."""
        if not self._held and not self._is_in_doubt(message):
            await self._pass_on(message)
            return
        self._held.append(message)
        if message.get("more_body"):
            await self.release()

    async def release(self) -> None:
        """Send what was held: it was no error of ours."""
        held, self._held = self._held, []
        for message in held:
            await self._pass_on(message)

    def drop(self) -> None:
        """Forget what was held."""
        self._held = []

    def _is_in_doubt(self, message: Message) -> bool:
        return (
            message["type"] == "http.response.start"
            and message["status"] == HTTPStatus.INTERNAL_SERVER_ERROR
            and not self.started
            and self._scope.get("app") is not self._app
        )

    async def _pass_on(self, message: Message) -> None:
        if message["type"] in _STARTS:
            await self._pending.start_response(message)
            self.started = True
        self.closed = self.closed or message["type"] == "websocket.close"
        await self._send(message)
