"""The wire between the app and Descope, which can be cut."""

import asyncio
import socket
from contextlib import suppress
from typing import Self

__all__ = ["Relay"]


class Relay:
    """Passes bytes from a port of its own to another one. Cut, it refuses connections, on the same port.

    ``connections`` counts those that came through.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        # Never listens: it keeps the port ours while nobody does.
        self._place = _bound(0)
        self.port: int = self._place.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()
        self._place.close()

    async def cut(self) -> None:
        """Refuse connections from now on, and break those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._open):
            writer.transport.abort()

    async def mend(self) -> None:
        """Take connections again."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=_bound(self.port), backlog=1024)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as both_ways:
            both_ways.create_task(self._pass_on(reader, there_writer))
            both_ways.create_task(self._pass_on(there_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
            writer.close()
        except ConnectionError:  # a reset on one side is one on the other
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            with suppress(ConnectionError):
                await writer.wait_closed()


def _bound(port: int) -> socket.socket:
    # With its protocol named, asyncio switches Nagle's algorithm off.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
