"""The topology of a Redis: one server, Sentinels or a cluster, by the scheme of its URL.

redis-py follows failovers and redirections. No other module but ``client`` imports it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
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

from ...errors import ConfigurationError

__all__ = ["Client", "Topology", "close_clients", "create_clients", "topology_of"]

_PORT, _SENTINEL_PORT = 6379, 26379

_CLUSTER_RETRIES = 3
"""Further attempts in a cluster: one command that fails closes the connections of others."""

_NOT_OURS = frozenset({"retry_on_timeout", "retry_on_error", "max_connections", "timeout"})
"""Options of a URL that would change what ``create_clients`` does."""

Topology = Literal["standalone", "sentinel", "cluster"]

Client = Redis | RedisCluster

_Options = dict[str, Any]


def topology_of(url: SecretStr) -> Topology:
    """Return the topology that the scheme of a URL names, whether or not the rest of it can be read."""
    scheme = url.get_secret_value().partition(":")[0]
    match scheme.partition("+")[2]:
        case "sentinel":
            return "sentinel"
        case "cluster":
            return "cluster"
        case _:
            return "standalone"


def create_clients(url: SecretStr, timeout: float, *, read_timeout: float | None) -> Sequence[Client]:
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


async def close_clients(clients: Sequence[Client]) -> None:
    """Close every connection of the clients, even after a failure."""
    for client in clients:
        with suppress(Exception):  # the connection may be broken already
            await client.aclose()
        if isinstance(client, RedisCluster):  # after a failure, that closes nothing
            nodes = (*client.get_nodes(), *client.startup_nodes)
            await asyncio.gather(*(node.disconnect() for node in nodes), return_exceptions=True)


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
    """Return a client of all nodes. At each new connection, those in the URL name the others."""
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
