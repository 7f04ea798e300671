"""The clients of an app under test: browsers that stay at its origin, and what lies in their cookie jars."""

from collections.abc import Sequence
from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from io import BytesIO
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import urljoin
from urllib.request import Request
from urllib.response import addinfourl

import httpx
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.types import ASGIApp
from typing_extensions import override

__all__ = ["EMULATOR_HOST", "Browser", "Client", "async_browser", "receive", "sent"]

EMULATOR_HOST = "127.0.0.1:8787"
"""Where the emulator says that it is."""

Client = TypeVar("Client", TestClient, httpx.AsyncClient)


class _HasAddress(Protocol):
    """A request, of httpx or of httpx2."""

    @property
    def url(self) -> object: ...


class Browser(TestClient):
    """A test client that opens WebSockets where it sends its requests, as a page of the app would.

    Starlette's own opens them at ``ws://testserver``, where no cookie of the app's origin goes.
    """

    def __init__(self, app: ASGIApp, origin: str) -> None:
        super().__init__(app, base_url=origin, follow_redirects=False)
        self._origin = origin
        self.event_hooks = {"request": [_OriginGuard(origin).check]}

    @override
    def websocket_connect(
        self,
        url: str,
        subprotocols: Sequence[str] | None = None,
        **kwargs: Any,  # as Starlette has it
    ) -> WebSocketTestSession:
        """As Starlette's own, at the app's origin and with its ``Origin``."""
        headers = {"origin": self._origin, **kwargs.pop("headers", {})}
        url = urljoin(f"ws{self._origin.removeprefix('http')}", url)
        return super().websocket_connect(url, subprotocols, headers=headers, **kwargs)


def async_browser(app: ASGIApp, origin: str) -> httpx.AsyncClient:
    """The same for asynchronous tests, as far as httpx goes."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url=origin,
        event_hooks={"request": [_OriginGuard(origin).check_async]},
    )


class _OriginGuard:
    """Keeps a client of the app from the emulator: it would find the app's own 404 there, and a riddle."""

    def __init__(self, origin: str) -> None:
        self._origin = f"{origin}/"

    def check(self, request: _HasAddress) -> None:
        url = str(request.url)
        if f"//{EMULATOR_HOST}/" in url.partition("?")[0] and not url.startswith(self._origin):
            raise LookupError(
                "This is the sign-in page of the emulator, and the client is the app's alone."
                " To sign in by way of that page: log_in(client, user)"
            )

    async def check_async(self, request: _HasAddress) -> None:
        self.check(request)


def receive(jar: CookieJar, origin: str, lines: list[bytes]) -> None:
    """Have the jar take ``Set-Cookie`` values as from an answer of the app, domain and all."""
    message = Message()
    for line in lines:
        message["Set-Cookie"] = line.decode("ascii")
    answer = cast("HTTPResponse", addinfourl(BytesIO(), message, origin))
    jar.extract_cookies(answer, Request(origin))  # noqa: S310 - nothing is opened


def sent(jar: CookieJar, origin: str) -> str:
    """The ``Cookie`` header of the next request to the app."""
    request = Request(origin)  # noqa: S310 - nothing is opened
    jar.add_cookie_header(request)
    return request.get_header("Cookie", "")
