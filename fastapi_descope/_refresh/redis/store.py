"""The refresh store of a fleet: one memory for all processes that share a Redis.

Each operation is one round trip; an uncontended refresh takes two. For each refresh token there are at most
two keys, ``h`` being a hash of project and token:

    fastapi-descope:<project>:refresh:{h}    the result, sealed; for ten minutes at most
    fastapi-descope:<project>:lease:{h}      the holder's id; for seconds, renewed while it works

The braces put both into one slot, which is what a cluster asks of the keys of one script. That is all there
is for clusters: the client speaks to one server, or to a proxy that stands for one, and does not follow a
cluster's redirections.

Redis is never needed, and no token is verified with it (RD-01). Whatever it does wrong, this process
goes on alone with a memory of its own: the first failure costs ``timeout`` at most, then Redis is left
alone until a trial, made beside the requests, finds that it takes writes again (RD-02). What is
remembered goes into that memory too, so that neither an outage nor an eviction between two steps loses a
rotated token. So does what Redis said, for half a minute or until its end, whichever is sooner: it counts
while Redis is away or has lost it. What Redis could not be told is told later.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from pydantic import SecretStr

from ..._concurrency.circuit_breaker import CircuitBreaker
from ...events import EventBus
from ..store import Lease, MemoryRefreshStore, RefreshResult
from . import scripts as redis_scripts
from .client import ResilientRedis
from .encryption import ResultCipher
from .outbox import Outbox
from .scripts import Script, ScriptReply, StoredValue

__all__ = ["RedisRefreshStore"]

_READ_CACHE_TTL = 30.0
"""How long what Redis said counts here, should Redis lose it: a response may be under way with it."""

_LONGEST_LEASE_SECONDS = 60.0
"""When a holder that never finishes loses its lease for good; a call to Descope takes seconds."""

_LOST = (b"lost", b"")


@dataclass(frozen=True, slots=True)
class _SharedLease(Lease):
    """A lease that Redis granted while ``edition`` stood, and the task that renews it."""

    version: bytes
    renewal: asyncio.Task[None] = field(repr=False, compare=False)


class RedisRefreshStore:
    """A ``RefreshStore`` for all processes with the same Redis and the same project.

    A lease lasts ``lease_seconds`` and is renewed for up to a minute while its holder works. After a crash
    of the holder it is what the next request waits, so it is shorter than the wait timeout of
    ``RefreshCoordinator`` (F8). Every call costs one round trip, and ``timeout`` seconds at most, of a
    process that is not too busy to read the answer; during an outage it costs nothing.

    Raises ``ConfigurationError`` for a URL that redis-py cannot read (RD-06). Opens nothing until the first
    call; may serve several event loops one after the other, each with connections of its own.
    """

    def __init__(
        self,
        url: SecretStr,
        *,
        project_id: str,
        events: EventBus,
        monotonic: Callable[[], float] = time.monotonic,
        lease_seconds: float = 5.0,
        timeout: float = 0.25,
    ) -> None:
        self._prefix = f"fastapi-descope:{project_id}"
        self._client = ResilientRedis(
            url,
            trial_key=f"{self._prefix}:trial",
            timeout=timeout,
            breaker=CircuitBreaker(monotonic),
            events=events,
        )
        self._outbox = Outbox(self._client, monotonic)
        self._memory = MemoryRefreshStore(monotonic, lease_seconds=_LONGEST_LEASE_SECONDS)
        self._read_cache = MemoryRefreshStore(monotonic)
        self._tombstones = MemoryRefreshStore(monotonic)
        self._cipher = ResultCipher(project_id)
        self._renewed_after = lease_seconds / 3
        self._lease = _milliseconds(lease_seconds)
        self._longest_lease = _milliseconds(max(_LONGEST_LEASE_SECONDS, lease_seconds))

    async def acquire(self, token: str, *, ignore_cached: bool = False) -> RefreshResult | Lease | None:
        """See ``RefreshStore.acquire``. While Redis is away, a lease holds in this process only."""
        heard = None if ignore_cached else await self._read_cache.get(token)
        local = heard or await self._memory.acquire(token, ignore_cached=ignore_cached)
        if not isinstance(local, Lease):
            return None if ignore_cached else await self.get(token)
        begun: RefreshResult | Lease | None = None
        try:
            begun = await self._acquire_shared(token, local, ignore_cached=ignore_cached)
        finally:
            if not isinstance(begun, Lease):
                await self._memory.complete(token, local, None, 0.0)
        return begun

    async def complete(self, token: str, lease: Lease, result: RefreshResult | None, ttl: float) -> bool:
        """See ``RefreshStore.complete``.

        A lease that Redis lost, without giving it to another, still counts unless a newer result stands
        (RD-05). One that was granted while Redis was away counts in this process; what it brought is
        shared if nothing stands in its place.
        """
        shared = lease if isinstance(lease, _SharedLease) else None
        if shared is not None:
            shared.renewal.cancel()
        if not await self._memory.complete(token, Lease(lease.id), result, ttl):
            return False
        edition = b"" if shared is None else shared.version
        if result is None:
            answer = await self._eval(redis_scripts.COMPLETE, token, lease.id, edition, b"", 0)
        else:
            self._read_cache.delete(token)
            parts = (lease.id, edition, self._sealed(token, result))
            answer = await self._outbox.send(redis_scripts.COMPLETE, self._keys(token), parts, ttl)
        if answer == _LOST and shared is not None:
            self._memory.delete(token)
            return False
        return True

    async def get(self, token: str) -> RefreshResult | None:
        """See ``RefreshStore.get``. What Redis has lost, or not heard yet, this process may know."""
        if (over := await self._tombstones.get(token)) is not None:
            return over
        answer = await self._eval(redis_scripts.GET, token)
        said = await self._decode(token, answer)
        if said is not None and said.is_ended:
            self._memory.delete(token)  # or our own older word would count again if Redis lost the end
        return said or await self._memory.get(token)

    async def force_set(self, token: str, result: RefreshResult, ttl: float) -> RefreshResult | None:
        """See ``RefreshStore.force_set``. During an outage, other processes learn of it when it is over.

        An end then takes along what they have made of the token meanwhile: nobody else follows it any more.
        """
        local = await self._memory.force_set(token, result, ttl)
        if result.is_ended:  # for good, whatever Redis says that has not heard of it
            await self._tombstones.force_set(token, result, ttl)
        parts = (self._sealed(token, result),)
        follow = partial(self._follow, token, result, ttl) if result.is_ended else None
        answer = await self._outbox.send(redis_scripts.FORCE_SET, self._keys(token), parts, ttl, follow)
        return await self._replaced(token, answer) or local

    async def reduce_ttl(self, token: str, ttl: float) -> None:
        """See ``RefreshStore.reduce_ttl``."""
        await self._memory.reduce_ttl(token, ttl)
        await self._read_cache.reduce_ttl(token, ttl)
        await self._eval(redis_scripts.REDUCE_TTL, token, _milliseconds(ttl))

    async def is_cluster(self) -> bool:
        """Whether the URL leads to a Redis Cluster, which is of no use here."""
        return await self._client.is_cluster()

    async def aclose(self) -> None:
        """Close the connections of the running event loop; its leases are renewed no more.

        What Redis has not heard yet is told once more.
        """
        await self._outbox.aclose()
        await self._client.aclose()

    async def _acquire_shared(
        self, token: str, local: Lease, *, ignore_cached: bool
    ) -> RefreshResult | Lease | None:
        answer = await self._eval(
            redis_scripts.ACQUIRE, token, local.id, self._lease, self._longest_lease, int(ignore_cached)
        )
        match answer:
            case None:
                return (None if ignore_cached else await self._decode(token, None)) or local
            case (b"granted", edition):
                renewal = await self._client.spawn(self._renew_lease(token, local))
                return _SharedLease(local.id, edition, renewal)
            case (b"remembered", _) if not ignore_cached:
                # What does not unseal is garbage or a forgery: as good as nothing, soon overwritten.
                result = await self._decode(token, answer)
                return result or await self._acquire_shared(token, local, ignore_cached=True)
            case _:
                return None

    async def _follow(self, token: str, over: RefreshResult, seconds: float, answer: ScriptReply) -> None:
        replaced, ended = await self._replaced(token, answer), {token}
        while replaced is not None and (later := replaced.refresh_jwt) and later not in ended:
            ended.add(later)
            replaced = await self.force_set(later, over, seconds)

    async def _replaced(self, token: str, answer: ScriptReply | None) -> RefreshResult | None:
        result = await self._decode(token, answer)
        self._read_cache.delete(token)
        return result

    async def _decode(self, token: str, answer: ScriptReply | None) -> RefreshResult | None:
        """The result that Redis answers with; if it has none, or is away, the one that it had a moment ago.

        That counts for as long as Redis would have had it: what is over is not lost.
        """
        standing = StoredValue.of(answer[1] if answer else b"")
        result = self._cipher.decrypt(token, standing.sealed) if standing.sealed else None
        if result is None:
            return await self._read_cache.get(token)
        # After a pause, which may be over sooner, the session before it is still the latest.
        if result.session_jwt:
            await self._read_cache.force_set(token, result, min(_READ_CACHE_TTL, standing.seconds))
        elif result.is_ended:
            self._read_cache.delete(token)
        return result

    def _sealed(self, token: str, result: RefreshResult) -> bytes:
        mark = redis_scripts.TERMINAL if result.is_ended else redis_scripts.NORMAL
        return mark + self._cipher.encrypt(token, result)

    async def _renew_lease(self, token: str, lease: Lease) -> None:
        """Renew a lease every third of its life; for a minute, or a holder that hangs would block all."""
        for _ in range(int(_LONGEST_LEASE_SECONDS / self._renewed_after)):
            await asyncio.sleep(self._renewed_after)
            answer = await self._eval(redis_scripts.RENEW, token, lease.id, self._lease)
            if answer == _LOST:
                return

    async def _eval(self, script: Script, token: str, *arguments: bytes | str | int) -> ScriptReply | None:
        return await self._client.eval(script, self._keys(token), arguments)

    def _keys(self, token: str) -> tuple[str, str]:
        name = self._cipher.name(token)
        return f"{self._prefix}:refresh:{{{name}}}", f"{self._prefix}:lease:{{{name}}}"


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
