"""Simulated browsers: a cookie jar each that goes by the specification, and a record of every answer."""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Self

import httpx

from tests.helpers.cookie_jar import StandardJar

from .upstream import Guest

__all__ = ["Answer", "Browser", "Line", "cookies_in"]

_PATIENCE_SECONDS = 60.0
_POOLS, _CONNECTIONS = 10, 20
"""The costs of httpx's pool grow with the square of its connections."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used; without it httpx would load its certificates for every pool."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response, and what was asked.

    ``at`` is the app's time when it was asked, ``seconds`` how long that took. ``status`` is 0 if the
    connection broke before an answer was there.
    """

    path: str
    sent: Mapping[str, str] = field(repr=False)
    at: float
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    body: bytes = b""
    seconds: float = 0.0

    def header(self, name: str) -> str | None:
        """The value of a header that is there once, or None."""
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
        """The cookies that it sets, by name; those that it deletes are empty."""
        pairs = (line.decode("ascii").partition(";")[0].partition("=") for line in self.set_cookies)
        return {name: value for name, _, value in pairs}

    @property
    def clears(self) -> bool:
        """Whether it deletes the refresh cookie: the session is over."""
        return self.written.get("DSR") == ""

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        content: dict[str, Any] = json.loads(self.body)
        return content


class Line:
    """Connections to the app; what many browsers share. ``clock`` tells the app's time."""

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self.url = url
        self.clock = clock
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._pools = [
            httpx.AsyncHTTPTransport(verify=_NO_TLS, limits=limits, trust_env=False) for _ in range(_POOLS)
        ]
        self._turns = cycle(self._pools)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up."""
        for pool in self._pools:
            await pool.aclose()

    async def ask(self, path: str, headers: list[tuple[bytes, bytes]]) -> Answer:
        """The answer to one GET, as it came: cookies are for a browser to take or to lose."""
        request = httpx.Request("GET", self.url + path, headers=headers)
        asked = Answer(path, cookies_in(headers), self.clock())
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                response = await next(self._turns).handle_async_request(request)
                body = await response.aread()
                await response.aclose()
        except httpx.TransportError:
            return asked
        took = asyncio.get_running_loop().time() - begun
        raw = tuple(response.headers.raw)
        return Answer(path, asked.sent, asked.at, response.status_code, raw, body, took)


class Browser:
    """A guest's browser. ``answers`` is everything that it was ever told."""

    def __init__(self, guest: Guest, line: Line) -> None:
        self.guest = guest
        self.answers: list[Answer] = []
        self._line = line
        self._jar = StandardJar(line.url + "/")
        attributes = "Max-Age=86400; Path=/; HttpOnly; SameSite=Lax"
        held = {"DS": guest.session, "DSR": guest.refresh}
        self._jar.receive([f"{name}={value}; {attributes}".encode() for name, value in held.items()])

    @property
    def cookies(self) -> dict[str, str]:
        """What is in the jar."""
        return cookies_in(self._jar.headers)

    async def get(self, path: str = "/me") -> Answer:
        """Ask, and take the cookies of the answer."""
        answer = await self.send(path)
        self.receive(answer)
        return answer

    async def send(self, path: str = "/me") -> Answer:
        """Ask with what the jar holds now. The cookies of the answer wait for ``receive``, or are lost."""
        answer = await self._line.ask(path, self._jar.headers)
        self.answers.append(answer)
        return answer

    def receive(self, answer: Answer) -> None:
        """Have the response arrive: its cookies go into the jar."""
        self._jar.receive(answer.set_cookies)

    async def bearer(self, token: str, path: str = "/me") -> Answer:
        """Ask as a program would, with a token and no cookies."""
        answer = await self._line.ask(path, [(b"authorization", f"Bearer {token}".encode())])
        self.answers.append(answer)
        return answer


def cookies_in(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The cookies of request headers, by name."""
    lines = [value.decode("ascii") for name, value in headers if name.lower() == b"cookie"]
    pairs = (pair.partition("=") for line in lines for pair in line.split("; "))
    return {name: value for name, _, value in pairs}
