"""Run an app on a loopback address."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.types import ASGIApp

__all__ = ["listen", "serve", "serve_in_thread"]

HOST = "127.0.0.1"


def listen(port: int) -> tuple[socket.socket, str]:
    """Return a listening socket and its URL. Port 0 picks a free port; a port in use raises OSError."""
    listener = socket.create_server((HOST, port))
    return listener, f"http://{HOST}:{listener.getsockname()[1]}"


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Serve ``app`` until the process is interrupted."""
    _server(app).run([listener])


@contextmanager
def serve_in_thread(app: ASGIApp, listener: socket.socket) -> Generator[None]:
    """Serve ``app`` in a thread while the context is active."""
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
        ws="websockets-sansio",
        access_log=False,  # it would log the codes and states of logins
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
