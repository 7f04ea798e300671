"""A real Redis server on loopback that a test may break, and a proxy that counts round trips."""

import asyncio
import re
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self, cast

from redis import Redis, ResponseError

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
    """A Redis server without persistence. ``version`` is what it reports."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.version = ""
        self.start()

    def start(self, *options: str) -> None:
        """Start the server, on the same port as before, and wait until it is ready."""
        arguments = f"--port {self.port} --bind 127.0.0.1 --appendonly no --daemonize no --save".split()
        command = ["redis-server", *arguments, "", "--dir", str(self._directory), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
        self._client = cast("_Client", Redis(port=self.port))
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.version = (re.findall(r"version=([\d.]+)", line) or [self.version])[0]
            if "Ready to accept connections" in line:
                return
        raise AssertionError("redis-server ended instead of starting")

    def stop(self) -> None:
        """Kill the server; its data is lost."""
        self._client.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def suspend(self) -> None:
        """Make the server hang. The kernel still accepts connections for it."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server continue, with everything that was sent to it in the meantime."""
        self._process.send_signal(signal.SIGCONT)

    def command(self, *parts: bytes | str | int) -> object:
        """Run a command over a connection of its own."""
        return self._client.execute_command(*parts)

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


class CountingProxy:
    """Forwards bytes between clients and a server and counts round trips. ``sent`` is what clients sent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._trips = 0
        self._counted = asyncio.Condition()
        self.connections = 0
        self.sent = b""
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()

    @property
    def round_trips(self) -> int:
        """How many round trips have begun so far."""
        return self._trips

    async def until(self, trips: int) -> None:
        """Wait until that many round trips have begun in all."""
        async with self._counted:
            await self._counted.wait_for(lambda: self._trips >= trips)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        replies = asyncio.create_task(self._forward(upstream_reader, writer))
        while request := await self._read(reader):
            self.sent += request
            upstream_writer.write(request)
            async with self._counted:
                self._trips += 1
                self._counted.notify_all()
        upstream_writer.close()
        await replies

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while reply := await self._read(reader):
            writer.write(reply)
        writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(65536)
        except ConnectionError:
            return b""
