"""Sends the requests of the soak to the workers, as a load balancer does."""

import asyncio
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Self

import httpx

from tests.faults.browsers import Response, cookies_in

from .fleet import Worker

__all__ = ["Balancer", "Headers"]

_TIMEOUT_SECONDS = 30.0
_CONNECTIONS = 100

Headers = list[tuple[bytes, bytes]]


class Balancer:
    """Sends each request to any worker, and to the next one if nothing listens there.

    Unlike nginx it does not repeat a request whose connection breaks: its response then has the status 0.
    """

    def __init__(self, workers: Sequence[Worker], random: Random) -> None:
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._urls = [worker.url for worker in workers]
        self._pools = [
            httpx.AsyncHTTPTransport(verify=False, limits=limits, trust_env=False) for _ in workers
        ]
        self._random = random

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in self._pools:
            await pool.aclose()

    @property
    def urls(self) -> Sequence[str]:
        """The URLs of all workers, in random order."""
        return self._random.sample(self._urls, len(self._urls))

    async def send(self, method: str, path: str, headers: Headers, content: bytes = b"") -> Response:
        """Send a request and return the response. Cookies of the response are left to the caller."""
        first = self._random.randrange(len(self._pools))
        for number in count(first):  # pragma: no branch - two workers are never killed
            found = await self.send_to(number % len(self._pools), method, path, headers, content)
            if found is not None:
                return found
        raise AssertionError

    async def send_to(
        self, number: int, method: str, path: str, headers: Headers, content: bytes = b""
    ) -> Response | None:
        """Send a request to one worker; None if nothing listens there."""
        request = httpx.Request(method, self._urls[number] + path, headers=headers, content=content)
        sent = cookies_in(headers)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                response = await self._pools[number].handle_async_request(request)
                body = await response.aread()
                await response.aclose()
        except httpx.ConnectError:
            return None
        except (httpx.TransportError, TimeoutError):
            return Response(path, sent, 0.0)
        return Response(path, sent, 0.0, response.status_code, tuple(response.headers.raw), body)
