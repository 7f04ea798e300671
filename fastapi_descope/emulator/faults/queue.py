"""Pending faults: what happens to the next calls of an endpoint."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Literal

from starlette.types import ASGIApp

from ..api_errors import INTERNAL_ERROR, error_body
from .barrier import Barrier
from .faulty_app import Fault, FaultyApp

__all__ = ["Faults"]

_RATE_LIMITED = 429
_WITHOUT_BODY = {204, 304}


class Faults:
    """Pending faults per endpoint, first in, first out. The endpoint ``"*"`` stands for all of them.

    Safe across threads.
    """

    def __init__(
        self,
        endpoints: Iterable[str],
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._endpoints = frozenset(endpoints) | {"*"}
        self._pause = pause
        self._pending: dict[str, deque[Fault]] = {}
        self._hold_barrier = Barrier()
        self._skip_barrier = Barrier()

    def add(
        self,
        endpoint: str,
        *,
        times: int = 1,
        status: int | None = None,
        body: bytes | Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: int | str | None = None,
        delay: float = 0,
        drip: float = 0,
        hold: bool = False,
        cut: Literal["reset", "close"] | None = None,
        when: Literal["before", "after"] = "before",
    ) -> None:
        """Make the next calls of an endpoint fail.

        A fault can combine a wait, another response and a broken connection. A wait alone keeps the real
        response.

        Args:
            endpoint: The name of the endpoint (see ``endpoints``), or ``"*"``.
            times: The number of calls.
            status: The status of the response. Without ``body``, the body is an error in Descope's format;
                its code is the made-up E000000 from 500 on.
            body: The body, as bytes or as JSON. The status defaults to 200.
            headers: Additional headers.
            retry_after: The value of ``Retry-After``. A 429 without it has no such header.
            delay: Seconds to wait before the response.
            drip: Seconds between any two bytes of the body.
            hold: Wait until ``release`` is called.
            cut: ``"reset"`` resets the connection without a response. ``"close"`` sends the headers and half
                of the body and closes the connection. In-process, the caller gets ConnectionResetError.
            when: ``"before"`` replaces the work of the endpoint. ``"after"`` does the work, such as a token
                rotation, and then affects its response.

        Raises:
            ValueError: The endpoint does not exist, or the fault has no effect or contradicts itself.
        """
        if endpoint not in self._endpoints:
            raise ValueError(f"unknown endpoint {endpoint!r}; expected one of {sorted(self._endpoints)}")
        if times < 1:
            raise ValueError("times must be positive")
        if status is None and body is not None:
            status = 200
        if status is None and (headers or retry_after is not None):
            raise ValueError("headers and retry_after need a status or a body")
        fault = Fault(
            status, _content(status, body), _headers(headers, retry_after), delay, drip, hold, cut, when
        )
        self._pending.setdefault(endpoint, deque()).extend([fault] * times)

    def clear(self) -> None:
        """Remove all pending faults. Calls that are held, delayed or dripping continue at once."""
        self._pending.clear()
        self.release()
        self._skip_barrier.release()

    def release(self) -> None:
        """Let all held calls continue."""
        self._hold_barrier.release()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The names of the endpoints, sorted; ``"*"`` is the first."""
        return tuple(sorted(self._endpoints))

    def pending(self) -> tuple[tuple[str, Fault, int], ...]:
        """Return the pending faults: endpoint, fault, and the number of times in a row."""
        return tuple(
            (endpoint, fault, len(list(group)))
            for endpoint, faults in sorted(self._pending.items())
            for fault, group in groupby(tuple(faults))
        )

    async def wait_until_held(self, count: int = 1) -> None:
        """Wait until ``count`` calls are held at the same time."""
        await self._hold_barrier.wait_for_waiters(count)

    def pop(self, endpoint: str) -> Fault | None:
        """Remove and return the next fault of an endpoint, or None."""
        for name in (endpoint, "*"):
            faults = self._pending.get(name)
            if faults:
                return faults.popleft()
        return None

    def wrap(self, fault: Fault, app: ASGIApp) -> FaultyApp:
        """Return an ASGI app that serves one request with a fault."""
        return FaultyApp(fault, app, self._pause, self._hold_barrier, self._skip_barrier)


def _headers(extra: Mapping[str, str] | None, retry_after: int | str | None) -> Mapping[str, str]:
    headers = {"content-type": "application/json"}
    headers |= {name.lower(): value for name, value in (extra or {}).items()}
    return headers if retry_after is None else headers | {"retry-after": str(retry_after)}


def _content(status: int | None, body: bytes | Mapping[str, object] | None) -> bytes:
    if status in _WITHOUT_BODY:
        return b""
    if isinstance(body, bytes):
        return body
    if body is not None:
        return json.dumps(dict(body)).encode()
    if status == _RATE_LIMITED:
        return json.dumps(error_body("E130429", "API rate limit exceeded.")).encode()
    is_failure = status is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return json.dumps(
        error_body(INTERNAL_ERROR if is_failure else "E011001", "A fault was injected here")
    ).encode()
