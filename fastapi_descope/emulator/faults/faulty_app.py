"""A fault as it happens to one call: what the caller waits for, and what it gets."""

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
    """What happens to a call: a wait, another answer, an answer cut short, or several. See ``Faults.add``.

    Raises ValueError if it would change nothing, or contradicts itself.
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
            raise ValueError("a reset takes the place of the answer: it has no status, body or drip")
        if min(self.delay, self.drip) < 0:
            raise ValueError("delay and drip must be 0 or more seconds")

    @override
    def __str__(self) -> str:
        """What it does, in a few words."""
        kind = self.headers.get("content-type", "")
        parts = {
            f"waits {self.delay:g} s": self.delay,
            "is held": self.hold,
            "the work is done": self.when == "after",
            f"status {self.status}": self.status is not None,
            f"as {kind}": self.status is not None and kind != "application/json",
            f"Retry-After {self.headers.get('retry-after')}": "retry-after" in self.headers,
            f"{self.drip:g} s between bytes": self.drip,
            "ends in mid-body": self.cut == "close",
            "connection reset": self.cut == "reset",
        }
        return ", ".join(part for part, holds in parts.items() if holds)


@dataclass(frozen=True, slots=True)
class FaultyApp:
    """``app`` with a fault: an ASGI app for one request.

    ``pause`` passes seconds. A call that is to be held waits in ``held``, and whoever waits for seconds to
    pass stops waiting when ``impatience`` is opened.
    """

    fault: Fault
    app: ASGIApp
    pause: Callable[[float], Awaitable[object]]
    hold_barrier: Barrier
    skip_barrier: Barrier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, if at all. Raises ConnectionResetError in-process for a cut."""
        fault = self.fault
        answer = await _answer(self.app, scope, receive) if fault.when == "after" else None
        await self._wait()
        if fault.cut == "reset":
            await close_connection(scope, receive, reset=True)
            return
        if fault.status is not None:
            answer = await _answer(Response(fault.body, fault.status, fault.headers), scope, receive)
        start, body = answer or await _answer(self.app, scope, receive)
        await send(start)
        if fault.cut == "close":
            await self._body(body[: len(body) // 2], send)
            await close_connection(scope, receive, reset=False)
        else:
            await self._body(body, send)
            await send(_part(b"", last=True))

    async def _wait(self) -> None:
        if self.fault.delay:
            await self._pass(self.fault.delay)
        if self.fault.hold:
            await self.hold_barrier.wait()

    async def _body(self, body: bytes, send: Send) -> None:
        """Send a part of the body, byte by byte where it drips."""
        sent = 0
        while self.fault.drip and sent < len(body) - 1:
            await send(_part(body[sent : sent + 1]))
            sent += 1
            if not await self._pass(self.fault.drip):
                break
        await send(_part(body[sent:]))

    async def _pass(self, seconds: float) -> bool:
        """Let time pass; says whether it did, or somebody lost patience."""
        passing = asyncio.ensure_future(self.pause(seconds))
        impatient = asyncio.ensure_future(self.skip_barrier.wait())
        try:
            await asyncio.wait((passing, impatient), return_when=asyncio.FIRST_COMPLETED)
            if passing.done():
                passing.result()
            return not impatient.done()
        finally:
            passing.cancel()
            impatient.cancel()


async def _answer(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
    """The start and the whole body of what an app answers."""
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, collect)
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


def _part(body: bytes, *, last: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": not last}
