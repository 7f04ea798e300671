"""Requests to Descope: a deadline, a queue, a restraint, a connection; the only file that knows httpx.

It speaks through httpx's transport rather than through ``httpx.AsyncClient``. The client above the
transport keeps a cookie jar, so that one user's cookies go out with the next user's call (RF-15), and logs
every URL at INFO, with the state in it (LG-01). Without it there is no jar, no redirect, no proxy from the
environment, no decompression (JW-12) and no log line to switch off.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import cast

import httpx

from .._concurrency.loop_finalizer import LoopFinalizer
from ..errors import UpstreamUnavailable
from .resilience import CallPermit, UpstreamGuard
from .responses import ApiResponse, raise_for_status

__all__ = ["Transport", "UpstreamTransport"]

Transport = httpx.AsyncBaseTransport
"""What carries the requests: httpx's own, or in tests an ``ASGITransport`` or a ``MockTransport``."""

_KEEPALIVE_SECONDS = 30.0
_CONNECT_SECONDS = 2.0


class UpstreamTransport:
    """Sends requests to one origin. Opens nothing until the first; may serve one event loop after another.

    As many requests as there are ``connections`` are under way at once and ``waiting`` wait for their turn;
    the next one fails at once (RF-08, RF-10). Each ends within ``timeout`` seconds, waiting included. One is
    repeated if no connection could be made, and never after a byte was sent: codes and rotating refresh
    tokens are good for one use (RF-07, CB-08). While ``restraint`` says so, nothing is sent, not even for
    those who wait already.

    ``transport`` is used instead of connections of its own, and closed with it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        transport: Transport | None,
        guard: UpstreamGuard,
        connections: int,
        waiting: int,
    ) -> None:
        self._base_url = base_url
        self._connections = connections
        self._waiting = waiting
        self._timeout = timeout
        self._transport = transport
        self._guard = guard
        self._pool: _Pool | None = None
        self._extensions = {
            "timeout": httpx.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout)).as_dict()
        }

    async def call(
        self, method: str, path: str, *, headers: Mapping[str, str], content: bytes | None, limit: int
    ) -> ApiResponse:
        """The reply to one request, if it is a yes; its body is read up to ``limit`` bytes.

        Raises what ``raise_for_status`` raises, and ``UpstreamUnavailable`` without any reply. The
        ``Authorization`` among ``headers`` tells one caller from another.
        """
        url, extensions = self._base_url + path, self._extensions
        with self._guard.call(headers["Authorization"]) as attempt:
            reply = await self._reply(
                lambda: httpx.Request(method, url, headers=headers, content=content, extensions=extensions),
                limit,
                attempt,
            )
            if reply is None:
                # Out here, so that the failure, whose text may hold the request, is not even its context.
                raise UpstreamUnavailable(failure=attempt.failure_reason)
            raise_for_status(reply)
            return reply

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next call opens new ones."""
        line, self._pool = self._pool, None
        if line is not None:
            await line.aclose()

    async def _reply(
        self, build: Callable[[], httpx.Request], limit: int, attempt: CallPermit
    ) -> ApiResponse | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        left = self._timeout

        def begin() -> httpx.Request:
            nonlocal left
            attempt.acquire()
            left = deadline - loop.time()
            return build()

        try:
            async with asyncio.timeout_at(deadline):
                return await (await self._connected()).send(begin, limit)
        except TimeoutError as error:
            # Most of the time spent in our own queue is a sign of our own load, not of Descope's.
            attempt.failure_reason = type(error).__name__ if left >= self._timeout / 2 else None
        except (httpx.HTTPError, OSError) as error:  # TLS failures of a live connection are OSErrors
            attempt.failure_reason = type(error).__name__
        return None

    async def _connected(self) -> "_Pool":
        line = self._pool
        if line is None or line.loop is not asyncio.get_running_loop():
            line = self._pool = await _Pool.open(self._source(), self._connections, self._waiting)
        return line

    def _source(self) -> Callable[[], Transport]:
        """What gives the transport for each connection: the one and only, or always a new one."""
        given = self._transport
        return _one_connection_each() if given is None else lambda: given


class _Pool:
    """The connections of one event loop, and the queue in front of them."""

    def __init__(self, source: Callable[[], Transport], connections: int, waiting: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._source = source
        self._free = [source() for _ in range(connections)]
        self._open = set(self._free)
        self._finalizer = LoopFinalizer(partial(_close_all, self._open))
        self._slots = asyncio.Semaphore(connections)
        self._room = connections + waiting
        self._calls = 0
        self._closed = False

    @classmethod
    async def open(cls, source: Callable[[], Transport], connections: int, waiting: int) -> "_Pool":
        """A line over so many transports of the ``source``; nothing is sent yet."""
        line = cls(source, connections, waiting)
        await line._finalizer.register()
        return line

    async def aclose(self) -> None:
        """Close the connections, unless their loop has ended and closed them already."""
        self._closed = True
        if self.loop is asyncio.get_running_loop():
            await self._finalizer.aclose()

    async def send(self, begin: Callable[[], httpx.Request], limit: int) -> ApiResponse:
        """The reply once a connection is free; at once ``UpstreamUnavailable`` if too many wait (RF-08).

        ``begin`` gives the request when its turn has come: built one by one, a thousand of them do not
        hold up the event loop. It may raise to have nothing sent.
        """
        if self._calls >= self._room:
            raise UpstreamUnavailable
        self._calls += 1
        try:
            async with self._slots:
                if self._closed:  # while waiting; a pool would open connections that nobody closes
                    raise UpstreamUnavailable
                request = begin()
                # The one used last, so that a quiet app keeps few connections open.
                transport = self._free.pop()
                try:
                    reply = await _sent(transport, request, limit)
                except BaseException:
                    await self._replace(transport)
                    raise
                self._free.append(transport)
                return reply
        finally:
            self._calls -= 1

    async def _replace(self, transport: Transport) -> None:
        """Trust none again that a request has failed on.

        A task that is cancelled, by a deadline too, while httpcore takes one of its locks leaves a
        connection behind that counts as busy for ever; being the only one of its pool, no other call would
        get through.
        """
        fresh = self._source()
        self._free.append(fresh)
        self._open.add(fresh)
        if fresh is not transport:
            self._open.remove(transport)
            await transport.aclose()


def _one_connection_each() -> Callable[[], Transport]:
    """Makes transports of one connection: what a pool of httpx costs grows with the square of its size.

    They share what takes 20 ms to load, the certificates of the authorities.
    """
    context = httpx.create_ssl_context(trust_env=False)
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEPALIVE_SECONDS)
    return lambda: httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False)


async def _close_all(transports: Collection[Transport]) -> None:
    for transport in tuple(transports):
        await transport.aclose()


async def _sent(transport: Transport, request: httpx.Request, limit: int) -> ApiResponse:
    try:
        response = await transport.handle_async_request(request)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        response = await transport.handle_async_request(request)
    try:
        return _reply(response, await _body(response, limit))
    finally:
        await response.aclose()


async def _body(response: httpx.Response, limit: int) -> bytes | None:
    """The body as it came over the wire, never unpacked, or None beyond ``limit`` bytes."""
    body = bytearray()
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _reply(response: httpx.Response, body: bytes | None) -> ApiResponse:
    return ApiResponse(
        status=response.status_code,
        body=body,
        retry_after=response.headers.get("retry-after", ""),
        cache_control=response.headers.get("cache-control", ""),
        set_cookies=tuple(response.headers.get_list("set-cookie")),
        date=response.headers.get("date", ""),
        age=response.headers.get("age", ""),
    )
