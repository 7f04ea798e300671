"""The Redis client: connections per event loop, pipelining, a timeout and a circuit breaker.

No other module imports redis-py.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from pydantic import SecretStr
from redis.asyncio import from_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AskError, ClusterCrossSlotError, ClusterDownError, InvalidResponse, RedisError

from ..._concurrency import CircuitBreaker, LoopFinalizer
from ...errors import ConfigurationError
from ...events import EventBus, StoreDegraded, StoreRecovered
from .scripts import PROBE, Script, ScriptReply

__all__ = ["ResilientRedis", "lag_tolerant_timeout"]

_MAX_CONNECTIONS = 16

_BATCH_BYTES = 14_000
"""Size of one pipeline: what TCP sends over a new connection before it waits for an acknowledgement."""

_TIMEOUT_STEPS = 50
"""More iterations of the event loop than a connection, its handshake and a reply take: about 15."""

_PING = b"*2\r\n$4\r\nPING\r\n$1\r\n1\r\n"
"""A command in the encoding that Redis reads. A URL can ask for an encoding that Redis does not read."""

_CLUSTER_ERRORS = (AskError, ClusterCrossSlotError, ClusterDownError)
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

    Each event loop has its own connections, opened by its first command.
    """

    def __init__(
        self, url: SecretStr, *, probe_key: str, timeout: float, breaker: CircuitBreaker, events: EventBus
    ) -> None:
        """Validate the URL. Opens no connection.

        Raises:
            ConfigurationError: redis-py cannot read the URL (RD-06).
        """
        _create_client(url, timeout)  # so that a bad URL fails at start-up rather than in a request
        self._url = url
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

    async def is_cluster(self) -> bool:
        """Return whether the URL leads to a Redis Cluster, which rejects a script over keys of two slots."""
        reply = await self._execute(PROBE, self._keys_of_two_slots, ())
        return isinstance(reply, _Failure) and reply.is_cluster

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
            async with lag_tolerant_timeout(self._timeout):
                replies = await _pipeline(connections.client, batch).execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - redis-py's parser raises any exception for a malformed reply
            failure = _Failure.of(error)
            _resolve(batch, failure)
            connections.resolve_all(failure)  # the others would only wait for the same failure
            return
        for command, reply in zip(batch, replies, strict=True):
            command.resolve(_parse(command.script, reply))

    async def _connections(self) -> "_Connections":
        connections = self._current
        if connections is None or connections.loop is not asyncio.get_running_loop():
            connections = self._current = _Connections(_create_client(self._url, self._timeout))
            await connections.finalizer.register()
        return connections


class _Connections:
    """The connections of one event loop, the commands that wait for one, and the tasks."""

    def __init__(self, client: "_Client") -> None:
        self.loop = asyncio.get_running_loop()
        self.client = client
        self.busy = 0
        self.urgent, self.normal = deque[_Command](), deque[_Command]()
        self._tasks: set[asyncio.Task[None]] = set()
        self.finalizer = LoopFinalizer(partial(_close, client, self._tasks))

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


@asynccontextmanager
async def lag_tolerant_timeout(seconds: float) -> AsyncGenerator[None]:
    """Raise ``TimeoutError`` after ``seconds``, not counting time during which the event loop was blocked.

    A busy process reads replies late. With ``asyncio.timeout``, its own load would look like an outage of
    Redis: a burst of requests with one expired session would make each worker of a fleet refresh for itself,
    and with rotation that ends the session (RF-03). Here the time passes in fifty steps, each with a timer
    of its own, so a reply that has arrived gets fifty iterations of a late loop to be read.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def start_step(steps_left: int) -> None:
        """Set the timer of one step."""
        timers[:] = [loop.call_later(seconds / _TIMEOUT_STEPS, end_step, steps_left - 1)]

    def end_step(steps_left: int) -> None:
        """Start the next step, or time out after the last."""
        if steps_left:
            start_step(steps_left)
        else:
            timeout.reschedule(loop.time())

    async with asyncio.timeout(None) as timeout:
        start_step(_TIMEOUT_STEPS)
        try:
            yield
        finally:
            timers[0].cancel()


class _Pipeline(Protocol):
    """The part of redis-py's pipeline that is used here; redis-py leaves its types open."""

    def execute_command(self, *parts: bytes | str | int) -> object: ...

    async def execute(self, *, raise_on_error: bool) -> list[object]: ...


class _Connection(Protocol):
    """The part of redis-py's connection that is used here."""

    def pack_command(self, *parts: str) -> Iterable[bytes]: ...


class _Client(Protocol):
    """The part of redis-py's client that is used here."""

    def pipeline(self, *, transaction: bool) -> _Pipeline: ...

    async def aclose(self) -> None: ...


def _pipeline(client: _Client, batch: Sequence[_Command]) -> _Pipeline:
    """Return a pipeline with the commands of ``batch``; the text of a script is in it once."""
    pipeline = client.pipeline(transaction=False)
    sent: set[Script] = set()
    for command in batch:
        script = command.script
        call = ("EVALSHA", script.sha1) if script in sent else ("EVAL", script.text)
        pipeline.execute_command(*call, *command.arguments)
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
            return _Failure(InvalidResponse.__name__)


def _resolve(commands: Collection[_Command], reply: _Reply) -> None:
    for command in commands:
        command.resolve(reply)


async def _close(client: _Client, tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with suppress(Exception):  # the connection may be broken already
        await client.aclose()


def _create_client(url: SecretStr, timeout: float) -> _Client:
    """Return a client that has not connected yet.

    Raises:
        ConfigurationError: redis-py cannot read the URL. The URL is not in the message.
    """
    options = {
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),  # a retry would take a second timeout
        "socket_connect_timeout": timeout,
        "socket_timeout": None,  # covered by the timeout of the pipeline
    }
    with suppress(TypeError, ValueError, LookupError, RedisError):
        client = from_url(url.get_secret_value(), protocol=2)  # protocol 3 connects with one more round trip
        # These override the query of the URL.
        client.connection_pool.max_connections = _MAX_CONNECTIONS
        client.connection_pool.connection_kwargs.update(options)
        connection: _Connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's
        if b"".join(connection.pack_command("PING", "1")) == _PING:
            return client
    raise ConfigurationError("DESCOPE_REDIS_URL is not a URL that redis-py can read")
