"""HTTP clients for an app under test, and access to the cookies in their jars."""

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

__all__ = ["EMULATOR_HOST", "Browser", "Client", "async_browser", "cookie_header", "store_cookies"]

EMULATOR_HOST = "127.0.0.1:8787"
"""The host in the URLs of the emulator's own pages."""

_CLIENT = ("127.0.0.1", 50_000)
"""The address of the client: an app without a public URL serves loopback only."""

Client = TypeVar("Client", TestClient, httpx.AsyncClient)


class _HasUrl(Protocol):
    """A request of httpx or of httpx2."""

    @property
    def url(self) -> object: ...


class Browser(TestClient):
    """A test client that opens WebSockets at the app's origin, as a page of the app would.

    Starlette's client opens them at ``ws://testserver``, where no cookie of the app's origin is sent.
    """

    def __init__(self, app: ASGIApp, origin: str) -> None:
        super().__init__(app, base_url=origin, follow_redirects=False, client=_CLIENT)
        self._origin = origin
        self.event_hooks = {"request": [_OriginGuard(origin).check]}

    @override
    def websocket_connect(
        self,
        url: str,
        subprotocols: Sequence[str] | None = None,
        **kwargs: Any,  # Starlette's signature
    ) -> WebSocketTestSession:
        """Open a WebSocket at the app's origin, with that origin in the ``Origin`` header."""
        headers = {"origin": self._origin, **kwargs.pop("headers", {})}
        url = urljoin(f"ws{self._origin.removeprefix('http')}", url)
        return super().websocket_connect(url, subprotocols, headers=headers, **kwargs)


def async_browser(app: ASGIApp, origin: str) -> httpx.AsyncClient:
    """Return an asynchronous client of the app. It does not follow redirects."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url=origin,
        event_hooks={"request": [_OriginGuard(origin).check_async]},
    )


class _OriginGuard:
    """Stops a client of the app from requesting the emulator's pages.

    Without it the request would reach the app, whose 404 hides the mistake.
    """

    def __init__(self, origin: str) -> None:
        self._origin = f"{origin}/"

    def check(self, request: _HasUrl) -> None:
        url = str(request.url)
        if f"//{EMULATOR_HOST}/" in url.partition("?")[0] and not url.startswith(self._origin):
            raise LookupError(
                "This URL is the emulator's sign-in page, and this client reaches only the app."
                " Use log_in(client, user) to sign in through that page."
            )

    async def check_async(self, request: _HasUrl) -> None:
        self.check(request)


def store_cookies(jar: CookieJar, origin: str, set_cookies: list[bytes]) -> None:
    """Store ``Set-Cookie`` values in the jar as if a response of ``origin`` had set them."""
    message = Message()
    for value in set_cookies:
        message["Set-Cookie"] = value.decode("ascii")
    response = cast("HTTPResponse", addinfourl(BytesIO(), message, origin))
    jar.extract_cookies(response, Request(origin))  # noqa: S310 - the request is never sent


def cookie_header(jar: CookieJar, origin: str) -> str:
    """Return the ``Cookie`` header that the jar adds to a request to ``origin``."""
    request = Request(origin)  # noqa: S310 - the request is never sent
    jar.add_cookie_header(request)
    return request.get_header("Cookie", "")
