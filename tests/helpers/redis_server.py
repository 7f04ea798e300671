"""A real Redis server on loopback that a test may break, and a proxy that counts round trips."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self, cast

from redis import ConnectionError as RedisConnectionError
from redis import Redis, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

from .ports import free_port

_ATTEMPTS = 3
"""Another process can take a port that was free."""

_ELAPSE = """
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end
"""


class _Client(Protocol):
    """The part of redis-py's client that is used here; redis-py leaves its types open."""

    def execute_command(self, *parts: bytes | str | int) -> object: ...

    def close(self) -> None: ...


class RedisServer:
    """A Redis server without persistence.

    Args:
        directory: where it writes its files.
        options: further options of its command.
        program: the program, if it is not Redis.
        config: its configuration file, if it is a Sentinel.

    Attributes:
        port: its port.
        bus_port: its port for the other nodes, if it is one of a cluster.
        url: the URL of its database 0.
        version: what it reports.
    """

    def __init__(
        self, directory: Path, *options: str, program: str = "redis-server", config: Path | None = None
    ) -> None:
        self._program = [program, *([] if config is None else [str(config), "--sentinel"])]
        self._options = ["--bind", "127.0.0.1", "--daemonize", "no", "--dir", str(directory), *options]
        if config is None:
            self._options += ["--appendonly", "no", "--save", ""]
        self.version = ""
        for attempt in range(_ATTEMPTS):
            self.port, self.bus_port = free_port(), free_port()
            # Once more, because a server whose role changes closes the connections of its clients.
            self._client = cast("_Client", Redis(port=self.port, retry=Retry(NoBackoff(), 1)))
            with suppress(*([AssertionError] if attempt + 1 < _ATTEMPTS else [])):
                self.start()
                break
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start the server, on the same port as before, and wait until it is ready."""
        ports = ["--port", str(self.port)]
        if "--cluster-enabled" in (*self._options, *options):
            ports += ["--cluster-port", str(self.bus_port)]
        command = [*self._program, *ports, *self._options, *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while self._process.poll() is None:
            with suppress(RedisConnectionError):
                info = self.info("server")
                self.version = str(info.get("valkey_version", info["redis_version"]))
                return
            time.sleep(0.02)
        raise AssertionError("the server ended instead of starting")

    @property
    def servers(self) -> "list[RedisServer]":
        """This server: one alone is a topology too."""
        return [self]

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Kill the server; its data is lost."""
        self._client.close()
        self._process.kill()
        self._process.wait()

    def suspend(self) -> None:
        """Make the server hang. The kernel still accepts connections for it."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server continue, with everything that was sent to it in the meantime."""
        self._process.send_signal(signal.SIGCONT)

    def command(self, *parts: bytes | str | int) -> object:
        """Run a command over a connection of its own."""
        return self._client.execute_command(*parts)

    def info(self, section: str) -> dict[str, object]:
        """Return a section of ``INFO``."""
        return cast("dict[str, object]", self.command("INFO", section))

    def is_primary(self) -> bool:
        """Return whether it is no replica."""
        return self.info("replication")["role"] == "master"

    def keys(self) -> list[str]:
        """Return the names of all keys, sorted."""
        return sorted(key.decode() for key in cast("list[bytes]", self.command("KEYS", "*")))

    def evict_everything(self) -> None:
        """Make the server run out of memory for a moment, under a policy that evicts any key."""
        self.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", "1")
        with suppress(ResponseError):
            self.command("SET", "one", "too much")
        self.command("CONFIG", "SET", "maxmemory", "0")

    def elapse(self, seconds: float) -> None:
        """Reduce the TTL of every key by ``seconds``."""
        self.command("EVAL", _ELAPSE, 0, int(seconds * 1000))

    def flush(self) -> None:
        """Delete all keys."""
        self.command("FLUSHALL")

    def redirect(self, ports: Mapping[int, int]) -> None:
        """Make ``url`` lead to another port."""
        self.url = f"redis://127.0.0.1:{ports[self.port]}/0"


class CountingProxy:
    """Forwards bytes between clients and a server and counts round trips. ``sent`` is what clients sent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._trips = 0
        self._counted = asyncio.Condition()
        self.connections = 0
        self.sent = b""
        self.url = ""
        self._tasks = set[asyncio.Task[None]]()  # an event loop does not keep them

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def round_trips(self) -> int:
        """How many round trips have begun so far."""
        return self._trips

    async def until(self, trips: int) -> None:
        """Wait until that many round trips have begun in all."""
        async with self._counted:
            await self._counted.wait_for(lambda: self._trips >= trips)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._tasks.add(asyncio.create_task(self._forward(upstream_reader, writer)))
        try:
            while request := await self._read(reader):
                self.sent += request
                upstream_writer.write(request)
                async with self._counted:
                    self._trips += 1
                    self._counted.notify_all()
        finally:
            upstream_writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while reply := await self._read(reader):
                writer.write(reply)
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(65536)
        except ConnectionError:
            return b""
