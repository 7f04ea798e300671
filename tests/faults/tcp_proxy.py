"""A TCP proxy between the app and the emulator that can be cut."""

import asyncio
import socket
from contextlib import suppress
from typing import Self

__all__ = ["TcpProxy"]


class TcpProxy:
    """Forwards bytes from its own port to another one. While cut, it refuses connections on its port.

    ``connections`` counts the connections it has accepted, ``forwarded`` the bytes of both directions.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[object] | None] = set()
        self.connections = self.forwarded = 0
        # Never listens: it reserves the port while the proxy is cut.
        self._reserved = _bound(0)
        self.port: int = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.restore()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        await asyncio.gather(*filter(None, self._serving), return_exceptions=True)
        self._reserved.close()

    async def cut(self) -> None:
        """Refuse new connections and reset the existing ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()

    async def restore(self) -> None:
        """Accept connections again."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=_bound(self.port), backlog=1024)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._forward(reader, upstream_writer))
                directions.create_task(self._forward(upstream_reader, writer))
        finally:
            self._serving.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while chunk := await reader.read(65_536):
                self.forwarded += len(chunk)
                writer.write(chunk)
                await writer.drain()
            writer.close()
        except ConnectionError:  # a reset on one side is forwarded to the other
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            with suppress(ConnectionError):
                await writer.wait_closed()


def _bound(port: int) -> socket.socket:
    # asyncio disables Nagle's algorithm only if the protocol is given.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
