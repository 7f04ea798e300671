"""A proxy that injects faults between processes and Redis: fault scenarios F7 and F16."""

import asyncio
from contextlib import suppress
from enum import Enum
from typing import Self

__all__ = ["GARBAGE", "Lost", "RedisProxy"]

GARBAGE = b"HTTP/1.1 400 Bad Request\r\n\r\n"
"""The reply of an HTTP server on the port."""

_BYTES = 65536


class Lost(Enum):
    """The fate of a connection that the network loses."""

    FORGOTTEN = "its packets are dropped, and neither end learns of it"
    REJECTED = "its next packet is answered with a reset"
    RESET = "it is reset"


class RedisProxy:
    """Forwards bytes to a Redis; ``port`` and ``url`` are its own address.

    Every fault also affects connections that are open. ``restore`` ends all faults, except that a lost
    connection stays lost.

    Attributes:
        latency: seconds by which each reply is delayed.
        reply: if not None, it is sent for every request instead of forwarding the request.
        requests: the number of requests: one for each attempted round trip.
        connections: the number of connections that were accepted.
        lost: set when a reply was lost.
    """

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._not_stalled = asyncio.Event()
        self._not_stalled.set()
        self._cut = False
        self._clients: set[asyncio.StreamWriter] = set()
        self._lost: dict[asyncio.StreamWriter, Lost] = {}
        self._lost_replies: list[Lost | None] = []
        self._reply_lost: dict[asyncio.StreamWriter, Lost | None] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self.latency = 0.0
        self.reply: bytes | None = None
        self.requests = 0
        self.connections = 0
        self.lost = asyncio.Event()
        self.port = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def stall(self) -> None:
        """Accept everything and forward nothing, like a stopped process."""
        self._not_stalled.clear()

    def cut(self) -> None:
        """Reset every connection, also each new one."""
        self._cut = True
        self.lose_connections(Lost.RESET)

    def lose_connections(self, lost: Lost) -> None:
        """Lose every open connection, like a NAT that forgets idle ones. New connections work."""
        for client in self._clients:
            self._lose(client, lost)

    def lose_replies(self, *lost: Lost | None) -> None:
        """Forward the next scripts to Redis, and lose their connections before the replies.

        None for a script that gets its reply.
        """
        self._lost_replies += lost

    def restore(self) -> None:
        """End all faults, and forward what was stalled."""
        self._cut, self.latency, self.reply = False, 0.0, None
        self._lost_replies.clear()
        self._not_stalled.set()

    def _lose(self, client: asyncio.StreamWriter, lost: Lost) -> None:
        self._lost[client] = lost
        if lost is Lost.RESET:
            client.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
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
            self._lost.pop(client, None)
            client.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        replies, server = await asyncio.open_connection("127.0.0.1", self._redis_port)
        back = asyncio.create_task(self._forward_replies(replies, client))
        try:
            while request := await reader.read(_BYTES):
                self.requests += 1
                if client not in self._lost:
                    await self._forward_request(request, client, server)
                    continue
                if self._lost[client] is Lost.REJECTED:
                    break
        finally:
            back.cancel()
            server.transport.abort()

    async def _forward_request(
        self, request: bytes, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        if self.reply is not None:
            client.write(self.reply * max(1, request.count(b"SETINFO")))  # the handshake is two commands
            return
        await self._not_stalled.wait()
        if self._lost_replies and b"\nEVAL" in request:
            self._reply_lost[client] = self._lost_replies.pop(0)
        server.write(request)

    async def _forward_replies(self, replies: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while reply := await replies.read(_BYTES):
                await asyncio.sleep(self.latency)
                if (lost := self._reply_lost.pop(client, None)) is not None:
                    self._lose(client, lost)
                    self.lost.set()
                if client not in self._lost:
                    client.write(reply)
        client.transport.abort()  # the server has closed the connection
