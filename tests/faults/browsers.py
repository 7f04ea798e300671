"""Simulated browsers, each with a standard-conforming cookie jar and a record of its responses."""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Self

import httpx

from tests.helpers.cookie_jar import StandardJar

from .upstream import SignedInUser

__all__ = ["AppClient", "Browser", "Response", "cookies_in"]

_TIMEOUT_SECONDS = 60.0
_POOLS, _CONNECTIONS = 10, 20
"""The cost of an httpx pool grows with the square of its connections, so there are several small pools."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used. Without it httpx would load certificates for every pool."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response and its request.

    ``at`` is the app's time when the request was sent, ``seconds`` the duration. ``status`` is 0 if the
    connection broke before the response.
    """

    path: str
    sent: Mapping[str, str] = field(repr=False)
    at: float
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    body: bytes = b""
    seconds: float = 0.0

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None. It must not occur twice."""
        wanted = name.lower().encode()
        values = [value.decode() for key, value in self.headers if key.lower() == wanted]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def set_cookies(self) -> list[bytes]:
        """The ``Set-Cookie`` values."""
        return [value for key, value in self.headers if key.lower() == b"set-cookie"]

    @property
    def written(self) -> dict[str, str]:
        """The cookies that it sets, by name; a deleted cookie has an empty value."""
        pairs = (line.decode("ascii").partition(";")[0].partition("=") for line in self.set_cookies)
        return {name: value for name, _, value in pairs}

    @property
    def clears(self) -> bool:
        """Whether it deletes the refresh cookie, because the session has ended."""
        return self.written.get("DSR") == ""

    @property
    def summary(self) -> str:
        """The status, the code of the error if there is one, and the duration."""
        is_problem = self.header("content-type") == "application/problem+json"
        code = f" {self.json['code']}" if is_problem else ""
        return f"{self.status}{code} after {self.seconds:.1f} s"

    @property
    def json(self) -> dict[str, Any]:
        """The parsed body."""
        content: dict[str, Any] = json.loads(self.body)
        return content


class AppClient:
    """HTTP connections to the app, shared by many browsers. ``clock`` returns the app's time."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self.url = url
        self.clock = clock
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._pools = [
            httpx.AsyncHTTPTransport(verify=_NO_TLS, limits=limits, trust_env=False) for _ in range(_POOLS)
        ]
        self._next_pool = cycle(self._pools)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        for pool in self._pools:
            await pool.aclose()

    async def get(self, path: str, headers: list[tuple[bytes, bytes]]) -> Response:
        """Send one GET and return the response. Its cookies are left to the browser."""
        request = httpx.Request("GET", self.url + path, headers=headers)
        no_response = Response(path, cookies_in(headers), self.clock())
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                response = await next(self._next_pool).handle_async_request(request)
                body = await response.aread()
                await response.aclose()
        except httpx.TransportError:
            return no_response
        took = asyncio.get_running_loop().time() - started
        raw = tuple(response.headers.raw)
        return Response(path, no_response.sent, no_response.at, response.status_code, raw, body, took)


class Browser:
    """The browser of one user. ``responses`` has all responses so far.

    Without ``signed_in`` its jar is empty at first.
    """

    def __init__(self, user: SignedInUser, client: AppClient, *, signed_in: bool = True) -> None:
        self.user = user
        self.responses: list[Response] = []
        self._client = client
        self._jar = StandardJar(client.url + "/")
        attributes = "Max-Age=86400; Path=/; HttpOnly; SameSite=Lax"
        cookies = {"DS": user.session, "DSR": user.refresh} if signed_in else {}
        self._jar.receive([f"{name}={value}; {attributes}".encode() for name, value in cookies.items()])

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies in the jar, by name."""
        return cookies_in(self._jar.headers)

    async def get(self, path: str = "/me") -> Response:
        """Send a request and store the cookies of the response."""
        response = await self.send(path)
        self.receive(response)
        return response

    async def send(self, path: str = "/me") -> Response:
        """Send a request with the cookies of the jar. Only ``receive`` stores those of the response."""
        response = await self._client.get(path, self._jar.headers)
        self.responses.append(response)
        return response

    async def send_over(self, client: AppClient, path: str) -> Response:
        """Send a request over connections of its own, without a record of the response."""
        return await client.get(path, self._jar.headers)

    def receive(self, response: Response) -> None:
        """Store the cookies of a response in the jar."""
        self._jar.receive(response.set_cookies)

    async def bearer(self, token: str, path: str = "/me") -> Response:
        """Send a request with a bearer token and without cookies."""
        response = await self._client.get(path, [(b"authorization", f"Bearer {token}".encode())])
        self.responses.append(response)
        return response


def cookies_in(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the cookies of request headers, by name."""
    lines = [value.decode("ascii") for name, value in headers if name.lower() == b"cookie"]
    pairs = (pair.partition("=") for line in lines for pair in line.split("; "))
    return {name: value for name, _, value in pairs}
