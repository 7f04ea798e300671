"""An app on this machine's own address, for as long as it is wanted."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.types import ASGIApp

__all__ = ["listen", "serve", "serving"]

HOST = "127.0.0.1"


def listen(port: int) -> tuple[socket.socket, str]:
    """A listening socket and its URL; port 0 picks a free one. Raises OSError if the port is taken."""
    listener = socket.create_server((HOST, port))
    return listener, f"http://{HOST}:{listener.getsockname()[1]}"


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve ``app`` until the process is interrupted."""
    _server(app).run([listener])


@contextmanager
def serving(app: ASGIApp, listener: socket.socket) -> Generator[None]:
    """Serve ``app`` from a thread for the length of a ``with``. Connections are taken at once."""
    server = _server(app)
    thread = Thread(target=server.run, args=([listener],), name="example-app", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _server(app: ASGIApp) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_level="warning",
        ws="none",
        access_log=False,  # its lines would hold the codes and states of logins
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
