"""A Redis that answers when a test lets it, and one that is a node of a cluster."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Self

OK = b"*2\r\n$2\r\nok\r\n$0\r\n\r\n"

_QUESTION = re.compile(rb"\$\d\r\nEVAL(?:SHA)?\r\n\$\d+\r\n(.*?)\r\n\$\d+\r\n(\d+)\r\n", re.DOTALL)
"""The text or the name of a script, and the number of its keys."""


def always_done(_text: bytes, _keys: int) -> bytes:
    """The answer of a Redis that does whatever it is told."""
    return OK


class GatedRedis:
    """Answers questions one packet at a time while ``gate`` is open, and introductions always.

    ``answer`` makes an answer of a script's text and the number of its keys. ``packets`` are the scripts
    that came, those of one packet together.
    """

    def __init__(self, answer: Callable[[bytes, int], bytes] = always_done) -> None:
        self.answer = answer
        self.packets: list[list[bytes]] = []
        self.gate = asyncio.Event()
        self._arrived = asyncio.Condition()
        self._clients: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    async def arrived(self, packets: int) -> None:
        """Wait for that many packets of questions in all."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.packets) >= packets)

    def cut(self) -> None:
        """Reset every connection."""
        for client in self._clients:
            client.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with suppress(ConnectionError):
            while packet := await reader.read(1 << 20):
                writer.write(b"+OK\r\n" * packet.count(b"SETINFO"))
                if questions := _QUESTION.findall(packet):
                    await self._take([text for text, _ in questions])
                    writer.writelines(self.answer(text, int(keys)) for text, keys in questions)
        self._clients.discard(writer)
        writer.close()

    async def _take(self, texts: list[bytes]) -> None:
        async with self._arrived:
            self.packets.append(texts)
            self._arrived.notify_all()
        await self.gate.wait()


def node_of_a_cluster(_text: bytes, keys: int) -> bytes:
    """What a node answers to a script over so many keys: a token's are elsewhere, a single one is here."""
    return OK if keys == 1 else b"-MOVED 1234 127.0.0.1:7001\r\n"
