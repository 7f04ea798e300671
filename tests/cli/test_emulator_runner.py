"""The emulator in a terminal: its output, which contains no secret."""

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
    project: Project, send_requests: Callable[[str], None], console: Literal["view", "faults"] = "view"
) -> list[str]:
    """Return the lines that the runner writes during ``send_requests``, followed by Ctrl+C."""
    lines: list[str] = []
    threads: list[Thread] = []

    def visit(base_url: str) -> None:
        try:
            httpx.get(f"{base_url}/v2/keys/{project.project_id}")  # the first request
            send_requests(base_url)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    def write_line(line: str) -> None:
        lines.append(line)
        if line.startswith("  URL"):
            threads.append(Thread(target=visit, args=(line.split()[1],)))
            threads[0].start()

    EmulatorRunner(project, write_line, console=console).run(host="127.0.0.1", port=0)
    threads[0].join()
    return lines


def test_banner() -> None:
    """It shows the URL, the variables to export and the users. Ctrl+C ends it without a traceback."""
    users = (
        SeedUser("ada@acme.example", tenants={"acme": Grants(("admin", "editor")), "globex": Grants()}),
        SeedUser("bo@x.example"),
    )
    project = Project("P2" + "c" * 26, (SeedTenant("acme"), SeedTenant("globex")), users)
    lines = run_until_interrupted(project, lambda _: None)
    url = lines[2].split()[1]
    assert lines == [
        "Descope emulator for development: signs in any user without a password.",
        "Press Ctrl+C to stop it.\n",
        f"  URL      {url}",
        "  Project  P2cccccccccccccccccccccccccc",
        f"  Console  {url}/console  (add --faults to inject faults)\n",
        "  export DESCOPE_PROJECT_ID=P2cccccccccccccccccccccccccc",
        f"  export DESCOPE_BASE_URL={url}\n",
        "  ada@acme.example  acme: admin, editor; globex: no roles",
        "  bo@x.example      no tenant",
        "",
        "200  GET   /v2/keys/P2cccccccccccccccccccccccccc",
        "Stopped.",
    ]


def test_each_request_is_logged() -> None:
    """With method, path and status, but no query, no id of a sign-in page and no control characters."""

    def send_requests(base_url: str) -> None:
        httpx.get(f"{base_url}/signin/canary-page?canary=query")
        httpx.post(f"{base_url}/v1/auth/refresh", headers={"authorization": "Bearer canary"})
        httpx.get(f"{base_url}/%1b[31mred%0a")

    lines = run_until_interrupted(Project(users=()), send_requests)
    assert lines[-4:] == [
        "404  GET   /signin/...",
        "401  POST  /v1/auth/refresh",
        "404  GET   /%1B%5B31mred%0A",
        "Stopped.",
    ]


def test_console_with_faults() -> None:
    """The banner does not suggest the flag. Changes are logged, reads are not."""

    def send_requests(base_url: str) -> None:
        httpx.get(f"{base_url}/console")
        httpx.get(f"{base_url}/console/api/state")
        httpx.post(f"{base_url}/console/api/keys/rotate", json={})

    lines = run_until_interrupted(Project(users=()), send_requests, "faults")
    assert lines[4].endswith("/console\n")
    assert lines[-2:] == ["200  POST  /console/api/keys/rotate", "Stopped."]
    assert not [line for line in lines if "GET   /console" in line]


def test_console_without_faults() -> None:
    """Without the flag no fault can be injected (EM-08)."""
    statuses: list[int] = []

    def send_requests(base_url: str) -> None:
        statuses.extend(
            httpx.post(f"{base_url}/console/api/{fault}", json={}).status_code
            for fault in ("faults", "keys/rotate", "keys/drop", "revoke", "clock")
        )

    run_until_interrupted(Project(users=()), send_requests)
    assert statuses == [403] * 5


def test_a_host_that_is_not_loopback() -> None:
    """It is refused with the reason before a socket is opened (EM-02)."""
    runner = EmulatorRunner(Project(), print)
    with pytest.raises(ConfigurationError, match=r"listens only on 127\.0\.0\.1, localhost, ::1"):
        runner.run(host="0.0.0.0", port=0)  # noqa: S104 - refused


def test_a_port_in_use() -> None:
    """The error names the port and the fix."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as refused:
            EmulatorRunner(Project(), print).run(host="127.0.0.1", port=port)
    assert str(refused.value) == f"Port {port}: Address already in use; choose another with --port"


def test_another_os_error_is_not_reported_as_a_port_in_use() -> None:
    """It propagates."""

    def fail(line: str) -> None:
        raise ConnectionAbortedError(line)

    with pytest.raises(ConnectionAbortedError):
        EmulatorRunner(Project(), fail).run(host="127.0.0.1", port=0)
