"""The emulator on a socket, served by uvicorn on a loopback address."""

import asyncio
import socket
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from .emulator import Emulator
from .faults.connection_reset import CLOSE_CONNECTION

__all__ = ["PortUnavailable", "running", "serve"]

# No other address, and no option for one (EM-02).
_LOOPBACK = {
    "127.0.0.1": (socket.AF_INET, "127.0.0.1"),
    "localhost": (socket.AF_INET, "127.0.0.1"),
    "::1": (socket.AF_INET6, "[::1]"),
}
_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 60
"""Longer than clients keep idle connections: one that is closed while a call arrives fails the call."""
_SHUTDOWN_SECONDS = 2
_NO_LINGER = struct.pack("ii", 1, 0)


class PortUnavailable(OSError):
    """The port is in use, or the process may not listen on it."""


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    """Return a listening socket and its URL. Clients that connect early wait in the backlog."""
    if host not in _LOOPBACK:
        raise ValueError(
            f"the emulator signs in any user without a password, so it listens only on "
            f"{', '.join(_LOOPBACK)}, not on {host!r}"
        )
    family, name = _LOOPBACK[host]
    try:
        listener = socket.create_server((name.strip("[]"), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise PortUnavailable(error.errno, error.strerror) from None
    # Connections inherit it. asyncio does not set it for a socket without an explicit protocol, and then a
    # response in two writes takes 40 ms (Nagle's algorithm and delayed acknowledgements).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener, f"http://{host if host == 'localhost' else name}:{listener.getsockname()[1]}"


class _Server(uvicorn.Server):
    """A uvicorn server for one emulator, whose requests can close their own connection."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        super().__init__(
            uvicorn.Config(
                self._answer,
                interface="asgi3",
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,  # the application configures logging
                log_level="error",
                access_log=False,  # its lines would contain redirect URLs with their state
                proxy_headers=False,  # there is no proxy
                server_header=False,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            )
        )

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down after releasing the calls that are held by a fault."""
        self._emulator.faults.clear()
        await super().shutdown(sockets)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        def close(reset: bool) -> None:  # noqa: FBT001 - the only argument
            self._close_connections(scope["client"], reset=reset)

        extensions = {**scope.get("extensions", {}), CLOSE_CONNECTION: close}
        await self._emulator({**scope, "extensions": extensions}, receive, send)

    def _close_connections(self, peer: tuple[str, int], *, reset: bool) -> None:
        """Close the connections of a peer. No two open connections have the same peer address."""
        for connection in list(self.server_state.connections):
            if connection.transport.get_extra_info("peername")[:2] == peer:
                _close(connection.transport, reset=reset)


def _close(transport: asyncio.Transport, *, reset: bool) -> None:
    if reset:
        # With a linger time of zero, closing the socket sends a TCP reset.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
    else:
        transport.close()


def serve(
    emulator: Emulator,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], object],
) -> None:
    """Run the emulator in this thread until the process is interrupted.

    Args:
        emulator: The emulator. Its ``base_url`` is set.
        host: ``127.0.0.1``, ``localhost`` or ``::1``.
        port: The port; 0 for any free one.
        ready: Called once with the base URL when the socket accepts connections.

    Raises:
        ValueError: The host is not a loopback address.
        PortUnavailable: The port is in use or not allowed.
        KeyboardInterrupt: The process was interrupted.
    """
    listener, emulator.base_url = _listen(host, port)
    with listener:
        ready(emulator.base_url)
        _Server(emulator).run([listener])


@contextmanager
def running(emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0) -> Generator[str]:
    """Run the emulator in a thread while the ``with`` block runs, and yield its base URL.

    The socket accepts connections at once. On exit, held calls are released and the server is shut down.

    Args:
        emulator: The emulator. Its ``base_url`` is set.
        host: ``127.0.0.1``, ``localhost`` or ``::1``.
        port: The port; 0 for any free one.

    Raises:
        ValueError: The host is not a loopback address.
        PortUnavailable: The port is in use or not allowed.
    """
    listener, emulator.base_url = _listen(host, port)
    server = _Server(emulator)
    thread = Thread(target=server.run, args=([listener],), name="descope-emulator", daemon=True)
    with listener:
        thread.start()
        try:
            yield emulator.base_url
        finally:
            server.should_exit = True
            thread.join()
