"""The emulator on a socket. Loopback only (EM-02). The one file that needs uvicorn."""

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

_LOOPBACK = {
    "127.0.0.1": (socket.AF_INET, "127.0.0.1"),
    "localhost": (socket.AF_INET, "127.0.0.1"),
    "::1": (socket.AF_INET6, "[::1]"),
}
_BACKLOG = 2048
_GRACE_SECONDS = 2
_NO_LINGER = struct.pack("ii", 1, 0)


class PortUnavailable(OSError):
    """The port cannot be had: it is taken, or not for everybody."""


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket and its URL. Whoever connects before the server runs waits in the backlog."""
    if host not in _LOOPBACK:
        raise ValueError(
            f"the emulator signs in anybody without a password, so it listens on "
            f"{', '.join(_LOOPBACK)} only, not on {host!r}"
        )
    family, name = _LOOPBACK[host]
    try:
        listener = socket.create_server((name.strip("[]"), port), family=family, backlog=_BACKLOG)
    except OSError as failure:
        raise PortUnavailable(failure.errno, failure.strerror) from None
    # Inherited by connections; asyncio leaves it off where a socket does not name its protocol, and an
    # answer in two writes would then take 40 ms (Nagle's algorithm and delayed acknowledgements).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener, f"http://{host if host == 'localhost' else name}:{listener.getsockname()[1]}"


class _Server(uvicorn.Server):
    """A server of one emulator, whose requests can end their own connection."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        super().__init__(
            uvicorn.Config(
                self._answer,
                interface="asgi3",
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,  # the logging of the process is not ours to set up
                log_level="error",
                access_log=False,  # its lines would hold redirect URLs, and with them states
                proxy_headers=False,  # no proxy stands before it, and a caller is who connected
                server_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, without the calls that a fault keeps waiting."""
        self._emulator.faults.clear()
        await super().shutdown(sockets)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        def hang_up(reset: bool) -> None:  # noqa: FBT001 - the only argument there is
            self._hang_up(scope["client"], reset=reset)

        extensions = {**scope.get("extensions", {}), CLOSE_CONNECTION: hang_up}
        await self._emulator({**scope, "extensions": extensions}, receive, send)

    def _hang_up(self, peer: tuple[str, int], *, reset: bool) -> None:
        """End the connection of a peer, whose address no other open connection has."""
        for connection in list(self.server_state.connections):
            if connection.transport.get_extra_info("peername")[:2] == peer:
                _end(connection.transport, reset=reset)


def _end(transport: asyncio.Transport, *, reset: bool) -> None:
    if reset:
        # With a linger time of zero, closing sends a reset in place of the regular end.
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
    """Run the emulator until the process is interrupted. Port 0 picks a free one.

    ``ready`` is called once with the base URL, when connections are being taken. Raises ValueError for a
    host that is not the loopback, CannotListen if the port cannot be had, KeyboardInterrupt when interrupted.
    """
    listener, emulator.base_url = _listen(host, port)
    with listener:
        ready(emulator.base_url)
        _Server(emulator).run([listener])


@contextmanager
def running(emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0) -> Generator[str]:
    """Run the emulator in a thread for the length of a ``with``; the value is its base URL.

    It takes connections at once. Leaving releases held calls and waits until the server has ended. Raises
    as ``serve`` does.
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
