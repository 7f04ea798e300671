"""HTTP requests to Descope: timeout, queue and connections. The only module that imports httpx.

It uses httpx's transports without ``httpx.AsyncClient``. The client has a cookie jar, which would send one
user's cookies with the next user's call, and logs every URL at INFO, with its state. It also uses proxies
from the environment and decompresses bodies; a transport does not.
"""

# RF-15, LG-01, JW-12: the reasons not to use the client. LG-08: instrumentation wraps transports, too.

import asyncio
import ssl
from collections.abc import Callable, Mapping
from functools import cache, partial
from http import HTTPStatus
from typing import cast
from urllib.parse import urlsplit

import httpx
from opentelemetry import context

from .._concurrency import LoopFinalizer, close_all
from .._telemetry.instruments import CALL
from .._telemetry.recorder import Recorder
from ..errors import UpstreamUnavailable
from .resilience import CallPermit, UpstreamGuard
from .responses import ApiResponse, raise_for_status

__all__ = ["Transport", "UpstreamTransport"]

Transport = httpx.AsyncBaseTransport
"""The type of httpx's transports. Tests use ``ASGITransport`` or ``MockTransport``."""

_KEEPALIVE_SECONDS = 30.0
_CONNECT_SECONDS = 2.0

_SUPPRESSED = ("suppress_instrumentation", "suppress_http_instrumentation")
"""The keys with which code switches OpenTelemetry's instrumentation of HTTP clients off."""


class UpstreamTransport:
    """Sends requests to one origin. Opens no connection before the first request.

    A request is retried once if it could not connect, and never after a byte was sent, because codes and
    rotated refresh tokens can be used only once. It may serve several event loops in turn.

    Args:
        base_url: Origin of Descope's API, without a trailing slash.
        timeout: Seconds for one request, the time in the queue included.
        transport: Replaces the connections, and is closed with this object.
        guard: Rejects requests, before they queue and again before they are sent.
        recorder: Measures the requests.
        connections: How many requests may be in progress.
        max_waiting: How many more may wait; any other fails immediately.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float,
        transport: Transport | None,
        guard: UpstreamGuard,
        recorder: Recorder,
        connections: int,
        max_waiting: int,
    ) -> None:
        self._base_url = base_url
        self._server = _server(base_url)
        self._recorder = recorder
        self._connections = connections
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._factory = _single_connection_factory() if transport is None else lambda: transport
        self._guard = guard
        self._pool: _Pool | None = None
        self._extensions = {
            "timeout": httpx.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout)).as_dict()
        }

    async def call(
        self,
        method: str,
        path: str,
        *,
        route: str,
        headers: Mapping[str, str],
        content: bytes | None,
        max_bytes: int,
        before_send: Callable[[], None] | None = None,
    ) -> ApiResponse:
        """Send one request and return its 2xx response.

        The guard tells callers apart by the ``Authorization`` header. ``route`` is the path for spans and
        metrics, without a query and without ids. ``before_send`` is called when a connection is free, and
        nothing is sent if it raises.

        Raises:
            UpstreamRejected: a 4xx of Descope.
            UpstreamUnavailable: a 5xx, no response, a full queue, or an open circuit breaker.
            RateLimited: a 429, or all callers have to wait.
            InvalidUpstreamResponse: any other response, or a body larger than ``max_bytes``.
        """
        url, extensions = self._base_url + path, self._extensions
        attributes = {"http.request.method": method, "url.template": route, **self._server}
        with (
            self._guard.call(headers["Authorization"]) as permit,
            self._recorder.measure(CALL, attributes, name=f"{method} {route}") as call,
        ):
            response = await self._try_send(
                lambda: httpx.Request(method, url, headers=headers, content=content, extensions=extensions),
                max_bytes,
                permit,
                before_send,
            )
            if response is None:
                # Not raised in an except clause: the text of that exception may contain the request.
                raise UpstreamUnavailable(failure=permit.failure_reason)
            call.attributes["http.response.status_code"] = response.status
            if response.status >= HTTPStatus.BAD_REQUEST:
                call.attributes["error.type"] = str(response.status)
            raise_for_status(response)
            return response

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next call opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    async def _try_send(
        self,
        build_request: Callable[[], httpx.Request],
        max_bytes: int,
        permit: CallPermit,
        before_send: Callable[[], None] | None,
    ) -> ApiResponse | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        seconds_left = self._timeout

        def start() -> httpx.Request:
            nonlocal seconds_left
            if before_send is not None:
                before_send()
            permit.acquire()
            seconds_left = deadline - loop.time()
            return build_request()

        try:
            async with asyncio.timeout_at(deadline):
                return await (await self._current_pool()).send(start, max_bytes)
        except TimeoutError as error:
            # A request that spent most of its time in our queue indicates our own load, not Descope's.
            permit.failure_reason = type(error).__name__ if seconds_left >= self._timeout / 2 else None
        except (httpx.HTTPError, OSError) as error:  # TLS failures of an open connection are OSErrors
            permit.failure_reason = type(error).__name__
        return None

    async def _current_pool(self) -> "_Pool":
        pool = self._pool
        if pool is None or pool.loop is not asyncio.get_running_loop():
            pool = self._pool = await _Pool.create(self._factory, self._connections, self._max_waiting)
        return pool


class _Pool:
    """The connections of one event loop, and the queue for them."""

    def __init__(self, factory: Callable[[], Transport], connections: int, max_waiting: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._factory = factory
        self._free = [factory() for _ in range(connections)]
        self._transports = set(self._free)
        self._finalizer = LoopFinalizer(partial(close_all, self._transports))
        self._slots = asyncio.Semaphore(connections)
        self._max_calls = connections + max_waiting
        self._calls = 0
        self._is_closed = False

    @classmethod
    async def create(cls, factory: Callable[[], Transport], connections: int, max_waiting: int) -> "_Pool":
        """Return a pool that is closed with the running event loop. It does not connect yet."""
        pool = cls(factory, connections, max_waiting)
        await pool._finalizer.register()
        return pool

    async def aclose(self) -> None:
        """Close the connections, unless their event loop has ended, which closed them."""
        self._is_closed = True
        if self.loop is asyncio.get_running_loop():
            await self._finalizer.aclose()

    async def send(self, start: Callable[[], httpx.Request], max_bytes: int) -> ApiResponse:
        """Wait for a connection, send the request that ``start`` returns, and return its response.

        ``start`` is called when a connection is free, and sends nothing if it raises. Building a thousand
        requests at once would block the event loop.

        Raises:
            UpstreamUnavailable: the queue is full, or the pool was closed.
        """
        if self._calls >= self._max_calls:  # RF-08, RF-10
            raise UpstreamUnavailable
        self._calls += 1
        try:
            async with self._slots:
                if self._is_closed:  # during the wait; a connection opened now would never be closed
                    raise UpstreamUnavailable
                return await self._send_on_free_transport(start(), max_bytes)
        finally:
            self._calls -= 1

    async def _send_on_free_transport(self, request: httpx.Request, max_bytes: int) -> ApiResponse:
        transport = self._free.pop()  # the most recently used one, so that an idle app has few connections
        try:
            response = await _send(transport, request, max_bytes)
        except BaseException:
            await self._replace(transport)
            raise
        self._free.append(transport)
        return response

    async def _replace(self, transport: Transport) -> None:
        """Replace a transport after a failed request.

        A task that is cancelled, for example by a timeout, while httpcore acquires one of its locks leaves
        behind a connection that counts as busy for ever. As the only connection of its transport it would
        block every later request.
        """
        replacement = self._factory()
        self._free.append(replacement)
        self._transports.add(replacement)
        if replacement is not transport:
            self._transports.remove(transport)
            await transport.aclose()


def _server(base_url: str) -> Mapping[str, str | int]:
    """Return the attributes of the server. They are the same for all requests."""
    url = urlsplit(base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    return {"server.address": url.hostname or "", "server.port": port}


def _single_connection_factory() -> Callable[[], Transport]:
    """Return a factory of transports with one connection each.

    The cost of a connection pool of httpx grows with the square of its size.
    """
    context = _ssl_context()
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEPALIVE_SECONDS)
    httpx.AsyncHTTPTransport(verify=context)  # imports httpcore now, and not during a request
    return lambda: httpx.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False)


@cache
def _ssl_context() -> ssl.SSLContext:
    """Return the one context of the process: its CA certificates take 20 ms to load."""
    return httpx.create_ssl_context(trust_env=False)


async def _send(transport: Transport, request: httpx.Request, max_bytes: int) -> ApiResponse:
    # A span would have the URL, with the state of the login and an e-mail address as the tenant.
    suppressed = context.get_current()
    for key in _SUPPRESSED:
        suppressed = context.set_value(key, value=True, context=suppressed)
    token = context.attach(suppressed)
    try:
        return await _send_once(transport, request, max_bytes)
    finally:
        context.detach(token)


async def _send_once(transport: Transport, request: httpx.Request, max_bytes: int) -> ApiResponse:
    try:
        response = await transport.handle_async_request(request)
    except (httpx.ConnectError, httpx.ConnectTimeout):  # RF-07, CB-08: the only safe retry
        response = await transport.handle_async_request(request)
    try:
        return _api_response(response, await _read_body(response, max_bytes))
    finally:
        await response.aclose()


async def _read_body(response: httpx.Response, max_bytes: int) -> bytes | None:
    """Return the body as received, without decompression, or None if it is longer than ``max_bytes``."""
    body = bytearray()
    async for chunk in cast("httpx.AsyncByteStream", response.stream):
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)


def _api_response(response: httpx.Response, body: bytes | None) -> ApiResponse:
    return ApiResponse(
        status=response.status_code,
        body=body,
        retry_after=response.headers.get("retry-after", ""),
        cache_control=response.headers.get("cache-control", ""),
        set_cookies=tuple(response.headers.get_list("set-cookie")),
        date=response.headers.get("date", ""),
        age=response.headers.get("age", ""),
    )
