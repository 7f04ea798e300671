"""Outbox: writes that failed while Redis was unavailable, sent again when it recovers.

A result that never reaches Redis costs a session: other processes take its lease for that of a dead process
and spend the refresh token a second time. A logout that never reaches Redis is undone by the result that is
stored there (RD-08).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ..._lru_dict import LruDict
from .client import ResilientRedis
from .scripts import Script, ScriptReply

__all__ = ["Outbox"]

_MAX_WRITES = 10_000
"""Beyond this the oldest writes are dropped. So many take about 20 MB."""


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
        self._writes = LruDict[str, _Write](_MAX_WRITES)

    async def send(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: tuple[bytes | str | int, ...],
        ttl: float,
        on_late_reply: Callable[[ScriptReply], Awaitable[None]] | None = None,
    ) -> ScriptReply | None:
        """Run a script that stores a value for ``ttl`` seconds and return its reply.

        Returns None if Redis is unavailable. The write is then sent by a later ``flush``, unless it would
        have expired, and ``on_late_reply`` gets the reply. The last argument of the script is what is left of
        ``ttl``.
        """
        self._writes.pop(keys[0], None)
        write = _Write(script, keys, arguments, self._monotonic() + ttl, on_late_reply)
        reply = await self._send_now(write)
        if reply is None:
            self._writes.put(keys[0], write)
        return reply

    async def flush(self) -> None:
        """Send every kept write, one after the other. Those that fail again stay."""
        for key, write in list(self._writes.items()):
            if self._writes.get(key) is not write:
                continue  # replaced by a newer write in the meantime
            if self._monotonic() >= write.expires_at:
                del self._writes[key]
            elif (reply := await self._send_now(write)) is not None:
                await self._finish(write, reply)
            else:
                await asyncio.sleep(0)  # nothing was sent, so nothing else has run

    async def aclose(self) -> None:
        """Try once more, for at most two timeouts of Redis."""
        if self._writes:
            await self._client.probe()

    async def _finish(self, write: _Write, reply: ScriptReply) -> None:
        if self._writes.get(write.keys[0]) is write:
            del self._writes[write.keys[0]]
        if write.on_late_reply is not None:
            await write.on_late_reply(reply)

    async def _send_now(self, write: _Write) -> ScriptReply | None:
        milliseconds = round(1000 * (write.expires_at - self._monotonic()))
        return await self._client.eval(write.script, write.keys, (*write.arguments, milliseconds))
