"""A server of bytes on a real socket: it says what it is told to, and keeps what it was sent."""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["Script", "Server", "answer_of", "server_answering"]

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server on loopback that keeps every request as bytes."""

    def __init__(self, answer: bytes | Script) -> None:
        self.url = ""
        self.requests: list[bytes] = []
        self.connections = 0
        self._answer = answer
        self._open: dict[asyncio.StreamWriter, asyncio.Task[object] | None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request of one connection, until the client leaves."""
        self.connections += 1
        self._open[writer] = asyncio.current_task()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._answer_all(reader, writer)
        writer.close()

    async def hang_up(self) -> None:
        """Drop every connection, and wait until its end has been noticed."""
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*(task for task in self._open.values() if task))

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.requests.append(await self._read(reader))
            if not isinstance(self._answer, bytes):
                return await self._answer(reader, writer)
            writer.write(self._answer)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        return head + (await reader.readexactly(int(length[1])) if length else b"")


@contextlib.asynccontextmanager
async def server_answering(
    answer: bytes | Script, *, tls: ssl.SSLContext | None = None, listener: socket.socket | None = None
) -> AsyncGenerator[Server]:
    """A listening server; ``answer`` is sent to every request, or takes over its connection."""
    server = Server(answer)
    listener = listener or socket.create_server(("127.0.0.1", 0))
    async with await asyncio.start_server(server.serve, sock=listener, ssl=tls):
        scheme = "https" if tls else "http"
        server.url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield server
        finally:
            await server.hang_up()


def answer_of(body: bytes, *headers: str) -> bytes:
    """A whole 200 reply."""
    lines = ["HTTP/1.1 200 OK", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
