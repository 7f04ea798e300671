"""An ASGI app on a real loopback socket."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def listening(host: str = "127.0.0.1") -> Generator[tuple[socket.socket, str]]:
    """Yield a listening socket and its URL."""
    with socket.create_server((host, 0), backlog=1024) as listener:
        yield listener, f"http://{host}:{listener.getsockname()[1]}"


@contextmanager
def serve_app(
    app: ASGIApp, listener: socket.socket, *, access_log: bool = False, certificate: Path | None = None
) -> Generator[None]:
    """Serve ``app`` on ``listener`` with uvicorn in a thread, with its lifespan, until the block ends.

    ``certificate`` is a PEM file with key and certificate, for https.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level=None if access_log else "error",  # None: the levels that the test has set
        access_log=access_log,
        ws="websockets-sansio",
        ssl_certfile=certificate,
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
