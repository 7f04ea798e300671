"""The command line: exit statuses, and which stream says what."""

import asyncio
import base64
import importlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import httpx
import pytest

from fastapi_descope.cli import main
from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator
from fastapi_descope.emulator.server import running
from fastapi_descope.loopback_sign_in import sign_in
from tests.support.sample_apps import PROJECT

COMMAND = Path(sys.executable).parent / "fastapi-descope"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it wrote."""

    status: object
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""

    def command(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        written = capsys.readouterr()
        return Ended(ended.value.code, written.out, written.err)

    return command


@pytest.fixture(autouse=True)
def _own_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command puts on the import path is gone after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where an emulator runs."""
    with running(Emulator()) as url:
        yield url


def test_help(run: Run) -> None:
    """Every command has a line, in plain text."""
    helped = run("--help")
    assert helped.status == 0
    listed = helped.out.partition("Commands:\n")[2].rstrip("\n").split("\n")
    assert [line.split()[0] for line in listed] == ["emulator", "doctor", "routes", "token"]
    assert helped.out.isascii()


def test_no_such_command(run: Run) -> None:
    """A command that does not exist is a matter of usage: status 2, and nothing on standard output."""
    ended = run("diagnose")
    assert (ended.status, ended.out) == (2, "")
    assert "No such command 'diagnose'" in ended.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("routes", "shop"), 'Import string "shop" must be in format "<module>:<attribute>".'),
        (("routes", "no_such_module:app"), 'Could not import module "no_such_module".'),
        (
            ("doctor", "--app", "tests.support.sample_apps:nope"),
            'Attribute "nope" not found in module "tests.support.sample_apps".',
        ),
        (
            ("routes", "tests.support.sample_apps:not_an_app"),
            "tests.support.sample_apps:not_an_app: expected a FastAPI or Starlette app, found int",
        ),
        (
            ("emulator", "--project", "demo"),
            "--project: expected P, then 20 to 64 letters and digits",
        ),
        (
            ("emulator", "--host", "192.168.0.1"),
            (
                "the emulator signs in anybody without a password, so it listens on"
                " 127.0.0.1, localhost, ::1 only, not on '192.168.0.1'"
            ),
        ),
        (
            ("emulator", "--seed", "no_such_file.toml"),
            "no_such_file.toml: cannot be read: No such file or directory",
        ),
        (
            ("token", "--user", "ada@acme.example", "--base-url", "https://api.descope.com"),
            "Only the emulator gives tokens away, and DESCOPE_BASE_URL does not point to this machine",
        ),
    ],
)
def test_mistakes(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    """A mistake is one sentence on standard error and status 1, never a traceback."""
    assert run(*arguments) == Ended(1, "", f"Error: {sentence}\n")


def test_routes(run: Run) -> None:
    """The table on standard output."""
    ended = run("routes", "tests.support.sample_apps:shop")
    lines = ended.out.splitlines()
    assert (ended.status, ended.err) == (0, "")
    assert lines[0].split() == ["METHOD", "PATH", "REQUIRES"]
    assert [line.split(maxsplit=2) for line in lines[-2:]] == [
        ["GET", "/about", "public"],
        ["GET", "/admin", "roles admin"],
    ]


def test_routes_check(run: Run) -> None:
    """With --check a public route fails the command, unless it is named."""
    failed = run("routes", "tests.support.sample_apps:shop", "--check")
    assert (failed.status, failed.err) == (1, "Error: anybody gets in: GET /about\n")
    passed = run(
        "routes", "tests.support.sample_apps:shop", "--check", "--public", "/about", "--public", "/x"
    )
    assert (passed.status, passed.err) == (0, "")


def test_token(run: Run, base_url: str) -> None:
    """Standard output is the token and nothing else, so that a shell can use it."""
    ended = run("token", "--user", "ada@acme.example", "--tenant", "globex", "--base-url", base_url)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("eyJ")
    assert (ended.out.count("."), ended.out.count("\n")) == (2, 1)


def test_token_by_environment(run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the emulator prints are all that it takes."""
    monkeypatch.setenv("DESCOPE_BASE_URL", base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    assert run("token", "--user", "grace@acme.example").status == 0


def test_doctor(run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings and a summary on standard output; warnings do not fail the command."""
    monkeypatch.setenv("DESCOPE_BASE_URL", base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    ended = run("doctor")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "ok    settings    the DESCOPE_* variables are well-formed"
    assert lines[-2:] == ["", "4 ok, 3 to look at, 0 failed"]


def test_doctor_fails(run: Run) -> None:
    """A failed check is status 1."""
    ended = run("doctor")
    assert (ended.status, ended.err) == (1, "")
    assert ended.out.startswith("fail  settings    DESCOPE_PROJECT_ID is missing.")
    assert ended.out.endswith("\n0 ok, 0 to look at, 1 failed\n")


def test_wrong_settings_are_listed_the_same_way_with_an_app(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An app that cannot be built with them is no other kind of mistake."""
    (tmp_path / "unbuilt.py").write_text("from fastapi_descope import Descope\napp = Descope()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DESCOPE_LEEWAY", "-1")
    plain, with_app = run("doctor"), run("doctor", "--app", "unbuilt:app")
    assert plain == with_app
    assert plain.out.count("fail  settings") == 2


def test_an_app_that_fails_for_another_reason_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the settings are wrong as well."""
    assert run("doctor", "--app", "nowhere:app").err.startswith("Error: ")
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    assert run("doctor", "--app", "nowhere:app").err.startswith("Error: ")


def test_doctor_of_an_app(run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app is looked at; one without the plugin fails."""
    monkeypatch.setenv("DESCOPE_BASE_URL", base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    ended = run("doctor", "--app", "tests.support.sample_apps:bare")
    assert ended.status == 1
    assert "fail  middleware  DescopeMiddleware is missing" in ended.out


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where typer is not installed, one sentence names the extra."""
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "fastapi_descope.cli")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("fastapi_descope.cli")
    assert ended.value.code == "fastapi-descope needs typer: pip install 'fastapi-descope[cli]'"


def test_installed_command(tmp_path: Path) -> None:
    """The entry point looks for apps from the current directory on."""
    (tmp_path / "shop.py").write_text("from fastapi import FastAPI\napp = FastAPI(openapi_url=None)\n")
    ended = subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "routes", "shop:app"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "METHOD  PATH  REQUIRES\n", "")


@dataclass(frozen=True, slots=True)
class Started:
    """A running ``fastapi-descope emulator``: what it exports, and its console."""

    process: subprocess.Popen[str]
    exported: dict[str, str]

    def console(self, view: str) -> dict[str, object]:
        """A view of its console."""
        answer = httpx.get(f"{self.exported['DESCOPE_BASE_URL']}/console/api/{view}")
        found: dict[str, object] = answer.json()
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
        token = asyncio.run(
            sign_in(
                started.exported["DESCOPE_BASE_URL"],
                project_id="P2fromTheSeedFileaaaaaaaaaaa",
                user="bill@initech.example",
                tenant="initech",
            )
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
    assert ended.err.startswith("Error: project.toml: sesion_seconds: there is no such key")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(("name", "value"), [("ENVIRONMENT", "production"), ("APP_ENV", "Prod-eu")])
def test_em01_not_in_production(run: Run, variables: Callable[..., None], name: str, value: str) -> None:
    """Where the environment calls itself production there is one clear line, and no socket (EM-01)."""
    variables(**{name: value})
    with socket.create_server(("127.0.0.1", 0)) as taken:  # whoever opened a socket would stumble over it
        ended = run("emulator", "--port", str(taken.getsockname()[1]))
    assert ended == Ended(
        1,
        "",
        f"Error: {name} says that this is production, and the emulator signs in anybody without a password\n",
    )
