"""The servers of the matrix, and the result of the journey under each of them.

``docs/how-to/deploy.md`` has the same table. ``test_table.py`` compares the two.
"""

import sys
from dataclasses import astuple, dataclass, fields, replace

__all__ = ["SERVERS", "Result", "Server", "markdown_table"]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of the journey, in the words of the table. Each field is a column.

    Attributes:
        login: The login and the callback.
        refresh: A request whose session has expired.
        accept: The cookies of a refresh before ``websocket.accept``.
        rejection: The response to a WebSocket without a session.
        stream: Server-sent events, each as soon as it is sent.
        logout: The logout.
        shutdown: The response to a request that was waiting for a refresh when the process got SIGTERM.
    """

    login: str = "works"
    refresh: str = "works"
    accept: str = "delivered"
    rejection: str = "401"
    stream: str = "works"
    logout: str = "works"
    shutdown: str = "sent"


@dataclass(frozen=True, slots=True)
class Server:
    """A server, the arguments that start it, and its result.

    Attributes:
        name: The row of the table.
        arguments: For the Python interpreter. ``{port}`` and ``{app}`` are replaced.
        result: The result of the journey.
        behind_nginx: Whether nginx with default buffers is in front of the server.
    """

    name: str
    arguments: str
    result: Result = Result()
    behind_nginx: bool = False

    def command(self, port: int, app: str = "tests.deployment.app:app") -> list[str]:
        """Return the command that starts the server."""
        return [sys.executable, *self.arguments.format(port=port, app=app).split()]


_UVICORN = "-m uvicorn --host 127.0.0.1 --port {port}"
_GUNICORN = "-m gunicorn --worker-class uvicorn_worker.UvicornWorker --bind 127.0.0.1:{port}"
_SUPPORTED = Result()

SERVERS = (
    Server("uvicorn `--http h11`", f"{_UVICORN} --http h11 {{app}}"),
    Server("uvicorn `--http httptools`", f"{_UVICORN} --http httptools {{app}}"),
    Server("uvicorn `--ws websockets`", f"{_UVICORN} --ws websockets {{app}}"),
    Server("uvicorn `--ws websockets-sansio`", f"{_UVICORN} --ws websockets-sansio {{app}}"),
    Server("uvicorn `--ws wsproto`", f"{_UVICORN} --ws wsproto {{app}}"),
    Server("hypercorn", "-m hypercorn --bind 127.0.0.1:{port} {app}"),
    Server(
        "granian",
        "-m granian --interface asgi --host 127.0.0.1 --port {port} {app}",
        replace(_SUPPORTED, accept="dropped"),
    ),
    Server("gunicorn `--preload --workers 2`", f"{_GUNICORN} --preload --workers 2 {{app}}"),
    Server("uvicorn behind nginx", f"{_UVICORN} {{app}}", behind_nginx=True),
)

_HEADINGS = {
    "login": "login",
    "refresh": "refresh",
    "accept": "cookies of `accept`",
    "rejection": "refused WebSocket",
    "stream": "server-sent events",
    "logout": "logout",
    "shutdown": "response at shutdown",
}


def markdown_table() -> str:
    """Return the table of the documentation."""
    headings = ["server", *(_HEADINGS[field.name] for field in fields(Result))]
    rows = [headings, *([server.name, *astuple(server.result)] for server in SERVERS)]
    heading, *lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([heading, "|---" * len(headings) + "|", *lines])
