"""Failure on demand: what the next calls of an endpoint suffer."""

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
    """Faults in waiting, per endpoint; first in, first out. ``"*"`` stands for every endpoint.

    May be used from another thread than the one the emulator runs in.
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
        """Let the next ``times`` calls of ``endpoint`` fail.

        ``status`` alone answers with error JSON in Descope's shape (with a made-up code, E000000, from 500
        on), ``body`` with these bytes or this JSON (200 if
        no status is given). ``retry_after`` becomes the header of that name; a 429 without it has none.
        ``delay`` seconds pass first (by ``pause``); ``hold`` waits for ``release``; ``drip`` seconds pass
        between any two bytes of the body. Waiting alone leaves the real answer as it is.

        ``cut="reset"``: no answer, the connection is reset. ``cut="close"``: the headers and half of the
        body, then the connection ends. In-process, where there is none, the caller gets a
        ConnectionResetError.

        ``when="after"``: the endpoint does its work, a rotation included, and then the fault happens to
        its answer.

        Raises ValueError for an endpoint that does not exist, or a fault that would change nothing or
        contradicts itself.
        """
        if endpoint not in self._endpoints:
            raise ValueError(f"no endpoint {endpoint!r}; there are {sorted(self._endpoints)}")
        if times < 1:
            raise ValueError("times must be positive")
        if status is None and body is not None:
            status = 200
        if status is None and (headers or retry_after is not None):
            raise ValueError("headers and retry_after need a status or a body that they come with")
        fault = Fault(
            status, _content(status, body), _headers(headers, retry_after), delay, drip, hold, cut, when
        )
        self._pending.setdefault(endpoint, deque()).extend([fault] * times)

    def clear(self) -> None:
        """Forget the faults that have not happened yet; held, delayed and dripping calls go on at once."""
        self._pending.clear()
        self.release()
        self._skip_barrier.release()

    def release(self) -> None:
        """Let every held call go on."""
        self._hold_barrier.release()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """What faults can be added to, sorted; the star is first."""
        return tuple(sorted(self._endpoints))

    def pending(self) -> tuple[tuple[str, Fault, int], ...]:
        """What has not happened yet: the endpoint, the fault, and how many times in a row."""
        return tuple(
            (endpoint, fault, len(list(row)))
            for endpoint, faults in sorted(self._pending.items())
            for fault, row in groupby(tuple(faults))
        )

    async def wait_until_held(self, count: int = 1) -> None:
        """Wait until ``count`` calls are held at the same time."""
        await self._hold_barrier.wait_for_waiters(count)

    def pop(self, endpoint: str) -> Fault | None:
        """The fault that is next for an endpoint, used up by this."""
        for name in (endpoint, "*"):
            waiting = self._pending.get(name)
            if waiting:
                return waiting.popleft()
        return None

    def wrap(self, fault: Fault, app: ASGIApp) -> FaultyApp:
        """``app`` as a single call gets to see it, to which the fault happens."""
        return FaultyApp(fault, app, self._pause, self._hold_barrier, self._skip_barrier)


def _headers(given: Mapping[str, str] | None, retry_after: int | str | None) -> Mapping[str, str]:
    headers = {"content-type": "application/json"}
    headers |= {name.lower(): value for name, value in (given or {}).items()}
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
        error_body(INTERNAL_ERROR if is_failure else "E011001", "A fault was asked for")
    ).encode()
