"""The Redis client: one server, Sentinels or a cluster, behind a circuit breaker for each server.

No other module imports redis-py, which follows failovers and redirections.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import random
from typing import Any, Literal, cast
from urllib.parse import SplitResult, urlsplit

from pydantic import SecretStr
from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import ConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from ..._concurrency import LoopFinalizer
from ...errors import ConfigurationError
from ...events import EventBus, StoreDegraded, StoreRecovered
from .scripts import MEMORY_INFO, PROBE, Script, ScriptReply

__all__ = ["ResilientRedis", "Topology", "topology_of"]

_MAX_CONCURRENT = 16
"""Commands that run at once. Further commands wait, which costs no connection."""

_PORT, _SENTINEL_PORT = 6379, 26379

_CLUSTER_RETRIES = 3
"""Further attempts in a cluster: one command that fails closes the connections of others."""

_MIGRATION_SECONDS = 0.05
"""Seconds between two attempts at a slot that is being moved."""

_CHECKED_KEYS = 256
"""Keys for ``check``, enough to reach each of some dozen nodes."""

_ALL = ""
"""The name of the only server, or of a cluster of which no node can be reached."""

_NOT_OURS = frozenset({"retry_on_timeout", "retry_on_error", "max_connections", "timeout"})
"""Options of a URL that would change what this module does."""

Topology = Literal["standalone", "sentinel", "cluster"]

_Client = Redis | RedisCluster
_Options = dict[str, Any]


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
    is idempotent, and its keys are in one slot.

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
        self._create_clients = partial(_create_clients, url, timeout, read_timeout=timeout)
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
        if not connections.is_closed:  # pragma: no branch - else a race; closing is no failure of Redis
            self._open_breaker(connections, server, keys[0], reply)
        return None

    @asynccontextmanager
    async def blocking(self) -> AsyncGenerator[Redis | RedisCluster]:
        """Yield a client with connections of its own, for commands that wait longer than a timeout."""
        clients = self._create_clients(read_timeout=None)
        try:
            yield clients[0]
        finally:
            await _close(clients)

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
        if not connections.outages:  # pragma: no branch - the nightly F19 stops several servers
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
        if not connections.outages:  # pragma: no branch - as above
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

    def __init__(self, clients: Sequence[_Client], timeout: float) -> None:
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
        """Run a script. Its text is always sent, so that a server without it costs no round trip."""
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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for running in self._timeouts:
            running.reschedule(self.loop.time())
        for _ in range(_MAX_CONCURRENT):  # until every command has ended
            await self.turns.acquire()
        await _close(self._clients)


async def _close(clients: Sequence[_Client]) -> None:
    for client in clients:
        with suppress(Exception):  # the connection may be broken already
            await client.aclose()
        if isinstance(client, RedisCluster):  # after a failure, that closes nothing
            nodes = (*client.get_nodes(), *client.startup_nodes)
            await asyncio.gather(*(node.disconnect() for node in nodes), return_exceptions=True)


def topology_of(url: SecretStr) -> Topology:
    """Return the topology that the scheme of a URL names."""
    match urlsplit(url.get_secret_value()).scheme.partition("+")[2]:
        case "sentinel":
            return "sentinel"
        case "cluster":
            return "cluster"
        case _:
            return "standalone"


def _create_clients(url: SecretStr, timeout: float, *, read_timeout: float | None) -> Sequence[_Client]:
    """Return the client, and after it those of the Sentinels. None of them has connected yet.

    Raises:
        ConfigurationError: redis-py cannot read the URL. The URL is not in the message.
    """
    # These override the query of the URL.
    options = {
        "decode_responses": False,
        "encoding": "utf-8",
        "health_check_interval": 0,
        "protocol": 2,  # protocol 3 connects with one more round trip
        "retry": Retry(NoBackoff(), 1),  # over a new connection
        "socket_connect_timeout": timeout,
        "socket_timeout": read_timeout,
    }
    with suppress(
        TypeError, ValueError, LookupError, exceptions.RedisError, exceptions.RedisClusterException
    ):
        parts = urlsplit(url.get_secret_value())
        match topology_of(url):
            case "sentinel":
                return _sentinel_clients(parts, options)
            case "cluster":
                return [_cluster_client(parts, options)]
            case _:
                return [_standalone_client(parts, options)]
    raise ConfigurationError("DESCOPE_REDIS_URL is not a URL that redis-py can read")


def _standalone_client(url: SplitResult, options: _Options) -> Redis:
    pool = ConnectionPool(**{**_parse(url), **options})
    cast("Any", pool).make_connection()  # raises TypeError for an unknown option
    return Redis.from_pool(pool)


def _sentinel_clients(url: SplitResult, options: _Options) -> Sequence[Redis]:
    """Return a client of the primary, which the first Sentinel that replies names to each new connection."""
    service, _, db = url.path.strip("/").partition("/")
    if not service:
        raise ValueError
    addresses, query = _addresses(url._replace(path=f"/{db}"), _SENTINEL_PORT)
    login = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    tls = {name: value for name, value in query.items() if name.startswith("ssl")}
    timeout = options["socket_connect_timeout"] / len(addresses)  # for all of them, the time of one attempt
    own = {"socket_connect_timeout": timeout, "socket_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
    sentinel = cast("Any", Sentinel)(
        addresses, sentinel_kwargs={**options, **login, **tls, **own}, **{**query, **options}
    )
    client: Redis = sentinel.master_for(service)
    cast("Any", client.connection_pool).make_connection()  # raises TypeError for an unknown option
    return [client, *sentinel.sentinels]


def _cluster_client(url: SplitResult, options: _Options) -> RedisCluster:
    """Return a client of all nodes. Those in the URL name the others, whenever it connects anew."""
    addresses, query = _addresses(url, _PORT)
    nodes = [ClusterNode(host, port) for host, port in addresses]
    own: _Options = {
        "dynamic_startup_nodes": False,
        "reinitialize_steps": 0,  # a redirection does not close the connections of other commands
        "require_full_coverage": False,  # the loss of one node leaves the slots of the others
        "retry": Retry(NoBackoff(), _CLUSTER_RETRIES),
    }
    return RedisCluster(startup_nodes=nodes, **{**query, **options, **own})


def _addresses(url: SplitResult, default_port: int) -> tuple[list[tuple[str, int]], _Options]:
    """Return the hosts and ports of a URL with several hosts, and its other options."""
    login, at, hosts = url.netloc.rpartition("@")
    scheme = url.scheme.partition("+")[0]
    parsed = [_parse(url._replace(scheme=scheme, netloc=f"{login}{at}{host}")) for host in hosts.split(",")]
    addresses = [(query.pop("host"), query.pop("port", default_port)) for query in parsed]
    if parsed[0].pop("connection_class", None) is SSLConnection:
        parsed[0]["ssl"] = True
    return addresses, parsed[0]


def _parse(url: SplitResult) -> _Options:
    """Return redis-py's options for a URL with one host."""
    return {name: value for name, value in parse_url(url.geturl()).items() if name not in _NOT_OURS}
