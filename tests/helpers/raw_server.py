"""A server on a real socket that sends exact bytes and records the requests."""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["RawServer", "Script", "ok_response", "serve_raw"]

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """A server on loopback that records every request as bytes."""

    def __init__(self, response: bytes | Script) -> None:
        self.url = ""
        self.requests: list[bytes] = []
        self.connections = 0
        self._response = response
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[object] | None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Respond to every request of one connection until the client disconnects."""
        self.connections += 1
        self._connections[writer] = asyncio.current_task()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._respond_to_all(reader, writer)
        writer.close()

    async def abort_connections(self) -> None:
        """Abort every connection and wait for its handler."""
        for writer in self._connections:
            writer.transport.abort()
        await asyncio.gather(*(task for task in self._connections.values() if task))

    async def _respond_to_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.requests.append(await self._read_request(reader))
            if not isinstance(self._response, bytes):
                return await self._response(reader, writer)
            writer.write(self._response)

    async def _read_request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        return head + (await reader.readexactly(int(length[1])) if length else b"")


@contextlib.asynccontextmanager
async def serve_raw(
    response: bytes | Script, *, tls: ssl.SSLContext | None = None, listener: socket.socket | None = None
) -> AsyncGenerator[RawServer]:
    """Yield a listening server.

    ``response`` is sent to every request, or is a function that takes over the connection.
    """
    server = RawServer(response)
    listener = listener or socket.create_server(("127.0.0.1", 0))
    async with await asyncio.start_server(server.serve, sock=listener, ssl=tls):
        scheme = "https" if tls else "http"
        server.url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield server
        finally:
            await server.abort_connections()


def ok_response(body: bytes, *headers: str) -> bytes:
    """Return a complete 200 response."""
    lines = ["HTTP/1.1 200 OK", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
