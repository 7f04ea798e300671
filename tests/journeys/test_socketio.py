"""python-socketio mounted in an app, with its own client over real sockets (F-11)."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp

from fastapi_descope import ConfigurationError, Descope, DescopeMiddleware, DescopeSettings, get_auth_session
from fastapi_descope.emulator import Emulator, JwtPair
from fastapi_descope.emulator.server import running
from tests.helpers.emulator import signing_key
from tests.helpers.live_server import listening, serve_app

socketio: Any = import_module("socketio")  # it has no types
ADA = "ada@acme.example"
TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket"])
PROTECTED = ("protected app", "protected mount")


@dataclass
class Served:
    """An app with python-socketio, and what its ``connect`` handler saw."""

    url: str
    emulator: Emulator
    seen: list[object] = field(default_factory=list[object])

    def connect(self, transport: str, headers: dict[str, str]) -> None:
        """Connect once, and disconnect.

        Raises:
            ConnectionError: The server refuses the connection.
        """
        with requests.Session() as http:
            http.headers.update(headers)  # those of connect are sent with the handshake only
            client = socketio.Client(http_session=http, handle_sigint=False, reconnection=False)
            client.connect(self.url, headers=headers, transports=[transport], wait_timeout=30)
            client.disconnect()


def build(server: object, settings: DescopeSettings, mount: str) -> ASGIApp:
    """Return an app with the server of python-socketio in it, or around it."""
    app = FastAPI()
    descope = Descope(app, settings=settings, protect=mount == "protected app")
    endpoint: ASGIApp = socketio.ASGIApp(server, app if mount == "wrapped app" else None)
    if mount == "wrapped app":
        return endpoint
    if mount == "protected mount":
        endpoint = DescopeMiddleware(endpoint, descope=descope, protect=True)
    app.mount("/socket.io", endpoint)
    return app


@pytest.fixture
def serve() -> Generator[Callable[[str], Served]]:
    """Return a function that serves an app."""
    with ExitStack() as stack:

        def start(mount: str) -> Served:
            emulator = Emulator(signing_key=signing_key())
            base_url = stack.enter_context(running(emulator))
            listener, url = stack.enter_context(listening())
            served = Served(url, emulator)
            server = socketio.AsyncServer(
                async_mode="asgi", cors_allowed_origins=[url], ping_interval=1, ping_timeout=1
            )

            async def connect(sid: str, environ: dict[str, Any], auth: object = None) -> None:
                try:
                    session = await get_auth_session(HTTPConnection(environ["asgi.scope"]))
                except ConfigurationError as error:
                    served.seen.append(str(error))
                else:
                    served.seen.append(session and session.user.email)

            server.on("connect", connect)
            settings = DescopeSettings(project_id=emulator.project_id, base_url=base_url, public_url=url)
            stack.enter_context(serve_app(build(server, settings, mount), listener))
            return served

        yield start


def cookies(pair: JwtPair) -> dict[str, str]:
    """Return the headers of a browser. With a WebSocket the client sends ``Origin`` itself."""
    return {"Cookie": f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"}


@TRANSPORTS
@pytest.mark.parametrize("mount", PROTECTED)
def test_ws08_connect_handler_of_python_socketio_gets_the_session(
    serve: Callable[[str], Served], mount: str, transport: str
) -> None:
    """With polling it runs in a later request than the handshake."""
    served = serve(mount)
    served.connect(transport, cookies(served.emulator.issue(ADA, "acme")))
    bearer = served.emulator.issue(ADA, "acme").session_jwt
    served.connect(transport, {"Authorization": f"Bearer {bearer}"})

    assert served.seen == [ADA, ADA]


@TRANSPORTS
def test_ws08_expired_session_is_refreshed_in_the_handshake(
    serve: Callable[[str], Served], transport: str
) -> None:
    """The handler runs after the response, when it would be too late."""
    served = serve("protected mount")
    expired = served.emulator.issue(ADA, "acme", session_seconds=-60)

    served.connect(transport, cookies(expired))

    assert served.seen == [ADA]
    assert served.emulator.requests.count("refresh") == 1


@TRANSPORTS
@pytest.mark.parametrize("mount", PROTECTED)
def test_ws08_connection_without_a_session_is_refused(
    serve: Callable[[str], Served], mount: str, transport: str
) -> None:
    """The handler does not run."""
    served = serve(mount)

    with pytest.raises(socketio.exceptions.ConnectionError):
        served.connect(transport, {})

    assert not served.seen


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (
            "mount",
            "python-socketio, mount DescopeMiddleware(socketio.ASGIApp(sio), descope=descope, protect=True)",
        ),
        ("wrapped app", "such as socketio.ASGIApp(sio, app), gets requests first: mount it instead"),
    ],
)
def test_error_names_the_mistake_with_python_socketio(
    serve: Callable[[str], Served], mount: str, words: str
) -> None:
    """A session that was not read in the handshake cannot be read later, because nothing could refresh it."""
    served = serve(mount)

    served.connect("polling", cookies(served.emulator.issue(ADA, "acme")))

    [message] = served.seen
    assert words in str(message)
