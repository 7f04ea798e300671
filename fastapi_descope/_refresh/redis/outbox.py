"""What Redis has to be told and was away for: it is told as soon as it is back.

A result that never arrives costs a session: others take the lease of whoever has it for a dead process's, and
spend the token once more. A logout that never arrives is undone by the result that stands there; one that
arrives late is told what stood there by then, and ends that too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from .client import ResilientRedis
from .scripts import Script, ScriptReply

__all__ = ["Outbox"]

_AGAIN_SECONDS = 0.25
"""How often it is looked whether Redis is back. A lease that was left there ends in some three seconds."""

_MOST = 10_000
"""How many messages are kept: twenty megabytes or so, after a long outage of a large site."""

_BATCH = 250
"""How many are told at once: all of them would keep the event loop busy for a tenth of a second and more."""


@dataclass(frozen=True, slots=True)
class _Message:
    script: Script
    arguments: tuple[bytes | str | int, ...]
    until: float
    answered: Callable[[ScriptReply], Awaitable[None]] | None = field(repr=False)


class Outbox:
    """The messages for one Redis, at most one for each token: a newer one takes the place of the one before.

    ``monotonic`` returns seconds.
    """

    def __init__(self, server: ResilientRedis, monotonic: Callable[[], float]) -> None:
        self._server = server
        self._monotonic = monotonic
        self._messages: dict[tuple[str, str], _Message] = {}
        self._telling: asyncio.Task[None] | None = None

    async def send(
        self,
        script: Script,
        keys: tuple[str, str],
        arguments: tuple[bytes | str | int, ...],
        seconds: float,
        answered: Callable[[ScriptReply], Awaitable[None]] | None = None,
    ) -> ScriptReply | None:
        """What ``script`` answers to ``arguments`` and ``seconds``; None if Redis is away, and told later.

        ``answered`` gets an answer that comes later. What takes longer than ``seconds`` is not told any more.
        """
        self._messages.pop(keys, None)
        message = _Message(script, arguments, self._monotonic() + seconds, answered)
        answer = await self._send_now(keys, message)
        if answer is None:
            await self._keep(keys, message)
        return answer

    async def flush(self) -> None:
        """Tell Redis everything, if it is back; one that is away is asked once."""
        now = self._monotonic()
        self._messages = {keys: told for keys, told in self._messages.items() if now < told.until}
        waiting = list(self._messages.items())
        if waiting and await self._deliver(*waiting[0]):
            for start in range(1, len(waiting), _BATCH):
                portion = waiting[start : start + _BATCH]
                await asyncio.gather(*(self._deliver(*each) for each in portion))

    async def aclose(self) -> None:
        """Try once more, at most for as long as Redis may take for an answer."""
        if self._messages:
            await self._server.probe()
            await self.flush()

    async def _keep(self, keys: tuple[str, str], message: _Message) -> None:
        if len(self._messages) >= _MOST:
            del self._messages[next(iter(self._messages))]
        self._messages[keys] = message
        task = self._telling
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._telling = await self._server.spawn(self._tell_until_told())

    async def _tell_until_told(self) -> None:
        while self._messages:
            await asyncio.sleep(_AGAIN_SECONDS)
            await self.flush()

    async def _deliver(self, keys: tuple[str, str], message: _Message) -> bool:
        if self._messages.get(keys) is not message:
            return True  # a newer one has taken its place meanwhile
        answer = await self._send_now(keys, message)
        if answer is None:
            return False
        if self._messages.get(keys) is message:
            del self._messages[keys]
        if message.answered is not None:
            await message.answered(answer)
        return True

    async def _send_now(self, keys: tuple[str, str], message: _Message) -> ScriptReply | None:
        milliseconds = round(1000 * (message.until - self._monotonic()))
        return await self._server.eval(message.script, keys, (*message.arguments, milliseconds))
