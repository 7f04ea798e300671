"""``python -m example_app.port_forward HOST:PORT TARGET:PORT``: forward TCP connections to a target.

compose.yaml publishes the emulator's port with it, because the emulator listens on loopback only, and Docker
publishes ports of the other addresses of a container.
"""

import asyncio
import signal
import sys
from contextlib import suppress

__all__ = ["main"]

_CHUNK = 65_536

Address = tuple[str, int]


async def main(listen: Address, target: Address) -> None:
    """Forward connections until SIGTERM."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(*target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, target_writer), _copy(target_reader, writer))

    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    server = await asyncio.start_server(forward, *listen)
    await stopped.wait()
    server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    asyncio.run(main(_address(sys.argv[1]), _address(sys.argv[2])))
