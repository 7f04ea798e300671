"""Outbox: writes that failed while Redis was unavailable, sent again when it recovers.

A result that never reaches Redis costs a session: other processes take its lease for that of a dead process
and spend the refresh token a second time. A logout that never reaches Redis is undone by the result that is
stored there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from .client import ResilientRedis
from .scripts import Script, ScriptReply

__all__ = ["Outbox"]

_RETRY_SECONDS = 0.25
"""How often to check whether Redis is back. A lease that was left there expires in about three seconds."""

_MAX_WRITES = 10_000
"""Beyond this the oldest writes are dropped. So many take about 20 MB."""

_BATCH = 250
"""How many writes to send at once. All of them would block the event loop for more than 0.1 seconds."""


@dataclass(frozen=True, slots=True)
class _Write:
    script: Script
    keys: Sequence[str]
    arguments: tuple[bytes | str | int, ...]
    expires_at: float
    on_late_reply: Callable[[ScriptReply], Awaitable[None]] | None = field(repr=False)


class Outbox:
    """Sends writes to Redis, and keeps those that failed: the newest one per refresh token.

    A refresh token is known by its first key. ``monotonic`` returns seconds.
    """

    def __init__(self, client: ResilientRedis, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._writes: dict[str, _Write] = {}
        self._retry_task: asyncio.Task[None] | None = None

    async def send(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: tuple[bytes | str | int, ...],
        ttl: float,
        on_late_reply: Callable[[ScriptReply], Awaitable[None]] | None = None,
    ) -> ScriptReply | None:
        """Run a script that stores a value for ``ttl`` seconds and return its reply.

        Returns None if Redis is unavailable. The write is then retried until it would have expired, and
        ``on_late_reply`` gets the reply. The last argument of the script is what is left of ``ttl``.
        """
        self._writes.pop(keys[0], None)
        write = _Write(script, keys, arguments, self._monotonic() + ttl, on_late_reply)
        reply = await self._send_now(write)
        if reply is None:
            await self._keep(write)
        return reply

    async def flush(self) -> None:
        """Send every kept write. If Redis is unavailable, only the first is tried."""
        now = self._monotonic()
        self._writes = {key: write for key, write in self._writes.items() if now < write.expires_at}
        waiting = list(self._writes.values())
        if waiting and await self._retry(waiting[0]):
            for start in range(1, len(waiting), _BATCH):
                await asyncio.gather(*map(self._retry, waiting[start : start + _BATCH]))

    async def aclose(self) -> None:
        """Try once more, for at most one timeout of Redis."""
        if self._writes:
            await self._client.probe()
            await self.flush()

    async def _keep(self, write: _Write) -> None:
        if len(self._writes) >= _MAX_WRITES:
            del self._writes[next(iter(self._writes))]
        self._writes[write.keys[0]] = write
        task = self._retry_task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._retry_task = await self._client.spawn(self._flush_until_empty())

    async def _flush_until_empty(self) -> None:
        while self._writes:
            await asyncio.sleep(_RETRY_SECONDS)
            await self.flush()

    async def _retry(self, write: _Write) -> bool:
        """Send one kept write. Returns False if Redis is unavailable."""
        key = write.keys[0]
        if self._writes.get(key) is not write:
            return True  # replaced by a newer write in the meantime
        reply = await self._send_now(write)
        if reply is None:
            return False
        if self._writes.get(key) is write:
            del self._writes[key]
        if write.on_late_reply is not None:
            await write.on_late_reply(reply)
        return True

    async def _send_now(self, write: _Write) -> ScriptReply | None:
        milliseconds = round(1000 * (write.expires_at - self._monotonic()))
        return await self._client.eval(write.script, write.keys, (*write.arguments, milliseconds))
