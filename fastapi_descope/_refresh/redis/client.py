"""The Redis client: connections per event loop, pipelining, a timeout and a circuit breaker.

No other module imports redis-py.
"""

import asyncio
import math
from collections import deque
from collections.abc import Collection, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from pydantic import SecretStr
from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from typing_extensions import override

from ..._concurrency import CircuitBreaker, LoopFinalizer, lag_tolerant_timeout
from ...errors import ConfigurationError
from ...events import EventBus, StoreDegraded, StoreRecovered
from .scripts import MEMORY_INFO, PROBE, Script, ScriptReply

__all__ = ["ResilientRedis"]

_MAX_CONNECTIONS = 16

_BATCH_BYTES = 14_000
"""Size of one pipeline: what TCP sends over a new connection before it waits for an acknowledgement."""

_PING = b"*2\r\n$4\r\nPING\r\n$1\r\n1\r\n"
"""A command in the encoding that Redis reads. A URL can ask for an encoding that Redis does not read."""

_DEAD_CONNECTION = frozenset({TimeoutError, exceptions.TimeoutError, exceptions.ConnectionError})
"""Errors after which a new connection may work. Of their subclasses, most are replies of a live Redis."""

_CLUSTER_ERRORS = (exceptions.AskError, exceptions.ClusterCrossSlotError, exceptions.ClusterDownError)
"""Errors that only a node of a Redis Cluster sends. ``MovedError`` is a subclass of ``AskError``."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a command has no reply. ``reason`` is an error class: the text of an error may hold a secret."""

    reason: str
    is_cluster: bool = False

    @classmethod
    def of(cls, error: Exception) -> "_Failure":
        is_cluster = isinstance(error, _CLUSTER_ERRORS)
        return cls("RedisCluster" if is_cluster else type(error).__name__, is_cluster)


_Reply = ScriptReply | _Failure | None
"""None if the connections were closed before the reply: that is no failure of Redis."""


@dataclass(eq=False, frozen=True, slots=True)
class _Command:
    script: Script
    arguments: Sequence[bytes | str | int]
    reply: asyncio.Future[_Reply]

    def resolve(self, reply: _Reply) -> None:
        """Set the reply, unless the caller was cancelled or already has one."""
        if not self.reply.done():
            self.reply.set_result(reply)


class ResilientRedis:
    """A Redis client behind a circuit breaker: it returns None while Redis is unavailable, and never raises.

    The first failure opens the breaker and emits ``StoreDegraded``. Then nothing is sent until a probe, which
    runs concurrently with the requests, succeeds and emits ``StoreRecovered`` (RD-02). ``probe_key`` is a key
    that the probe may write. A Redis Cluster is not supported: it counts as unavailable for good.

    A command is sent at once while one of 16 connections is idle. Otherwise it waits for a connection, which
    then sends about 35 commands in one pipeline: a slow Redis costs a thousand concurrent requests a few
    round trips. Urgent scripts go first, because a late result or a late renewal of a lease costs a session.
    ``timeout`` (seconds) is the limit for one pipeline. Time in the queue does not count: when many commands
    wait, this process is the slow one.

    A dead connection is no failure of Redis. A connection that was idle for ``max_idle_seconds`` is replaced.
    A pipeline whose connection fails is sent once more over a new one, so every script is idempotent.

    Each event loop has its own connections, opened by its first command.
    """

    # RD-07

    def __init__(
        self,
        url: SecretStr,
        *,
        probe_key: str,
        timeout: float,
        breaker: CircuitBreaker,
        events: EventBus,
        max_idle_seconds: float = 5.0,
    ) -> None:
        """Validate the URL. Opens no connection.

        Raises:
            ConfigurationError: redis-py cannot read the URL (RD-06).
        """
        self._create_pool = partial(_create_pool, url, timeout, max_idle_seconds)
        self._create_pool()  # so that a bad URL fails at start-up rather than in a request
        self._probe_keys: tuple[str, ...] = (probe_key,)
        self._keys_of_two_slots = (f"{probe_key}:{{one slot}}", f"{probe_key}:{{another}}")
        self._timeout = timeout
        self._breaker = breaker
        self._events = events
        self._current: _Connections | None = None

    async def eval(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> ScriptReply | None:
        """Run ``script`` and return its reply, or None if Redis is unavailable.

        One round trip. While the breaker is open nothing is sent.
        """
        if self._breaker.is_open():
            if self._breaker.try_probe():
                await self.spawn(self.probe())
            return None
        reply = await self._execute(script, keys, arguments)
        if not isinstance(reply, _Failure):
            return reply
        self._record_failure(reply)
        return None

    async def probe(self) -> None:
        """Close the breaker if Redis runs every command that the scripts use."""
        # Sent twice in one pipeline, so that EVALSHA is probed too.
        replies = await asyncio.gather(*(self._execute(PROBE, self._probe_keys, ()) for _ in range(2)))
        if all(isinstance(reply, tuple) for reply in replies) and self._breaker.is_open():
            self._breaker.record_success()
            self._events.emit(StoreRecovered())

    def create_blocking(self) -> Redis:
        """Return a client with connections of its own, for commands that wait. The caller closes it."""
        return Redis.from_pool(self._create_pool())

    async def is_cluster(self) -> bool:
        """Return whether the URL leads to a Redis Cluster, which rejects a script over keys of two slots."""
        reply = await self._execute(PROBE, self._keys_of_two_slots, ())
        return isinstance(reply, _Failure) and reply.is_cluster

    async def write_failure(self) -> str | None:
        """Return the name of the error that a script with all commands raises, or None. One round trip."""
        reply = await self._execute(PROBE, self._probe_keys, ())
        return reply.reason if isinstance(reply, _Failure) else None

    async def memory_info(self) -> str:
        """Return the section ``memory`` of Redis's ``INFO``; empty if the user may not read it."""
        reply = await self._execute(MEMORY_INFO, self._probe_keys, ())
        return reply[1].decode(errors="replace") if isinstance(reply, tuple) else ""

    async def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` as a task, which is cancelled when the connections are closed."""
        return (await self._connections()).spawn(work)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next command opens new ones."""
        connections, self._current = self._current, None
        if connections is not None and connections.loop is asyncio.get_running_loop():
            await connections.finalizer.aclose()
            connections.resolve_all(None)

    def _record_failure(self, failure: _Failure) -> None:
        if failure.is_cluster:
            # A node of a cluster accepts keys of its own slots. A probe of one key would succeed there, and
            # every second session would open the breaker again.
            self._probe_keys = self._keys_of_two_slots
        if self._breaker.record_failure():
            self._events.emit(StoreDegraded(failure.reason))

    async def _execute(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> _Reply:
        connections = await self._connections()
        command = _Command(script, (len(keys), *keys, *arguments), connections.loop.create_future())
        (connections.urgent if script.urgent else connections.normal).append(command)
        if connections.busy < _MAX_CONNECTIONS:
            connections.busy += 1
            connections.spawn(self._send_queued(connections))
        return await command.reply

    async def _send_queued(self, connections: "_Connections") -> None:
        """Use one connection until the queues are empty."""
        try:
            while batch := connections.next_batch():
                try:
                    await self._send(connections, batch)
                finally:  # cancelled because the connections are closed
                    _resolve(batch, None)
        finally:
            connections.busy -= 1

    async def _send(self, connections: "_Connections", batch: Sequence[_Command]) -> None:
        try:
            try:
                replies = await self._run(connections, batch)
            except Exception as error:
                # During an outage the probe is the second attempt.
                if type(error) not in _DEAD_CONNECTION or self._breaker.is_open():
                    raise
                connections.pool.replace_idle_connections()
                replies = await self._run(connections, batch)
        except Exception as error:  # noqa: BLE001 - redis-py's parser raises any exception for a malformed reply
            failure = _Failure.of(error)
            _resolve(batch, failure)
            connections.resolve_all(failure)  # the others would only wait for the same failure
            return
        for command, reply in zip(batch, replies, strict=True):
            command.resolve(_parse(command.script, reply))

    async def _run(self, connections: "_Connections", batch: Sequence[_Command]) -> list[object]:
        async with lag_tolerant_timeout(self._timeout):
            return await _pipeline(connections.client, batch).execute(raise_on_error=False)

    async def _connections(self) -> "_Connections":
        connections = self._current
        if connections is None or connections.loop is not asyncio.get_running_loop():
            connections = self._current = _Connections(self._create_pool())
            await connections.finalizer.register()
        return connections


class _Connections:
    """The connections of one event loop, the commands that wait for one, and the tasks."""

    def __init__(self, pool: "_ConnectionPool") -> None:
        self.loop = asyncio.get_running_loop()
        self.pool = pool
        self.client = Redis.from_pool(pool)
        self.busy = 0
        self.urgent, self.normal = deque[_Command](), deque[_Command]()
        self._tasks: set[asyncio.Task[None]] = set()
        self.finalizer = LoopFinalizer(partial(_close, self.client, self._tasks))

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` until it ends or the connections are closed."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def next_batch(self) -> list[_Command]:
        """Remove and return the next commands, urgent ones first. Those of cancelled callers are dropped."""
        batch: list[_Command] = []
        size = 0
        for queue in (self.urgent, self.normal):
            while queue and size < _BATCH_BYTES:
                if not (command := queue.popleft()).reply.done():
                    batch.append(command)
                    size += sum(len(part) for part in command.arguments if not isinstance(part, int))
        return batch

    def resolve_all(self, reply: _Reply) -> None:
        """Empty the queues and give every command in them ``reply``."""
        for queue in (self.urgent, self.normal):
            _resolve(queue, reply)
            queue.clear()


class _ConnectionPool(ConnectionPool):
    """Replaces connections that may be dead instead of reusing them.

    A NAT or a load balancer that forgets an idle connection drops its packets, and neither end learns of it.
    redis-py's own health check would send a ``PING`` over it and wait for a timeout.
    """

    max_idle_seconds: float
    used_at: dict[AbstractConnection, float]
    _replace_before = -math.inf

    def replace_idle_connections(self) -> None:
        """Replace every connection that is idle now, when it is needed: one like them was dead."""
        self._replace_before = asyncio.get_running_loop().time()

    @override
    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Connect ``connection`` if it is not connected, or may be dead."""
        oldest = max(asyncio.get_running_loop().time() - self.max_idle_seconds, self._replace_before)
        if self.used_at.get(connection, -math.inf) < oldest:
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)

    @override
    async def release(self, connection: AbstractConnection) -> None:
        """Return ``connection`` to the pool."""
        self.used_at[connection] = asyncio.get_running_loop().time()
        await super().release(connection)


def _pipeline(client: Redis, batch: Sequence[_Command]) -> Pipeline:
    """Return a pipeline with the commands of ``batch``; the text of a script is in it once."""
    pipeline = client.pipeline(transaction=False)
    sent: set[Script] = set()
    for command in batch:
        script = command.script
        call = ("EVALSHA", script.sha1) if script in sent else ("EVAL", script.text)
        pipeline.execute_command(*call, *command.arguments)  # pyright: ignore[reportUnknownMemberType] # redis-py's
        sent.add(script)
    return pipeline


def _parse(script: Script, reply: object) -> _Reply:
    """Return the reply if ``script`` can send it; anything else is a failure."""
    match reply:
        case [bytes(status), bytes(value)] if status in script.statuses:
            return status, value
        case Exception():
            return _Failure.of(reply)
        case _:
            return _Failure(exceptions.InvalidResponse.__name__)


def _resolve(commands: Collection[_Command], reply: _Reply) -> None:
    for command in commands:
        command.resolve(reply)


async def _close(client: Redis, tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(Exception):  # the connection may be broken already
        await client.aclose()


def _create_pool(url: SecretStr, timeout: float, max_idle_seconds: float) -> _ConnectionPool:
    """Return a pool that has not connected yet.

    Raises:
        ConfigurationError: redis-py cannot read the URL. The URL is not in the message.
    """
    options = {
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),  # a retry would share the timeout of the first attempt
        "socket_connect_timeout": timeout,
        "socket_timeout": None,  # covered by the timeout of the pipeline
        "health_check_interval": 0,
    }
    with suppress(TypeError, ValueError, LookupError, exceptions.RedisError):
        # protocol 3 connects with one more round trip
        pool = _ConnectionPool.from_url(url.get_secret_value(), protocol=2)  # pyright: ignore[reportUnknownMemberType] # redis-py's
        pool.max_idle_seconds, pool.used_at = max_idle_seconds, {}
        # These override the query of the URL.
        pool.max_connections = _MAX_CONNECTIONS
        pool.connection_kwargs.update(options)
        connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's
        if b"".join(connection.pack_command("PING", "1")) == _PING:
            return pool
    raise ConfigurationError("DESCOPE_REDIS_URL is not a URL that redis-py can read")
