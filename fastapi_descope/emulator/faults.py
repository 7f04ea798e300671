"""Failure on demand: what the next calls of an endpoint suffer."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .gate import Gate
from .refusals import error_body

__all__ = ["Fault", "Faults"]

_RATE_LIMITED = 429


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a call: a pause, another answer, or both. See ``Faults.add``."""

    status: int | None
    body: bytes
    headers: Mapping[str, str]
    delay: float
    hold: bool
    when: Literal["before", "after"]


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
        self._waiting: dict[str, deque[Fault]] = {}
        self._gate = Gate()

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
        hold: bool = False,
        when: Literal["before", "after"] = "before",
    ) -> None:
        """Let the next ``times`` calls of ``endpoint`` fail.

        ``status`` alone answers with Descope's error JSON, ``body`` with these bytes or this JSON (200 if
        no status is given). ``retry_after`` becomes the header of that name; a 429 without it has none.
        ``delay`` seconds pass first (by ``pause``); ``hold`` waits for ``release``. Waiting alone leaves
        the real answer as it is. ``when="after"``: the endpoint does its work, a rotation included, and
        then the fault happens to its answer.

        Raises ValueError for an endpoint that does not exist, or a fault that would change nothing.
        """
        if endpoint not in self._endpoints:
            raise ValueError(f"no endpoint {endpoint!r}; there are {sorted(self._endpoints)}")
        if status is None and body is None and not delay and not hold:
            raise ValueError("a fault needs a status, a body, a delay or hold=True")
        if status is None and body is not None:
            status = 200
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if retry_after is not None:
            given["retry-after"] = str(retry_after)
        fault = Fault(
            status,
            _content(status, body),
            {"content-type": "application/json"} | given,
            delay,
            hold,
            when,
        )
        self._waiting.setdefault(endpoint, deque()).extend([fault] * times)

    def clear(self) -> None:
        """Forget the faults that have not happened yet, and release the calls that are held."""
        self._waiting.clear()
        self.release()

    def release(self) -> None:
        """Let every held call go on."""
        self._gate.open()

    async def arrived(self, count: int = 1) -> None:
        """Wait until ``count`` calls are held at the same time."""
        await self._gate.arrived(count)

    def take(self, endpoint: str) -> Fault | None:
        """The fault that is next for an endpoint, used up by this."""
        for name in (endpoint, "*"):
            waiting = self._waiting.get(name)
            if waiting:
                return waiting.popleft()
        return None

    async def happen(self, fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with the fault in place of, or behind, what ``app`` answers."""
        answer: list[Message] = []
        if fault.when == "after":
            await app(scope, receive, _into(answer))
        await self._wait(fault)
        if fault.status is not None:
            await Response(fault.body, fault.status, fault.headers)(scope, receive, send)
        elif fault.when == "after":
            for message in answer:
                await send(message)
        else:
            await app(scope, receive, send)

    async def _wait(self, fault: Fault) -> None:
        if fault.delay:
            await self._pause(fault.delay)
        if fault.hold:
            await self._gate.wait()


def _into(answer: list[Message]) -> Send:
    async def send(message: Message) -> None:
        answer.append(message)

    return send


def _content(status: int | None, body: bytes | Mapping[str, object] | None) -> bytes:
    if isinstance(body, bytes):
        return body
    if body is not None:
        return json.dumps(dict(body)).encode()
    if status == _RATE_LIMITED:
        return json.dumps(error_body("E130429", "API rate limit exceeded.")).encode()
    return json.dumps(error_body("E011001", "A fault was asked for")).encode()
