"""``fastapi-descope emulator``: what it plays, what it says, and when it does not start."""

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

from fastapi_descope._cli.main import say
from fastapi_descope._cli.token import issue_token
from tests.helpers.cli_runner import CommandResult, Run, command_runner
from tests.helpers.sample_apps import PROJECT

COMMAND = Path(sys.executable).parent / "fastapi-descope"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""
    return command_runner(capsys)


@dataclass(frozen=True, slots=True)
class Started:
    """A running ``fastapi-descope emulator``: what it exports, and its console."""

    process: subprocess.Popen[str]
    exported: dict[str, str]

    def console(self, view: str) -> dict[str, object]:
        """A view of its console."""
        response = httpx.get(f"{self.exported['DESCOPE_BASE_URL']}/console/api/{view}")
        found: dict[str, object] = response.json()
        return found

    def lever(self, name: str) -> int:
        """The status with which its console answers a lever."""
        return httpx.post(f"{self.exported['DESCOPE_BASE_URL']}/console/api/{name}", json={}).status_code


@contextmanager
def emulator_running(*options: str) -> Generator[Started]:
    """The command in a process of its own, ended by Ctrl+C; what it still says stays to be read."""
    with subprocess.Popen(  # noqa: S603 - our own command
        [COMMAND, "emulator", "--port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Started(process, exports(process.stdout))
        finally:
            process.send_signal(signal.SIGINT)


def exports(lines: Iterable[str]) -> dict[str, str]:
    """The variables that the emulator's greeting exports."""
    words = (line.split() for line in lines)
    exported = (line[1].partition("=") for line in words if line[:1] == ["export"])
    return {name: value for name, _, value in islice(exported, 2)}


def test_emulator(run: Run) -> None:
    """It prints what to export, serves the other command, tells of each request, and ends well on Ctrl+C."""
    with emulator_running("--project", PROJECT, "--session-seconds", "77", "--rotate") as started:
        exported = started.exported
        where = ("--base-url", exported["DESCOPE_BASE_URL"], "--project", exported["DESCOPE_PROJECT_ID"])
        asked = run("token", "--user", "ada@acme.example", *where)
        breaking = started.lever("keys/rotate")
        started.process.send_signal(signal.SIGINT)
        assert started.process.stdout is not None
        said = started.process.stdout.read().splitlines()
        started.process.wait()
    assert exported["DESCOPE_PROJECT_ID"] == PROJECT
    claims = json.loads(base64.urlsafe_b64decode(asked.out.split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == 77
    assert started.process.returncode == 0
    assert breaking == 403
    assert said[-6:] == [
        "200  POST  /v1/auth/sso/authorize",
        "200  GET   /signin/...",
        "303  POST  /signin/...",
        "200  POST  /v1/auth/sso/exchange",
        "403  POST  /console/api/keys/rotate",
        "Stopped.",
    ]


def test_an_emulator_that_nobody_listens_to_goes_on(run: Run) -> None:
    """As behind ``| head``: it says no more, answers as before, and ends without complaint."""
    with emulator_running("--project", PROJECT) as started:
        assert started.process.stdout is not None
        started.process.stdout.close()
        statuses = [httpx.get(f"{started.exported['DESCOPE_BASE_URL']}/").status_code for _ in range(3)]
        started.process.send_signal(signal.SIGINT)
        started.process.wait()

    assert (statuses, started.process.returncode) == ([303] * 3, 0)


def test_a_line_for_nobody_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when it is written nor when Python empties its buffers at its end."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as unread, monkeypatch.context() as streams:
        streams.setattr(sys, "stdout", unread)
        say("one")
        say("two")


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
    """The file is the project; what is typed beside it comes first; --faults opens the levers."""
    seed = tmp_path / "project.toml"
    seed.write_text(SEED, encoding="utf-8")
    with emulator_running("--seed", str(seed), "--session-seconds", "44", "--faults") as started:
        users, breaking = started.console("users"), started.lever("keys/rotate")
        token = issue_token(
            started.exported["DESCOPE_BASE_URL"],
            project_id="P2fromTheSeedFileaaaaaaaaaaa",
            user="bill@initech.example",
            tenant="initech",
        )
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert started.exported["DESCOPE_PROJECT_ID"] == "P2fromTheSeedFileaaaaaaaaaaa"
    assert users["tenants"] == [{"id": "initech", "name": "Initech", "domains": [], "users": 1}]
    assert breaking == 200
    assert claims["exp"] - claims["iat"] == 44
    assert claims["tenants"] == {"initech": {"roles": ["boss"]}}


def test_a_bad_seed(run: Run, tmp_path: Path) -> None:
    """A mistake in the file is one sentence that says where it is."""
    seed = tmp_path / "project.toml"
    seed.write_text("sesion_seconds = 30", encoding="utf-8")
    ended = run("emulator", "--seed", str(seed), "--port", "0")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("Error: project.toml: sesion_seconds: unknown key")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(("name", "value"), [("ENVIRONMENT", "production"), ("APP_ENV", "Prod-eu")])
def test_em01_not_in_production(run: Run, variables: Callable[..., None], name: str, value: str) -> None:
    """Where the environment calls itself production there is one clear line, and no socket (EM-01)."""
    variables(**{name: value})
    with socket.create_server(("127.0.0.1", 0)) as taken:  # whoever opened a socket would stumble over it
        ended = run("emulator", "--port", str(taken.getsockname()[1]))
    assert ended == CommandResult(
        1,
        "",
        f"Error: {name} says that this is production, and the emulator signs in anybody without a password\n",
    )


def test_a_session_that_would_outlive_everybody(run: Run) -> None:
    """A number that is out of bounds is a matter of usage, as one that is none."""
    ended = run("emulator", "--session-seconds", "99999999999")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.endswith("session_seconds must be at most 315360000, ten years\n")
