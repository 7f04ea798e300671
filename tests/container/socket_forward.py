"""Forwards the port of PostgreSQL in the network of the services to a Unix socket of this machine."""

import asyncio
import sys
from contextlib import suppress

__all__: list[str] = []

_ADDRESS, _PORT = "127.0.0.1", 5432


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _serve(path: str) -> None:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        database_reader, database_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(_pump(reader, database_writer), _pump(database_reader, writer))

    server = await asyncio.start_server(forward, _ADDRESS, _PORT)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
