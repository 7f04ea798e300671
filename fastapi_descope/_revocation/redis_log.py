"""The revocation log of a fleet: streams in Redis that every process reads."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from itertools import chain, islice
from typing import Protocol, cast

from .._concurrency import LoopFinalizer
from .._refresh.redis.client import ResilientRedis
from .._refresh.redis.scripts import Script
from ..events import EventBus, RevocationLogDegraded, RevocationLogRecovered
from .deny_list import DenyList
from .entry import Revocation

__all__ = ["RedisRevocationLog"]

_READ_SECONDS = 1.0
"""How long one read waits for entries."""

_READ_TIMEOUT = 2.0
"""Seconds after which a read has failed: this long it takes to notice a connection that has died silently."""

_RETRY_SECONDS = 0.5
_READY_SECONDS = 1.0

_BRIEF_SECONDS = 3600
"""Entries that expire within this time have a stream of their own, which is therefore short."""

_MAX_ENTRIES = 100_000
_PAGE = 500

_APPEND = Script(
    """
local entry, ttl, window, max_entries = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local is_new = redis.call('SET', KEYS[2], '1', 'NX', 'PX', ttl)
if is_new or redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', max_entries, '*', 'entry', entry)
  redis.call('XTRIM', KEYS[1], 'MINID', '~', (redis.call('TIME')[1] - window) * 1000)
end
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
return {'ok', ''}
""",
    frozenset({b"ok"}),
)
"""Replies ``ok``. Arguments: the entry, its TTL in milliseconds, how many seconds entries of the stream can
last, and how many entries it may have.

The second key marks the entry as written: a repetition, and all processes that restore a lost log, add it
once.
"""

_Positions = dict[str | bytes, str | bytes]


class _Streams(Protocol):
    """The part of redis-py's client that reads streams; redis-py leaves its types open."""

    async def xread(
        self, streams: Mapping[str | bytes, str | bytes], count: int, block: int | None
    ) -> Iterable[tuple[bytes, Iterable[tuple[bytes, Mapping[bytes, bytes]]]]]: ...


class RedisRevocationLog:
    """A ``RevocationLog`` in Redis.

    Two streams hold the entries: one those that expire within an hour, as those of nearly every logout do,
    the other the rest. A process reads both from their beginning when it connects. Then it waits for new
    entries, over a connection of its own. After a broken connection it reads everything again, and writes the
    entries that Redis has lost. So neither a partition nor a restart of an empty Redis loses an entry that a
    running process knows.

    While Redis is unavailable, a revocation counts in the process that made it, and reaches the others
    afterwards.

    Args:
        client: The client of the refresh store.
        prefix: The beginning of the keys.
        deny_list: Gets the entries.
        clock: Returns epoch seconds.
        ttl: Seconds that an entry lasts at most.
        events: Receives an event when the log cannot be read, and when it can be read again.
    """

    # RV-03, RV-04, RV-05

    def __init__(
        self,
        client: ResilientRedis,
        *,
        prefix: str,
        deny_list: DenyList,
        clock: Callable[[], float],
        ttl: float,
        events: EventBus,
    ) -> None:
        self._client = client
        self._base = f"{prefix}:{{revocations}}"
        self._deny_list = deny_list
        self._clock = clock
        self._ttl = ttl
        self._events = events
        self._unwritten: dict[Revocation, None] = {}
        self._is_degraded = False
        self._is_known = False
        self._reader: _Reader | None = None

    async def append(self, entries: Iterable[Revocation]) -> None:
        """Implement ``RevocationLog.append``."""
        await asyncio.gather(*(self._write(entry) for entry in entries))

    async def ready(self) -> None:
        """Implement ``RevocationLog.ready``."""
        reader = self._reader
        if reader is None or reader.loop is not asyncio.get_running_loop():
            reader = self._reader = _Reader(self._follow)
            await reader.finalizer.register()
        if not reader.has_read.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_READY_SECONDS):
                    await reader.has_read.wait()

    def is_known(self) -> bool:
        """Implement ``RevocationLog.is_known``."""
        return self._is_known

    def has_unwritten(self) -> bool:
        """Implement ``RevocationLog.has_unwritten``."""
        return bool(self._unwritten)

    async def aclose(self) -> None:
        """Implement ``RevocationLog.aclose``."""
        reader, self._reader = self._reader, None
        if reader is not None and reader.loop is asyncio.get_running_loop():
            await reader.finalizer.aclose()

    async def _write(self, entry: Revocation) -> None:
        ttl = min(entry.until - self._clock(), self._ttl)
        if ttl <= 0:
            self._unwritten.pop(entry, None)
            return
        kind, window = ("brief", _BRIEF_SECONDS) if ttl <= _BRIEF_SECONDS else ("long", int(self._ttl) + 1)
        mark = f"{self._base}:{entry.kind}:{entry.id}:{entry.before}:{entry.until}"
        arguments = (entry.encode(), int(ttl * 1000) + 1, window, _MAX_ENTRIES)
        if await self._client.eval(_APPEND, (f"{self._base}:{kind}", mark), arguments) is None:
            self._unwritten[entry] = None
        else:
            self._unwritten.pop(entry, None)

    async def _follow(self, has_read: asyncio.Event) -> None:
        """Read the log until the task is cancelled. The first read, or its failure, sets ``has_read``."""
        while True:
            try:
                async with self._client.blocking() as streams:
                    await self._follow_connection(cast("_Streams", streams), has_read)
            except Exception as error:  # noqa: BLE001 - redis-py's parser raises any exception
                if not self._is_degraded:
                    self._is_degraded = True
                    self._events.emit(RevocationLogDegraded(type(error).__name__))
            has_read.set()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow_connection(self, streams: _Streams, has_read: asyncio.Event) -> None:
        """Read over one connection until it fails: everything there is, then new entries."""
        positions: _Positions = {f"{self._base}:brief": "0", f"{self._base}:long": "0"}
        stored = set[Revocation | None]()
        while page := await self._read(streams, positions, block=None):
            stored.update(page)
        self._is_known = True
        if self._is_degraded:
            self._is_degraded = False
            self._events.emit(RevocationLogRecovered())
        has_read.set()
        missing = set(self._deny_list.entries()) - stored
        while True:
            is_behind = await self._write_page(missing)
            block = None if is_behind else int(_READ_SECONDS * 1000)
            # Another process has written the entries that are read now.
            missing.difference_update(await self._read(streams, positions, block=block))

    async def _write_page(self, missing: set[Revocation]) -> bool:
        """Write some of the entries that Redis lacks; those of ``missing`` are removed from it.

        In pages, because new entries must be read meanwhile. Returns whether the next page can follow at
        once.
        """
        page = list(islice(chain(missing, self._unwritten), _PAGE))
        missing.difference_update(page)
        await self.append(page)
        return bool(missing or self._unwritten) and self._unwritten.keys().isdisjoint(page)

    async def _read(
        self, streams: _Streams, positions: _Positions, *, block: int | None
    ) -> list[Revocation | None]:
        """Read one page, add its entries to the deny list, and return them; None for a malformed entry."""
        async with asyncio.timeout(_READ_TIMEOUT):
            reply = await streams.xread(positions, count=_PAGE, block=block)
        page: list[Revocation | None] = []
        for stream, messages in reply:
            for message_id, fields in messages:
                positions[stream.decode()] = message_id
                page.append(Revocation.decode(fields.get(b"entry", b"")))
        self._deny_list.add(entry for entry in page if entry is not None)
        return page


class _Reader:
    """The task that reads the log in one event loop."""

    def __init__(self, follow: Callable[[asyncio.Event], Coroutine[None, None, None]]) -> None:
        self.loop = asyncio.get_running_loop()
        self.has_read = asyncio.Event()
        self.finalizer = LoopFinalizer(self._stop)
        self._task = self.loop.create_task(follow(self.has_read))

    async def _stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
