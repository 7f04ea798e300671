"""The Redis client: commands behind a circuit breaker for each server."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import random
from typing import Any, cast

from pydantic import SecretStr
from redis import exceptions
from redis.asyncio import RedisCluster

from ..._concurrency import LoopFinalizer
from ...events import EventBus, StoreDegraded, StoreRecovered
from .scripts import MEMORY_INFO, PROBE, Script, ScriptReply
from .topology import Client, close_clients, create_clients

__all__ = ["ResilientRedis"]

_MAX_CONCURRENT = 16
"""Commands that run at once. Further commands wait, which costs no connection."""

_MIGRATION_SECONDS = 0.05
"""Seconds between two attempts at a slot that is being moved."""

_LATE_SECONDS = 0.1
"""Seconds by which a timeout is late if the process was blocked meanwhile."""

_CANCEL_SECONDS = 0.1
"""Seconds until a task is cancelled again that has not ended."""

_CHECKED_KEYS = 256
"""Keys for ``check``, enough to reach each of some dozen nodes."""

_ALL = ""
"""The name of the only server, or of a cluster of which no node can be reached."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a command has no reply. ``reason`` is an error class: the text of an error may hold a secret."""

    reason: str


_Reply = ScriptReply | _Failure


class ResilientRedis:
    """A Redis client behind a circuit breaker: it returns None while Redis is unavailable, and never raises.

    The first failure opens the breaker and emits ``StoreDegraded``. Then nothing is sent until a probe, which
    runs in the background, succeeds; that emits ``StoreRecovered`` (RD-02). Each server of a cluster has a
    breaker of its own, so that the others stay in use. The events mark the first breaker that opens and the
    last one that closes. ``on_recovery`` is called when one closes, and for the first command.

    Sixteen commands run at once; others wait. ``timeout`` (seconds) is the limit for one attempt. Time in the
    queue does not count: when many commands wait, this process is the slow one.

    A dead connection is no failure of Redis. A command whose connection fails is sent once more over a new
    one (RD-07), and a client that reconnects finds the server that a failover has promoted. So every script
    is idempotent, and its keys are in one slot. A timeout that was due while this process was blocked is no
    failure either: the reply may have arrived in time (RD-09).

    Each event loop has its own connections and breakers, which begin with its first command.
    """

    def __init__(
        self,
        url: SecretStr,
        *,
        timeout: float,
        events: EventBus,
        on_recovery: Callable[[], Coroutine[None, None, None]],
        probe_delay: float,
    ) -> None:
        """Validate the URL. Opens no connection.

        Raises:
            ConfigurationError: redis-py cannot read the URL (RD-06).
        """
        self._create_clients = partial(create_clients, url, timeout, read_timeout=timeout)
        self._create_clients()  # so that a bad URL fails at start-up rather than in a request
        self._timeout = timeout
        self._events = events
        self._on_recovery = on_recovery
        self._probe_delay = probe_delay
        self._current: _Connections | None = None
        self._finalizer: LoopFinalizer | None = None

    async def eval(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> ScriptReply | None:
        """Run ``script`` and return its reply, or None if Redis is unavailable.

        One round trip. While the breaker is open nothing is sent.
        """
        connections = await self._connections()
        async with connections.turns:
            server = connections.server_of(keys[0])
            if connections.is_closed or not connections.outages.keys().isdisjoint({server, _ALL}):
                return None
            reply = await connections.execute(script, keys, arguments)
        if not isinstance(reply, _Failure):
            return reply
        # Closing is no failure of Redis.
        if not connections.is_closed:  # pragma: no branch - Python 3.11 does not trace what follows a timeout
            self._open_breaker(connections, server, keys[0], reply)
        return None

    @asynccontextmanager
    async def blocking(self) -> AsyncGenerator[Client]:
        """Yield a client with connections of its own, for commands that wait longer than a timeout."""
        clients = self._create_clients(read_timeout=None)
        try:
            yield clients[0]
        finally:
            await close_clients(clients)

    async def check(self, prefix: str) -> dict[str, str | None]:
        """Return the failure of each server of a cluster, or of the one server, by its name.

        A failure is the name of the error that a script with all commands raises. Costs one round trip for
        each server, and one more for a cluster. The name of a cluster as a whole is empty.
        """
        connections, failures = await self._connections(), dict[str, str | None]()
        for number in range(_CHECKED_KEYS):
            server = connections.server_of(key := f"{prefix}:{{{number}}}")
            if server not in failures:
                failures[server] = await self.write_failure(key)
        return failures

    async def write_failure(self, *keys: str) -> str | None:
        """Return the name of the error that a script with all commands raises, or None. One round trip."""
        reply = await (await self._connections()).execute(PROBE, keys)
        return reply.reason if isinstance(reply, _Failure) else None

    async def memory_info(self, key: str) -> str:
        """Return the section ``memory`` of Redis's ``INFO``; empty if the user may not read it."""
        reply = await (await self._connections()).execute(MEMORY_INFO, (key,))
        return reply[1].decode(errors="replace") if isinstance(reply, tuple) else ""

    async def probe(self) -> None:
        """Probe the servers that have failed, without waiting until that is due."""
        connections = await self._connections()
        await asyncio.gather(*(self._probe(connections, *each) for each in connections.outages.items()))

    async def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` as a task, which is cancelled when the connections are closed."""
        return (await self._connections()).spawn(work)

    async def aclose(self) -> None:
        """Close the connections of the running event loop. The next command opens new ones."""
        connections, self._current = self._current, None
        finalizer, self._finalizer = self._finalizer, None
        if connections and finalizer and connections.loop is asyncio.get_running_loop():
            await finalizer.aclose()

    def _open_breaker(self, connections: "_Connections", server: str, key: str, failure: _Failure) -> None:
        if server in connections.outages:
            return
        if not connections.outages:
            self._events.emit(StoreDegraded(failure.reason))
        connections.outages[server] = key
        connections.spawn(self._probe_until_recovered(connections, server, key))

    async def _probe_until_recovered(self, connections: "_Connections", server: str, key: str) -> None:
        """Probe often: a lease that was left in Redis expires within five seconds.

        Jitter takes off up to half of a delay, so that many processes do not probe in step.
        """
        while server in connections.outages:
            await asyncio.sleep(self._probe_delay * (1 + random()) / 2)  # noqa: S311 - jitter
            await self._probe(connections, server, key)

    async def _probe(self, connections: "_Connections", server: str, key: str) -> None:
        """Close the breaker of ``server`` if every command that the scripts use works.

        The probe is in the slot of ``key``, which failed: after a failover, another server has it.
        """
        reply = await connections.execute(PROBE, (f"{key}:probe",))
        if isinstance(reply, _Failure) or connections.outages.pop(server, None) is None:
            return
        if not connections.outages:
            self._events.emit(StoreRecovered())
        await self._on_recovery()

    async def _connections(self) -> "_Connections":
        connections = self._current
        if connections is None or connections.loop is not asyncio.get_running_loop():
            connections = self._current = _Connections(self._create_clients(), 2 * self._timeout)
            # Not an attribute of the connections: in a cycle, the collector would drop both without closing.
            self._finalizer = LoopFinalizer(connections.close)
            await self._finalizer.register()
            connections.spawn(self._on_recovery())  # an earlier loop may have ended during an outage
        return connections


class _Connections:
    """The client of one event loop, its tasks and its open breakers.

    ``timeout`` (seconds) is the limit for both attempts of a command.

    Attributes:
        turns: limits how many commands run at once.
        outages: for each server that has failed, the key of the command that failed.
        is_closed: no command may be sent any more: the client would open a new connection for it.
    """

    def __init__(self, clients: Sequence[Client], timeout: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.turns = asyncio.Semaphore(_MAX_CONCURRENT)
        self.outages: dict[str, str] = {}
        self.is_closed = False
        self._clients = clients
        self._client = clients[0]
        self._timeout = timeout
        self._tasks: set[asyncio.Task[None]] = set()
        self._timeouts: set[asyncio.Timeout] = set()

    async def execute(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int] = ()
    ) -> _Reply:
        """Run a script, and once more if the process was blocked when the timeout was due.

        Its text is always sent, so that a server without it costs no round trip.
        """
        due = self.loop.time() + self._timeout
        reply = await self._execute_once(script, keys, arguments)
        is_late = isinstance(reply, _Failure) and self.loop.time() > due + _LATE_SECONDS
        return await self._execute_once(script, keys, arguments) if is_late and not self.is_closed else reply

    async def _execute_once(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> _Reply:
        running = asyncio.timeout(self._timeout)
        try:
            async with running:
                self._timeouts.add(running)
                reply = await self._send("EVAL", script.text, len(keys), *keys, *arguments)
        except Exception as error:  # noqa: BLE001 - redis-py's parser raises any exception for a malformed reply
            return _Failure(type(error).__name__)
        finally:
            self._timeouts.discard(running)
        match reply:
            case [bytes(status), bytes(value)] if status in script.statuses:
                return status, value
            case _:
                return _Failure(exceptions.InvalidResponse.__name__)

    async def _send(self, *command: bytes | str | int) -> object:
        client = cast("Any", self._client)
        # The nodes of a cluster must be known before a burst of commands is sent to any of them.
        await client.initialize()
        while True:
            try:
                return await client.execute_command(*command)
            except exceptions.ClusterDownError:
                raise
            except exceptions.ClusterError:  # pragma: no cover - a slot is moved, at the right moment
                await asyncio.sleep(_MIGRATION_SECONDS)

    def server_of(self, key: str) -> str:
        """Return the name of the cluster node that has ``key``, or the one name of everything else."""
        if isinstance(self._client, RedisCluster):
            with suppress(exceptions.RedisClusterException):  # no node has been reached yet, or none has it
                node = self._client.get_node_from_key(key)
                return _ALL if node is None else node.name
        return _ALL

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` until it ends or the connections are closed."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel the tasks, end the commands, and close every connection."""
        self.is_closed = True
        # Until they have ended: on Python 3.11 the ``asyncio.wait_for`` of redis-py drops a cancellation that
        # comes as its write ends.
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=_CANCEL_SECONDS)
        for running in self._timeouts:
            running.reschedule(self.loop.time())
        for _ in range(_MAX_CONCURRENT):  # until every command has ended
            await self.turns.acquire()
        await close_clients(self._clients)
