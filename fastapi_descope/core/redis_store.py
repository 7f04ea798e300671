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
rotated token.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr
from redis.asyncio import from_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse, RedisError

from ..errors import ConfigurationError
from ..events import Events, StoreDegraded, StoreRecovered
from . import redis_scripts
from .breaker import Breaker
from .patience import patience
from .redis_scripts import Script
from .refresh_store import Lease, MemoryRefreshStore, RefreshResult
from .sealed_results import ResultSealer

__all__ = ["RedisRefreshStore"]

_CONNECTIONS = 8

_LONGEST_LEASE_SECONDS = 60.0
"""When a holder that never finishes loses its lease for good; a call to Descope takes seconds."""

_FAILURES = (RedisError, OSError, ValueError, RecursionError)
"""What a call ends with if Redis is away, slow, unwilling or insane; the last two come from parsing."""

_Answer = tuple[bytes, bytes]
"""A word and a text, see ``redis_scripts.py``."""

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
        self._server = _Server(
            url,
            trial_key=f"{self._prefix}:trial",
            timeout=timeout,
            breaker=Breaker(monotonic),
            events=events,
        )
        self._memory = MemoryRefreshStore(monotonic, lease_seconds=_LONGEST_LEASE_SECONDS)
        self._sealer = ResultSealer(project_id)
        self._renewed_after = lease_seconds / 3
        self._lease = _milliseconds(lease_seconds)
        self._longest_lease = _milliseconds(max(_LONGEST_LEASE_SECONDS, lease_seconds))

    async def begin(self, token: str, *, anew: bool = False) -> RefreshResult | Lease | None:
        """See ``RefreshStore.begin``. While Redis is away, a lease holds in this process only."""
        local = await self._memory.begin(token, anew=anew)
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
        sealed = b"" if result is None else self._sealed(token, result)
        answer = await self._ask(
            redis_scripts.FINISH, token, lease.id, edition, sealed, _milliseconds(seconds)
        )
        if answer == _LOST and shared is not None:
            await self._memory.shorten(token, 0.0)
            return False
        return True

    async def recall(self, token: str) -> RefreshResult | None:
        """See ``RefreshStore.recall``. What Redis has lost, this process may still know."""
        answer = await self._ask(redis_scripts.RECALL, token)
        return self._unsealed(token, answer) or await self._memory.recall(token)

    async def overrule(self, token: str, result: RefreshResult, seconds: float) -> RefreshResult | None:
        """See ``RefreshStore.overrule``. During an outage, other processes do not learn of it."""
        local = await self._memory.overrule(token, result, seconds)
        sealed = self._sealed(token, result)
        answer = await self._ask(redis_scripts.OVERRULE, token, sealed, _milliseconds(seconds))
        return self._unsealed(token, answer) or local

    async def shorten(self, token: str, seconds: float) -> None:
        """See ``RefreshStore.shorten``."""
        await self._memory.shorten(token, seconds)
        await self._ask(redis_scripts.SHORTEN, token, _milliseconds(seconds))

    async def aclose(self) -> None:
        """Close the connections of the running event loop; its leases are renewed no more."""
        await self._server.aclose()

    async def _begin_shared(self, token: str, local: Lease, *, anew: bool) -> RefreshResult | Lease | None:
        answer = await self._ask(
            redis_scripts.BEGIN, token, local.id, self._lease, self._longest_lease, int(anew)
        )
        match answer:
            case None:
                return local
            case (b"granted", edition):
                renewal = await self._server.spawn(self._keep(token, local))
                return _SharedLease(local.id, edition, renewal)
            case (b"remembered", _) if not anew:
                # What does not unseal is garbage or a forgery: as good as nothing, soon overwritten.
                result = self._unsealed(token, answer)
                return result or await self._begin_shared(token, local, anew=True)
            case _:
                return None

    def _sealed(self, token: str, result: RefreshResult) -> bytes:
        mark = redis_scripts.LASTING if result.ended else redis_scripts.PASSING
        return mark + self._sealer.seal(token, result)

    def _unsealed(self, token: str, answer: _Answer | None) -> RefreshResult | None:
        return None if answer is None else self._sealer.unseal(token, answer[1][1:])

    async def _keep(self, token: str, lease: Lease) -> None:
        """Renew a lease every third of its life; for a minute, or a holder that hangs would block all."""
        for _ in range(int(_LONGEST_LEASE_SECONDS / self._renewed_after)):
            await asyncio.sleep(self._renewed_after)
            answer = await self._ask(redis_scripts.RENEW, token, lease.id, self._lease)
            if answer == _LOST:
                return

    async def _ask(self, script: Script, token: str, *arguments: bytes | str | int) -> _Answer | None:
        name = self._sealer.name(token)
        keys = (f"{self._prefix}:refresh:{{{name}}}", f"{self._prefix}:lease:{{{name}}}")
        return await self._server.ask(script, keys, arguments)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


class _Server:
    """Redis as seen from here: it answers, or it is away, which is an answer too."""

    def __init__(
        self, url: SecretStr, *, trial_key: str, timeout: float, breaker: Breaker, events: Events
    ) -> None:
        _client(url, timeout)  # a URL that is no good is refused now rather than by a request
        self._url = url
        self._trial_key = trial_key
        self._timeout = timeout
        self._breaker = breaker
        self._events = events
        self._line: _Line | None = None

    async def ask(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> _Answer | None:
        """What the script answers; None if Redis is away, which is found out in ``timeout`` seconds."""
        if self._breaker.is_open():
            if self._breaker.claim_trial():
                await self.spawn(self._try())
            return None
        line = await self._connected()
        async with line.slots:
            # Whoever had to wait for a connection need not find out again that Redis does not answer. The
            # wait itself is no sign of it: in a crowd it is this process that is slow.
            return None if self._breaker.is_open() else await self._answer(line, script, keys, arguments)

    async def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` beside the requests, until it ends or the connections are closed."""
        return (await self._connected()).spawn(work)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next call opens new ones."""
        line, self._line = self._line, None
        if line is not None:
            await line.aclose()

    async def _answer(
        self, line: "_Line", script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> _Answer | None:
        try:
            return await self._call(line, script, keys, arguments)
        except _FAILURES as error:
            if self._breaker.trip():
                self._events.emit(StoreDegraded(type(error).__name__))
            return None

    async def _try(self) -> None:
        """See whether Redis is back; it has to take a write, as everything here does."""
        line = await self._connected()
        with suppress(*_FAILURES):
            async with line.slots:
                await self._call(line, redis_scripts.TRIAL, (self._trial_key,), ())
            self._breaker.close()
            self._events.emit(StoreRecovered())

    async def _call(
        self, line: "_Line", script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> _Answer:
        async with patience(self._timeout):
            answer = await line.client.execute_command("EVAL", script.text, len(keys), *keys, *arguments)
        match answer:
            case [bytes(word), bytes(text)] if word in script.words:
                return word, text
            case _:
                raise InvalidResponse

    async def _connected(self) -> "_Line":
        line = self._line
        if line is None or line.loop is not asyncio.get_running_loop():
            line = self._line = await _Line.open(_client(self._url, self._timeout))
        return line


class _Client(Protocol):
    """What is used of redis-py's client, which leaves its types open."""

    async def execute_command(self, *parts: bytes | str | int) -> object: ...

    async def aclose(self) -> None: ...


class _Line:
    """The connections of one event loop, the queue in front of them, and what runs beside the requests."""

    def __init__(self, client: _Client) -> None:
        self.client = client
        self.loop = asyncio.get_running_loop()
        self.slots = asyncio.Semaphore(_CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lifetime = _closed_with_the_loop(client, self._tasks)

    @classmethod
    async def open(cls, client: _Client) -> "_Line":
        """A line over ``client``; nothing is sent yet."""
        line = cls(client)
        await anext(line._lifetime)
        return line

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` until it ends or the line is closed."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Close everything; or leave it to the line's own loop, if that is another one."""
        if self.loop is asyncio.get_running_loop():
            await self._lifetime.aclose()


async def _closed_with_the_loop(
    client: _Client, tasks: Collection[asyncio.Task[None]]
) -> AsyncGenerator[None, None]:
    """Ends ``tasks`` and closes ``client`` when it is closed itself, as an event loop does at its end.

    So an app that never runs a lifespan, or a test client with a loop per request, leaks no socket.
    """
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(*_FAILURES):
            await client.aclose()


def _client(url: SecretStr, timeout: float) -> _Client:
    """A client that has not connected yet; raises ``ConfigurationError`` without the URL in it."""
    ours = {
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),  # a second try would take a second timeout
        "socket_connect_timeout": timeout,
        "socket_timeout": None,  # the deadline of a call covers it
    }
    with suppress(TypeError, ValueError, RedisError):
        client = from_url(url.get_secret_value(), protocol=2)  # 3 takes a further round trip to connect
        # Over what the URL's query may say.
        client.connection_pool.max_connections = _CONNECTIONS
        client.connection_pool.connection_kwargs.update(ours)
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's
        return client
    raise ConfigurationError("DESCOPE_REDIS_URL is not a URL that redis-py can read")
