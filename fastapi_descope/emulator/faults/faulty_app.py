"""A fault, and the ASGI app that applies it to one request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from .barrier import Barrier
from .connection_reset import close_connection

__all__ = ["Fault", "FaultyApp"]


@dataclass(frozen=True, slots=True)
class Fault:
    """The effects on a call. See ``Faults.add``.

    Raises:
        ValueError: It has no effect, or contradicts itself.
    """

    status: int | None
    body: bytes
    headers: Mapping[str, str]
    delay: float
    drip: float
    hold: bool
    cut: Literal["reset", "close"] | None
    when: Literal["before", "after"]

    def __post_init__(self) -> None:
        if self.status is None and self.cut is None and not (self.delay or self.drip or self.hold):
            raise ValueError("a fault needs a status, a body, a delay, a drip, a cut or hold=True")
        if self.cut == "reset" and (self.status is not None or self.drip):
            raise ValueError("a reset replaces the response, so it has no status, body or drip")
        if min(self.delay, self.drip) < 0:
            raise ValueError("delay and drip must be 0 or more seconds")

    @override
    def __str__(self) -> str:
        """Return a short description."""
        kind = self.headers.get("content-type", "")
        parts = {
            f"waits {self.delay:g} s": self.delay,
            "held": self.hold,
            "after the work": self.when == "after",
            f"status {self.status}": self.status is not None,
            f"as {kind}": self.status is not None and kind != "application/json",
            f"Retry-After {self.headers.get('retry-after')}": "retry-after" in self.headers,
            f"{self.drip:g} s between bytes": self.drip,
            "connection closed within the body": self.cut == "close",
            "connection reset": self.cut == "reset",
        }
        return ", ".join(part for part, applies in parts.items() if applies)


@dataclass(frozen=True, slots=True)
class FaultyApp:
    """Wraps ``app`` to apply a fault to one request.

    Attributes:
        fault: The fault.
        app: The wrapped app.
        pause: Waits for a number of seconds.
        hold_barrier: Where held calls wait.
        skip_barrier: Its release ends delays and drips early.
    """

    fault: Fault
    app: ASGIApp
    pause: Callable[[float], Awaitable[object]]
    hold_barrier: Barrier
    skip_barrier: Barrier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request.

        Raises:
            ConnectionResetError: In-process, for a cut connection.
        """
        fault = self.fault
        response = await _collect(self.app, scope, receive) if fault.when == "after" else None
        await self._wait()
        if fault.cut == "reset":
            await close_connection(scope, receive, reset=True)
            return
        if fault.status is not None:
            response = await _collect(Response(fault.body, fault.status, fault.headers), scope, receive)
        start, body = response or await _collect(self.app, scope, receive)
        await send(start)
        if fault.cut == "close":
            await self._send_body(body[: len(body) // 2], send)
            await close_connection(scope, receive, reset=False)
        else:
            await self._send_body(body, send)
            await send(_part(b"", last=True))

    async def _wait(self) -> None:
        if self.fault.delay:
            await self._delay(self.fault.delay)
        if self.fault.hold:
            await self.hold_barrier.wait()

    async def _send_body(self, body: bytes, send: Send) -> None:
        """Send the body, byte by byte if it drips."""
        sent = 0
        while self.fault.drip and sent < len(body) - 1:
            await send(_part(body[sent : sent + 1]))
            sent += 1
            if not await self._delay(self.fault.drip):
                break
        await send(_part(body[sent:]))

    async def _delay(self, seconds: float) -> bool:
        """Wait for some seconds. Returns False if the wait was ended early."""
        pause = asyncio.ensure_future(self.pause(seconds))
        skipped = asyncio.ensure_future(self.skip_barrier.wait())
        try:
            await asyncio.wait((pause, skipped), return_when=asyncio.FIRST_COMPLETED)
            if pause.done():
                pause.result()
            return not skipped.done()
        finally:
            pause.cancel()
            skipped.cancel()


async def _collect(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """Return the first message and the whole body of an app's response."""
    messages: list[Message] = []

    async def append(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, append)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


def _part(body: bytes, *, last: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": not last}
