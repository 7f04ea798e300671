"""The ``fastapi-descope emulator`` command: its options, its output, and the errors at start."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx
import pytest

from fastapi_descope._cli.emulator import print_line
from fastapi_descope._cli.token_issue import issue_token
from tests.cli.cli_runner import CommandResult, Run, command_runner
from tests.cli.sample_apps import PROJECT

COMMAND = Path(sys.executable).parent / "fastapi-descope"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""
    return command_runner(capsys)


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """A running ``fastapi-descope emulator``, and the variables that it prints."""

    process: subprocess.Popen[str]
    exported: dict[str, str]

    def console(self, view: str) -> dict[str, object]:
        """Return a view of its console."""
        response = httpx.get(f"{self.exported['DESCOPE_BASE_URL']}/console/api/{view}")
        body: dict[str, object] = response.json()
        return body

    def inject_fault(self, name: str) -> int:
        """Return the status of a fault injection through its console."""
        return httpx.post(f"{self.exported['DESCOPE_BASE_URL']}/console/api/{name}", json={}).status_code


@contextmanager
def emulator_running(*options: str) -> Generator[RunningCommand]:
    """Run the command in a process and interrupt it at the end. Its output can be read afterwards."""
    with subprocess.Popen(
        [COMMAND, "emulator", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield RunningCommand(process, exported_variables(process.stdout))
        finally:
            process.send_signal(signal.SIGINT)


def exported_variables(lines: Iterable[str]) -> dict[str, str]:
    """Return the variables of the ``export`` lines."""
    words = (line.split() for line in lines)
    exported = (line[1].partition("=") for line in words if line[:1] == ["export"])
    return {name: value for name, _, value in islice(exported, 2)}


def test_emulator(run: Run) -> None:
    """It prints the variables to export, logs each request, and exits with status 0 on Ctrl+C."""
    with emulator_running("--project", PROJECT, "--session-seconds", "77", "--rotate") as started:
        exported = started.exported
        options = ("--base-url", exported["DESCOPE_BASE_URL"], "--project", exported["DESCOPE_PROJECT_ID"])
        result = run("token", "issue", "--user", "ada@acme.example", *options)
        fault_status = started.inject_fault("keys/rotate")
        started.process.send_signal(signal.SIGINT)
        assert started.process.stdout is not None
        lines = started.process.stdout.read().splitlines()
        started.process.wait()
    assert exported["DESCOPE_PROJECT_ID"] == PROJECT
    claims = json.loads(base64.urlsafe_b64decode(result.out.split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == 77
    assert started.process.returncode == 0
    assert fault_status == 403
    assert lines[-6:] == [
        "200  POST  /v1/auth/sso/authorize",
        "200  GET   /signin/...",
        "303  POST  /signin/...",
        "200  POST  /v1/auth/sso/exchange",
        "403  POST  /console/api/keys/rotate",
        "Stopped.",
    ]


def test_the_emulator_keeps_running_when_its_output_is_closed(run: Run) -> None:
    """As with ``| head``: it serves requests and exits with status 0."""
    with emulator_running("--project", PROJECT) as started:
        assert started.process.stdout is not None
        started.process.stdout.close()
        statuses = [httpx.get(f"{started.exported['DESCOPE_BASE_URL']}/").status_code for _ in range(3)]
        started.process.send_signal(signal.SIGINT)
        started.process.wait()

    assert (statuses, started.process.returncode) == ([303] * 3, 0)


def test_printing_to_a_closed_pipe_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a line is written, and when Python flushes its buffers at exit."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as unread, monkeypatch.context() as streams:
        streams.setattr(sys, "stdout", unread)
        print_line("one")
        print_line("two")


SEED = """
project_id = "P2fromTheSeedFileaaaaaaaaaaa"
session_seconds = 33
rotate_refresh = true

[[tenants]]
id = "initech"
name = "Initech"

[[users]]
login_id = "bill@initech.example"
[users.tenants.initech]
roles = ["boss"]
"""


def test_seed(tmp_path: Path) -> None:
    """The seed file is the project, options override it, and --faults allows fault injection."""
    seed = tmp_path / "project.toml"
    seed.write_text(SEED, encoding="utf-8")
    with emulator_running("--seed", str(seed), "--session-seconds", "44", "--faults") as started:
        users, fault_status = started.console("users"), started.inject_fault("keys/rotate")
        token = issue_token(
            started.exported["DESCOPE_BASE_URL"],
            project_id="P2fromTheSeedFileaaaaaaaaaaa",
            user="bill@initech.example",
            tenant="initech",
        )
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert started.exported["DESCOPE_PROJECT_ID"] == "P2fromTheSeedFileaaaaaaaaaaa"
    assert users["tenants"] == [{"id": "initech", "name": "Initech", "domains": [], "users": 1}]
    assert fault_status == 200
    assert claims["exp"] - claims["iat"] == 44
    assert claims["tenants"] == {"initech": {"roles": ["boss"]}}


def test_a_wrong_seed_file(run: Run, tmp_path: Path) -> None:
    """A mistake is one line that names the file and the key."""
    seed = tmp_path / "project.toml"
    seed.write_text("sesion_seconds = 30", encoding="utf-8")
    result = run("emulator", "--seed", str(seed), "--port", "0")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("Error: project.toml: sesion_seconds: unknown key")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(("name", "value"), [("ENVIRONMENT", "production"), ("APP_ENV", "Prod-eu")])
def test_em01_not_in_production(run: Run, variables: Callable[..., None], name: str, value: str) -> None:
    """In a production environment the command prints one line and opens no socket (EM-01)."""
    variables(**{name: value})
    with socket.create_server(("127.0.0.1", 0)) as taken:  # opening the socket would fail with another error
        result = run("emulator", "--port", str(taken.getsockname()[1]))
    assert result == CommandResult(
        1,
        "",
        f"Error: {name} names a production environment,"
        " and the emulator signs in any user without a password\n",
    )


def test_an_excessive_session_lifetime(run: Run) -> None:
    """A number out of range is wrong usage, as a malformed number is."""
    result = run("emulator", "--session-seconds", "99999999999")
    assert (result.status, result.out) == (2, "")
    assert result.err.endswith("session_seconds must be at most 315360000, ten years\n")
