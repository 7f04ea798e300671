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

from ..._concurrency.circuit_breaker import Breaker
from ...events import Events
from ..store import Lease, MemoryRefreshStore, RefreshResult
from . import scripts as redis_scripts
from .client import RedisServer
from .encryption import ResultSealer
from .outbox import RedisBacklog
from .scripts import Answer, Script, Standing

__all__ = ["RedisRefreshStore"]

_HEARD_SECONDS = 30.0
"""How long what Redis said counts here, should Redis lose it: a response may be under way with it."""

_LONGEST_LEASE_SECONDS = 60.0
"""When a holder that never finishes loses its lease for good; a call to Descope takes seconds."""

_LOST = (b"lost", b"")


@dataclass(frozen=True, slots=True)
class _SharedLease(Lease):
    """A lease that Redis granted while ``edition`` stood, and the task that renews it."""

    edition: bytes
    renewal: asyncio.Task[None] = field(repr=False, compare=False)


class RedisRefreshStore:
    """A ``RefreshStore`` for all processes with the same Redis and the same project.

    A lease lasts ``lease_seconds`` and is renewed for up to a minute while its holder works. After a crash
    of the holder it is what the next request waits, so it is shorter than the patience of ``Refresher``
    (F8). Every call costs one round trip, and ``timeout`` seconds at most, of a process that is not too
    busy to read the answer; during an outage it costs nothing.

    Raises ``ConfigurationError`` for a URL that redis-py cannot read (RD-06). Opens nothing until the first
    call; may serve several event loops one after the other, each with connections of its own.
    """

    def __init__(
        self,
        url: SecretStr,
        *,
        project_id: str,
        events: Events,
        monotonic: Callable[[], float] = time.monotonic,
        lease_seconds: float = 5.0,
        timeout: float = 0.25,
    ) -> None:
        self._prefix = f"fastapi-descope:{project_id}"
        self._server = RedisServer(
            url,
            trial_key=f"{self._prefix}:trial",
            timeout=timeout,
            breaker=Breaker(monotonic),
            events=events,
        )
        self._backlog = RedisBacklog(self._server, monotonic)
        self._memory = MemoryRefreshStore(monotonic, lease_seconds=_LONGEST_LEASE_SECONDS)
        self._heard = MemoryRefreshStore(monotonic)
        self._logouts = MemoryRefreshStore(monotonic)
        self._sealer = ResultSealer(project_id)
        self._renewed_after = lease_seconds / 3
        self._lease = _milliseconds(lease_seconds)
        self._longest_lease = _milliseconds(max(_LONGEST_LEASE_SECONDS, lease_seconds))

    async def begin(self, token: str, *, anew: bool = False) -> RefreshResult | Lease | None:
        """See ``RefreshStore.begin``. While Redis is away, a lease holds in this process only."""
        heard = None if anew else await self._heard.recall(token)
        local = heard or await self._memory.begin(token, anew=anew)
        if not isinstance(local, Lease):
            return None if anew else await self.recall(token)
        begun: RefreshResult | Lease | None = None
        try:
            begun = await self._begin_shared(token, local, anew=anew)
        finally:
            if not isinstance(begun, Lease):
                await self._memory.finish(token, local, None, 0.0)
        return begun

    async def finish(self, token: str, lease: Lease, result: RefreshResult | None, seconds: float) -> bool:
        """See ``RefreshStore.finish``.

        A lease that Redis lost, without giving it to another, still counts unless a newer result stands
        (RD-05). One that was granted while Redis was away counts in this process; what it brought is
        shared if nothing stands in its place.
        """
        shared = lease if isinstance(lease, _SharedLease) else None
        if shared is not None:
            shared.renewal.cancel()
        if not await self._memory.finish(token, Lease(lease.id), result, seconds):
            return False
        edition = b"" if shared is None else shared.edition
        if result is None:
            answer = await self._ask(redis_scripts.FINISH, token, lease.id, edition, b"", 0)
        else:
            self._heard.forget(token)
            parts = (lease.id, edition, self._sealed(token, result))
            answer = await self._backlog.tell(redis_scripts.FINISH, self._keys(token), parts, seconds)
        if answer == _LOST and shared is not None:
            self._memory.forget(token)
            return False
        return True

    async def recall(self, token: str) -> RefreshResult | None:
        """See ``RefreshStore.recall``. What Redis has lost, or not heard yet, this process may know."""
        if (over := await self._logouts.recall(token)) is not None:
            return over
        answer = await self._ask(redis_scripts.RECALL, token)
        said = await self._said(token, answer)
        if said is not None and said.ended:
            self._memory.forget(token)  # or our own older word would count again if Redis lost the end
        return said or await self._memory.recall(token)

    async def overrule(self, token: str, result: RefreshResult, seconds: float) -> RefreshResult | None:
        """See ``RefreshStore.overrule``. During an outage, other processes learn of it when it is over.

        An end then takes along what they have made of the token meanwhile: nobody else follows it any more.
        """
        local = await self._memory.overrule(token, result, seconds)
        if result.ended:  # for good, whatever Redis says that has not heard of it
            await self._logouts.overrule(token, result, seconds)
        parts = (self._sealed(token, result),)
        follow = partial(self._follow, token, result, seconds) if result.ended else None
        answer = await self._backlog.tell(redis_scripts.OVERRULE, self._keys(token), parts, seconds, follow)
        return await self._replaced(token, answer) or local

    async def shorten(self, token: str, seconds: float) -> None:
        """See ``RefreshStore.shorten``."""
        await self._memory.shorten(token, seconds)
        await self._heard.shorten(token, seconds)
        await self._ask(redis_scripts.SHORTEN, token, _milliseconds(seconds))

    async def is_cluster(self) -> bool:
        """Whether the URL leads to a Redis Cluster, which is of no use here."""
        return await self._server.is_cluster()

    async def aclose(self) -> None:
        """Close the connections of the running event loop; its leases are renewed no more.

        What Redis has not heard yet is told once more.
        """
        await self._backlog.aclose()
        await self._server.aclose()

    async def _begin_shared(self, token: str, local: Lease, *, anew: bool) -> RefreshResult | Lease | None:
        answer = await self._ask(
            redis_scripts.BEGIN, token, local.id, self._lease, self._longest_lease, int(anew)
        )
        match answer:
            case None:
                return (None if anew else await self._said(token, None)) or local
            case (b"granted", edition):
                renewal = await self._server.spawn(self._keep(token, local))
                return _SharedLease(local.id, edition, renewal)
            case (b"remembered", _) if not anew:
                # What does not unseal is garbage or a forgery: as good as nothing, soon overwritten.
                result = await self._said(token, answer)
                return result or await self._begin_shared(token, local, anew=True)
            case _:
                return None

    async def _follow(self, token: str, over: RefreshResult, seconds: float, answer: Answer) -> None:
        replaced, ended = await self._replaced(token, answer), {token}
        while replaced is not None and (later := replaced.refresh_jwt) and later not in ended:
            ended.add(later)
            replaced = await self.overrule(later, over, seconds)

    async def _replaced(self, token: str, answer: Answer | None) -> RefreshResult | None:
        result = await self._said(token, answer)
        self._heard.forget(token)
        return result

    async def _said(self, token: str, answer: Answer | None) -> RefreshResult | None:
        """The result that Redis answers with; if it has none, or is away, the one that it had a moment ago.

        That counts for as long as Redis would have had it: what is over is not lost.
        """
        standing = Standing.of(answer[1] if answer else b"")
        result = self._sealer.unseal(token, standing.sealed) if standing.sealed else None
        if result is None:
            return await self._heard.recall(token)
        # After a pause, which may be over sooner, the session before it is still the latest.
        if result.session_jwt:
            await self._heard.overrule(token, result, min(_HEARD_SECONDS, standing.seconds))
        elif result.ended:
            self._heard.forget(token)
        return result

    def _sealed(self, token: str, result: RefreshResult) -> bytes:
        mark = redis_scripts.LASTING if result.ended else redis_scripts.PASSING
        return mark + self._sealer.seal(token, result)

    async def _keep(self, token: str, lease: Lease) -> None:
        """Renew a lease every third of its life; for a minute, or a holder that hangs would block all."""
        for _ in range(int(_LONGEST_LEASE_SECONDS / self._renewed_after)):
            await asyncio.sleep(self._renewed_after)
            answer = await self._ask(redis_scripts.RENEW, token, lease.id, self._lease)
            if answer == _LOST:
                return

    async def _ask(self, script: Script, token: str, *arguments: bytes | str | int) -> Answer | None:
        return await self._server.ask(script, self._keys(token), arguments)

    def _keys(self, token: str) -> tuple[str, str]:
        name = self._sealer.name(token)
        return f"{self._prefix}:refresh:{{{name}}}", f"{self._prefix}:lease:{{{name}}}"


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
