"""The emulator in a terminal: what it says, and that it says no secret."""

import os
import signal
import socket
from collections.abc import Callable
from threading import Thread
from typing import Literal

import httpx
import pytest

from fastapi_descope._cli.emulator import EmulatorRunner
from fastapi_descope.emulator import Grants, Project, SeedTenant, SeedUser
from fastapi_descope.errors import ConfigurationError


def run_until_interrupted(
    project: Project, ask: Callable[[str], None], console: Literal["view", "faults"] = "view"
) -> list[str]:
    """What a console says while ``ask`` talks to the emulator, and then Ctrl+C is pressed."""
    said: list[str] = []
    threads: list[Thread] = []

    def visit(base_url: str) -> None:
        try:
            httpx.get(f"{base_url}/v2/keys/{project.project_id}")  # answered, so it runs
            ask(base_url)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("  URL"):
            threads.append(Thread(target=visit, args=(line.split()[1],)))
            threads[0].start()

    EmulatorRunner(project, say, console=console).run(host="127.0.0.1", port=0)
    threads[0].join()
    return said


def test_greeting() -> None:
    """It says where it is, what to export, and whom it knows; and it ends quietly."""
    users = (
        SeedUser("ada@acme.example", tenants={"acme": Grants(("admin", "editor")), "globex": Grants()}),
        SeedUser("bo@x.example"),
    )
    project = Project("P2" + "c" * 26, (SeedTenant("acme"), SeedTenant("globex")), users)
    said = run_until_interrupted(project, lambda _: None)
    url = said[1].split()[1]
    assert said == [
        "A Descope for development. It signs in anybody; Ctrl+C stops it.\n",
        f"  URL      {url}",
        "  Project  P2cccccccccccccccccccccccccc",
        f"  Console  {url}/console  (to break things: --faults)\n",
        "  export DESCOPE_PROJECT_ID=P2cccccccccccccccccccccccccc",
        f"  export DESCOPE_BASE_URL={url}\n",
        "  ada@acme.example  acme: admin, editor; globex: no roles",
        "  bo@x.example      no tenant",
        "",
        "200  GET   /v2/keys/P2cccccccccccccccccccccccccc",
        "Stopped.",
    ]


def test_a_line_for_each_request() -> None:
    """Method, path and status; not the query, not the id of a sign-in page, nothing that moves a terminal."""

    def ask(base_url: str) -> None:
        httpx.get(f"{base_url}/signin/canary-page?canary=query")
        httpx.post(f"{base_url}/v1/auth/refresh", headers={"authorization": "Bearer canary"})
        httpx.get(f"{base_url}/%1b[31mred%0a")

    said = run_until_interrupted(Project(users=()), ask)
    assert said[-4:] == [
        "404  GET   /signin/...",
        "401  POST  /v1/auth/refresh",
        "404  GET   /%1B%5B31mred%0A",
        "Stopped.",
    ]


def test_console_that_breaks_things() -> None:
    """With the flag the greeting has no hint of it. What is broken gets a line, what is read gets none."""

    def ask(base_url: str) -> None:
        httpx.get(f"{base_url}/console")
        httpx.get(f"{base_url}/console/api/state")
        httpx.post(f"{base_url}/console/api/keys/rotate", json={})

    said = run_until_interrupted(Project(users=()), ask, "faults")
    assert said[3].endswith("/console\n")
    assert said[-2:] == ["200  POST  /console/api/keys/rotate", "Stopped."]
    assert not [line for line in said if "GET   /console" in line]


def test_console_that_shows() -> None:
    """Without the flag nothing can be broken (EM-08)."""
    statuses: list[int] = []

    def ask(base_url: str) -> None:
        statuses.extend(
            httpx.post(f"{base_url}/console/api/{lever}", json={}).status_code
            for lever in ("faults", "keys/rotate", "keys/drop", "revoke", "clock")
        )

    run_until_interrupted(Project(users=()), ask)
    assert statuses == [403] * 5


def test_not_for_the_network() -> None:
    """Any other host than the loopback is refused before a socket is opened, with the reason (EM-02)."""
    console = EmulatorRunner(Project(), print)
    with pytest.raises(ConfigurationError, match=r"listens on 127\.0\.0\.1, localhost, ::1 only"):
        console.run(host="0.0.0.0", port=0)  # noqa: S104 - refused


def test_a_port_in_use() -> None:
    """Says which port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as refused:
            EmulatorRunner(Project(), print).run(host="127.0.0.1", port=port)
    assert str(refused.value) == f"Port {port}: Address already in use; choose another with --port"


def test_another_failure_is_not_the_ports() -> None:
    """Whatever goes wrong besides is told as what it is."""

    def fail(line: str) -> None:
        raise ConnectionAbortedError(line)

    with pytest.raises(ConnectionAbortedError):
        EmulatorRunner(Project(), fail).run(host="127.0.0.1", port=0)
