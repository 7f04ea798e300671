"""One journey under every server: real processes, real sockets, a real Redis."""

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from fastapi_descope import Descope
from fastapi_descope.emulator import Emulator
from tests.faults.overrides import descope_overrides
from tests.helpers.app_harness import add_routes
from tests.helpers.nginx import nginx_in_front_of
from tests.helpers.ports import free_port

from .journey import Journey
from .matrix import SERVERS, Server
from .processes import running_server

pytestmark = pytest.mark.redis

NGINX = (
    "proxy_http_version 1.1;",
    "proxy_set_header Host $http_host;",
    "proxy_set_header Upgrade $http_upgrade;",
    'proxy_set_header Connection "upgrade";',
)
"""Directives for WebSockets. All buffers have their default sizes."""


@contextmanager
def another_process(url: str) -> Generator[Callable[[str], int]]:
    """Run the same app as another process of the fleet, and yield a function that asks it for the session."""
    app = FastAPI()
    Descope(app, **descope_overrides(time.time))
    add_routes(app)
    with TestClient(app, base_url=url) as client:
        yield lambda cookies: client.get("/me", headers={"cookie": cookies}).status_code


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_journey_gives_what_the_table_says(
    server: Server,
    emulator: Emulator,
    variables_for: Callable[[str], dict[str, str]],
    variables: Callable[..., None],
    tmp_path: Path,
) -> None:
    """Each step asserts what no server may break: no user loses a session."""
    port = free_port()
    with ExitStack() as stack:
        url = f"http://127.0.0.1:{port}"
        if server.behind_nginx:
            url = stack.enter_context(nginx_in_front_of(url, tmp_path, *NGINX))
        variables(**variables_for(url))
        ask_another_process = stack.enter_context(another_process(url))
        command = server.command(port)
        process = stack.enter_context(running_server(command, port, variables_for(url), tmp_path / "log"))
        journey = Journey(url, port, emulator, process, ask_another_process)

        assert journey.walk() == server.result, (tmp_path / "log").read_text()
