"""A bad line to a good Redis: late, silent, cut, or answering for it (fault scenario F7)."""

import asyncio
from contextlib import suppress
from typing import Self

__all__ = ["GARBAGE", "READ_ONLY", "RedisProxy"]

READ_ONLY = b"-READONLY You can't write against a read only replica.\r\n"
"""What a master that became a replica answers to every write."""

GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""What a port answers that somebody else listens on by now."""

_BYTES = 65536


class RedisProxy:
    """Stands between processes and the Redis on ``port``; ``url`` is where it is reached.

    Every fault hits the connections that are open too. ``heal`` ends all of them.

    Attributes:
        latency: seconds that each answer is late.
        answer: what everything is answered with instead of being passed on, if not None.
        requests: how many chunks of commands have arrived: one for each round trip that was tried.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = False
        self._clients: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.latency = 0.0
        self.answer: bytes | None = None
        self.requests = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def stall(self) -> None:
        """Take everything, pass nothing on, say nothing: what a stopped process looks like."""
        self._flowing.clear()

    def cut(self) -> None:
        """Reset every connection, and each new one as soon as it is there."""
        self._cut = True
        for client in self._clients:
            client.transport.abort()

    def heal(self) -> None:
        """Be a good line again; what was held back is passed on now."""
        self._cut, self.latency, self.answer = False, 0.0, None
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._clients.add(client)
        try:
            if not self._cut:
                with suppress(OSError):
                    await self._connect(reader, client)
        finally:
            self._clients.discard(client)
            client.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        answers, server = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._carry_back(answers, client))
        try:
            while request := await reader.read(_BYTES):
                self.requests += 1
                await self._carry_on(request, client, server)
        finally:
            back.cancel()
            server.transport.abort()

    async def _carry_on(
        self, request: bytes, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        if self.answer is not None:
            # A client introduces itself with two commands at once, and may ask several questions.
            client.write(self.answer * max(1, request.count(b"SETINFO"), request.count(b"\nEVAL")))
            return
        await self._flowing.wait()
        server.write(request)

    async def _carry_back(self, answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while answer := await answers.read(_BYTES):
                await asyncio.sleep(self.latency)
                client.write(answer)
        client.transport.abort()  # the server is gone, and so is this connection
