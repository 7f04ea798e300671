"""Drive an app without a server and a client: every byte of a header is passed on unchanged."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class WireResponse:
    """One response as the app sent it."""

    status: int
    headers: Headers
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of a header, in order."""
        return [
            value.decode("latin-1") for key, value in self.headers if key.decode("latin-1").lower() == name
        ]

    def one(self, name: str) -> str | None:
        """Return the value of a header that occurs once, or None without it."""
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None

    @property
    def code(self) -> str | None:
        """The stable code of a problem document, or None for any other response."""
        problem = self.one("content-type") == "application/problem+json"
        return json.loads(self.body)["code"] if problem else None


async def send_request(
    app: ASGIApp,
    target: str,
    headers: Headers = (),
    *,
    method: str = "GET",
    body: bytes = b"",
    is_complete: bool = True,
) -> WireResponse:
    """Return the response to one request. ``target`` is a path with its query, both as on the wire.

    Unless it ``is_complete``, the client disconnects after this part of the body.
    """
    sent: list[Message] = []
    inbox: list[Message] = [{"type": "http.request", "body": body, "more_body": not is_complete}]

    async def receive() -> Message:
        return inbox.pop() if inbox else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope("http", "https", target, headers, method=method), receive, send)
    start, *rest = sent
    return WireResponse(start["status"], start["headers"], b"".join(part.get("body", b"") for part in rest))


async def open_websocket(app: ASGIApp, target: str, headers: Headers = ()) -> list[Message]:
    """Return the messages that an app sends to a WebSocket that connects and disconnects."""
    sent: list[Message] = []
    inbox: list[Message] = [{"type": "websocket.disconnect", "code": 1001}, {"type": "websocket.connect"}]

    async def receive() -> Message:
        return inbox.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope("websocket", "wss", target, headers, subprotocols=[]), receive, send)
    return sent


def _scope(kind: str, scheme: str, target: str, headers: Headers, **more: object) -> Scope:
    path, _, query = target.partition("?")
    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"app.example.com"), *headers],
        "extensions": {},
        **more,
    }
