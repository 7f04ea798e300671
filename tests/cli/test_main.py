"""The command line: exit statuses, and which stream says what."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator, Project
from fastapi_descope.emulator.server import running
from tests.helpers.cli_runner import CommandResult, Run, command_runner
from tests.helpers.sample_apps import PROJECT

COMMAND = Path(sys.executable).parent / "fastapi-descope"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""
    return command_runner(capsys)


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
            ("doctor", "--app", "tests.helpers.sample_apps:nope"),
            'Attribute "nope" not found in module "tests.helpers.sample_apps".',
        ),
        (
            ("routes", "tests.helpers.sample_apps:not_an_app"),
            "tests.helpers.sample_apps:not_an_app: expected a FastAPI or Starlette app, found int",
        ),
        (
            ("emulator", "--project", "demo"),
            "--project: expected P, then 20 to 64 letters and digits",
        ),
        (
            ("emulator", "--host", "192.168.0.1"),
            (
                "the emulator signs in any user without a password, so it listens only on"
                " 127.0.0.1, localhost, ::1, not on '192.168.0.1'"
            ),
        ),
        (
            ("emulator", "--seed", "no_such_file.toml"),
            "no_such_file.toml: cannot be read: No such file or directory",
        ),
        (("emulator", "--seed", ""), ".: expected a file, not a directory"),
        (
            ("token", "--user", "ada@acme.example", "--base-url", "https://api.descope.com"),
            "Only the emulator gives tokens away, and DESCOPE_BASE_URL does not point to this machine",
        ),
    ],
)
def test_mistakes(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    """A mistake is one sentence on standard error and status 1, never a traceback."""
    assert run(*arguments) == CommandResult(1, "", f"Error: {sentence}\n")


def test_routes(run: Run) -> None:
    """The table on standard output."""
    ended = run("routes", "tests.helpers.sample_apps:shop")
    lines = ended.out.splitlines()
    assert (ended.status, ended.err) == (0, "")
    assert lines[0].split() == ["METHOD", "PATH", "REQUIRES"]
    assert [line.split(maxsplit=2) for line in lines[-2:]] == [
        ["GET", "/about", "public"],
        ["GET", "/admin", "roles admin"],
    ]


def test_routes_check(run: Run) -> None:
    """With --check a public route fails the command, unless it is named."""
    failed = run("routes", "tests.helpers.sample_apps:shop", "--check")
    assert (failed.status, failed.err) == (1, "Error: anybody gets in: GET /about\n")
    passed = run(
        "routes", "tests.helpers.sample_apps:shop", "--check", "--public", "/about", "--public", "/x"
    )
    assert (passed.status, passed.err) == (0, "")


def test_token(run: Run, base_url: str) -> None:
    """Standard output is the token and nothing else, so that a shell can use it."""
    ended = run("token", "--user", "ada@acme.example", "--tenant", "globex", "--base-url", base_url)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("eyJ")
    assert (ended.out.count("."), ended.out.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["DESCOPE_BASE_URL", "DESCOPE_BASE_URI"])
def test_token_by_environment(run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The variables that the emulator prints are all that it takes, also as Descope's SDK names them."""
    monkeypatch.setenv(name, base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    assert run("token", "--user", "grace@acme.example").status == 0


def test_token_of_a_strict_project(run: Run, variables: Callable[..., None]) -> None:
    """Its key and the address of its app come from the variables that the app has, too."""
    strict = Project(PROJECT, auth_management_key="hush", approved_redirects=("https://app.example.com",))
    with running(Emulator(strict)) as url:
        variables(
            DESCOPE_BASE_URL=url,
            DESCOPE_PROJECT_ID=PROJECT,
            DESCOPE_AUTH_MANAGEMENT_KEY="hush",
            DESCOPE_PUBLIC_URL="https://app.example.com",
        )
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
    ended = run("doctor", "--app", "tests.helpers.sample_apps:bare")
    assert ended.status == 1
    assert "fail  middleware  DescopeMiddleware is missing" in ended.out


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where typer is not installed, one sentence names the extra."""
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "fastapi_descope._cli.main")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("fastapi_descope._cli.main")
    assert ended.value.code == "fastapi-descope needs typer: pip install 'fastapi-descope[cli]'"


def test_installed_command(tmp_path: Path) -> None:
    """The entry point looks for apps from the current directory on."""
    (tmp_path / "shop.py").write_text("from fastapi import FastAPI\napp = FastAPI(openapi_url=None)\n")
    ended = subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "routes", "shop:app"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "METHOD  PATH  REQUIRES\n", "")
