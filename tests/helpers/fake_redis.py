"""A fake Redis that replies when a test lets it, and the replies of a cluster node."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Self

OK = b"*2\r\n$2\r\nok\r\n$0\r\n\r\n"

_EVAL = re.compile(rb"\$\d\r\nEVAL(?:SHA)?\r\n\$\d+\r\n(.*?)\r\n\$\d+\r\n(\d+)\r\n", re.DOTALL)
"""The text or the SHA-1 of a script, and the number of its keys."""


def always_ok(_text: bytes, _keys: int) -> bytes:
    """Reply ``ok`` to every script."""
    return OK


class GatedRedis:
    """Replies to scripts while ``gate`` is open, one packet at a time, and always to the handshake.

    ``reply`` makes a reply from a script's text and the number of its keys. ``packets`` lists the scripts of
    each packet that has arrived.
    """

    def __init__(self, reply: Callable[[bytes, int], bytes] = always_ok) -> None:
        self.reply = reply
        self.packets: list[list[bytes]] = []
        self.gate = asyncio.Event()
        self._arrived = asyncio.Condition()
        self._clients: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    async def arrived(self, packets: int) -> None:
        """Wait until that many packets have arrived in all."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.packets) >= packets)

    def cut(self) -> None:
        """Reset every connection, also each new one."""
        self._is_cut = True
        for client in self._clients:
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        if self._is_cut:
            writer.transport.abort()
        with suppress(ConnectionError):
            while packet := await reader.read(1 << 20):
                writer.write(b"+OK\r\n" * packet.count(b"SETINFO"))
                if calls := _EVAL.findall(packet):
                    await self._take([text for text, _ in calls])
                    writer.writelines(self.reply(text, int(keys)) for text, keys in calls)
        self._clients.discard(writer)
        writer.close()

    async def _take(self, texts: list[bytes]) -> None:
        async with self._arrived:
            self.packets.append(texts)
            self._arrived.notify_all()
        await self.gate.wait()


def cluster_node(_text: bytes, keys: int) -> bytes:
    """Reply like a cluster node that has the slot of a single key, and not the slot of a token's two keys."""
    return OK if keys == 1 else b"-MOVED 1234 127.0.0.1:7001\r\n"
