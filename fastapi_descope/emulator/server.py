"""The emulator on a socket. Loopback only (EM-02). The one file that needs uvicorn."""

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Thread

import uvicorn

from .service import Emulator

__all__ = ["running", "serve"]

_LOOPBACK = {
    "127.0.0.1": (socket.AF_INET, "127.0.0.1"),
    "localhost": (socket.AF_INET, "127.0.0.1"),
    "::1": (socket.AF_INET6, "[::1]"),
}
_BACKLOG = 2048
_GRACE_SECONDS = 2


def _listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket and its URL. Whoever connects before the server runs waits in the backlog."""
    if host not in _LOOPBACK:
        raise ValueError(
            f"the emulator signs in anybody without a password, so it listens on "
            f"{', '.join(_LOOPBACK)} only, not on {host!r}"
        )
    family, name = _LOOPBACK[host]
    listener = socket.create_server((name.strip("[]"), port), family=family, backlog=_BACKLOG)
    return listener, f"http://{host if host == 'localhost' else name}:{listener.getsockname()[1]}"


def _server(emulator: Emulator) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            emulator,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,  # the logging of the process is not ours to set up
            log_level="error",
            access_log=False,  # its lines would hold redirect URLs, and with them states
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )


def serve(
    emulator: Emulator,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], object],
) -> None:
    """Run the emulator until the process is interrupted. Port 0 picks a free one.

    ``ready`` is called once with the base URL, when connections are being taken. Raises ValueError for a
    host that is not the loopback, OSError if the port cannot be had, KeyboardInterrupt when interrupted.
    """
    listener, emulator.base_url = _listen(host, port)
    with listener:
        ready(emulator.base_url)
        _server(emulator).run([listener])


@contextmanager
def running(emulator: Emulator, *, host: str = "127.0.0.1", port: int = 0) -> Generator[str]:
    """Run the emulator in a thread for the length of a ``with``; the value is its base URL.

    It takes connections at once. Leaving releases held calls and waits until the server has ended. Raises
    as ``serve`` does.
    """
    listener, emulator.base_url = _listen(host, port)
    server = _server(emulator)
    thread = Thread(target=server.run, args=([listener],), name="descope-emulator", daemon=True)
    with listener:
        thread.start()
        try:
            yield emulator.base_url
        finally:
            emulator.faults.clear()
            server.should_exit = True
            thread.join()
