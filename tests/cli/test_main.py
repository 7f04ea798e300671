"""The command line: exit statuses, standard output and standard error."""

import importlib
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator, Project
from fastapi_descope.emulator.server import running
from tests.cli.cli_runner import CommandResult, Run, command_runner
from tests.cli.sample_apps import PROJECT

COMMAND = Path(sys.executable).parent / "fastapi-descope"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""
    return command_runner(capsys)


@pytest.fixture(autouse=True)
def _restore_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands change the import path; the change ends with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Return the URL of a running emulator."""
    with running(Emulator()) as url:
        yield url


def test_help(run: Run) -> None:
    """It lists every command in plain text."""
    result = run("--help")
    assert result.status == 0
    listed = result.out.partition("Commands:\n")[2].rstrip("\n").split("\n")
    assert [line.split()[0] for line in listed] == ["init", "emulator", "doctor", "routes", "token"]
    assert result.out.isascii()


def test_an_unknown_command(run: Run) -> None:
    """It is wrong usage: exit status 2, and nothing on standard output."""
    result = run("diagnose")
    assert (result.status, result.out) == (2, "")
    assert "No such command 'diagnose'" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("routes", "shop"), 'Import string "shop" must be in format "<module>:<attribute>".'),
        (("routes", "no_such_module:app"), 'Could not import module "no_such_module".'),
        (
            ("routes", "tests.cli.sample_apps:nope"),
            'Attribute "nope" not found in module "tests.cli.sample_apps".',
        ),
        (
            ("routes", "tests.cli.sample_apps:not_an_app"),
            "tests.cli.sample_apps:not_an_app: expected a FastAPI or Starlette app, found int",
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
            ("token", "issue", "--user", "ada@acme.example", "--base-url", "https://api.descope.com"),
            "The command token issue works only with an emulator, and DESCOPE_BASE_URL is not a loopback URL",
        ),
    ],
)
def test_mistakes(run: Run, arguments: tuple[str, ...], message: str) -> None:
    """A mistake is one line on standard error with exit status 1, never a traceback."""
    assert run(*arguments) == CommandResult(1, "", f"Error: {message}\n")


def test_routes(run: Run) -> None:
    """The route table is printed to standard output."""
    result = run("routes", "tests.cli.sample_apps:shop")
    lines = result.out.splitlines()
    assert (result.status, result.err) == (0, "")
    assert lines[0].split() == ["METHOD", "PATH", "REQUIRES"]
    assert [line.split(maxsplit=2) for line in lines[-2:]] == [
        ["GET", "/about", "public"],
        ["GET", "/admin", "roles admin"],
    ]


def test_routes_check(run: Run) -> None:
    """With --check, a public route that --public does not list fails the command."""
    failed = run("routes", "tests.cli.sample_apps:shop", "--check")
    assert (failed.status, failed.err) == (
        1,
        "Error: GET /about requires no session; protect it, or add --public /about\n",
    )
    passed = run("routes", "tests.cli.sample_apps:shop", "--check", "--public", "/about", "--public", "/x")
    assert (passed.status, passed.err) == (0, "")


def test_routes_check_of_an_app_with_documentation(run: Run) -> None:
    """FastAPI's own documentation has a flag of its own. Endpoints with @public pass."""
    failed = run("routes", "tests.cli.sample_apps:documented", "--check")
    assert failed.status == 1
    assert failed.err.splitlines() == [
        f"Error: GET {path} requires no session; protect it, or add --public-docs"
        for path in ("/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")
    ]
    passed = run("routes", "tests.cli.sample_apps:documented", "--check", "--public-docs")
    assert (passed.status, passed.err) == (0, "")
    assert "/about                 public (@public)" in passed.out


def test_token(run: Run, base_url: str) -> None:
    """Only the token is printed, so that a shell can use the output."""
    result = run("token", "issue", "--user", "ada@acme.example", "--tenant", "globex", "--base-url", base_url)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("eyJ")
    assert (result.out.count("."), result.out.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["DESCOPE_BASE_URL", "DESCOPE_BASE_URI"])
def test_token_with_environment_variables(
    run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The variables that the emulator prints suffice, also under the name that Descope's SDK uses."""
    monkeypatch.setenv(name, base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    assert run("token", "issue", "--user", "grace@acme.example").status == 0


def test_token_of_a_strict_project(run: Run, variables: Callable[..., None]) -> None:
    """The management key and the redirect URL come from the app's own variables."""
    strict = Project(PROJECT, auth_management_key="hush", approved_redirects=("https://app.example.com",))
    with running(Emulator(strict)) as url:
        variables(
            DESCOPE_BASE_URL=url,
            DESCOPE_PROJECT_ID=PROJECT,
            DESCOPE_AUTH_MANAGEMENT_KEY="hush",
            DESCOPE_PUBLIC_URL="https://app.example.com",
        )
        assert run("token", "issue", "--user", "grace@acme.example").status == 0


def test_doctor(run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results and a summary are printed. Warnings do not fail the command."""
    monkeypatch.setenv("DESCOPE_BASE_URL", base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    monkeypatch.setenv("DESCOPE_PUBLIC_URL", "http://localhost:8000")
    result = run("doctor")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "ok    settings    the DESCOPE_* variables are valid"
    assert lines[-2:] == ["", "6 ok, 2 warnings, 0 failed"]


def test_doctor_fails(run: Run) -> None:
    """A failed check gives exit status 1."""
    result = run("doctor")
    assert (result.status, result.err) == (1, "")
    assert result.out.startswith("fail  settings    DESCOPE_PROJECT_ID is missing.")
    assert result.out.endswith("\n0 ok, 0 warnings, 1 failed\n")


def test_doctor_lists_wrong_settings_also_with_an_app(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Although the app cannot be created with them."""
    (tmp_path / "broken_app.py").write_text("from fastapi_descope import Descope\napp = Descope()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DESCOPE_LEEWAY", "-1")
    plain, with_app = run("doctor"), run("doctor", "broken_app:app")
    assert plain == with_app
    assert plain.out.count("fail  settings") == 2


def test_doctor_reports_an_unknown_variable_once_with_an_app(
    run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As a result, so that ``--json`` has it too, and not also as a warning of Python."""
    (tmp_path / "typo_app.py").write_text(
        "from fastapi import FastAPI\nfrom fastapi_descope import Descope\napp = FastAPI()\nDescope(app)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("DESCOPE_BASE_URL", base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    monkeypatch.setenv("DESCOPE_PUBLIC_URL", "https://app.example.com")
    monkeypatch.setenv("DESCOPE_LEEWEY", "1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = run("doctor", "typo_app:app")
    assert "warn  settings    DESCOPE_LEEWEY is not a setting of fastapi_descope" in result.out
    assert not [warning for warning in caught if "DESCOPE_LEEWEY" in str(warning.message)]


def test_doctor_counts_one_warning_in_the_singular(
    run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary is a sentence that people read."""
    monkeypatch.setenv("DESCOPE_BASE_URL", base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    assert run("doctor").out.endswith("\n6 ok, 1 warning, 1 failed\n")


def test_doctor_reports_an_app_that_cannot_be_imported(run: Run) -> None:
    """As one more result, also if the settings are wrong."""
    result = run("doctor", "nowhere:app")
    assert (result.status, result.err) == (1, "")
    assert result.out.splitlines()[-3:] == [
        'fail  app         Could not import module "nowhere".',
        "",
        "0 ok, 0 warnings, 2 failed",
    ]


def test_doctor_of_an_app(run: Run, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app is checked; one without the plugin fails."""
    monkeypatch.setenv("DESCOPE_BASE_URL", base_url)
    monkeypatch.setenv("DESCOPE_PROJECT_ID", DEFAULT_PROJECT_ID)
    result = run("doctor", "tests.cli.sample_apps:bare")
    assert result.status == 1
    assert "fail  middleware  DescopeMiddleware is missing" in result.out


def test_variables_of_a_file(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the environment have precedence."""
    (tmp_path / "env").write_text(f"# ours\nDESCOPE_PROJECT_ID={PROJECT}\nDESCOPE_LEEWAY=-1\n")
    monkeypatch.setenv("DESCOPE_PROJECT_ID", "wrong")
    monkeypatch.setenv("DESCOPE_LEEWAY", "to be restored")
    monkeypatch.delenv("DESCOPE_LEEWAY")
    lines = run("--env-file", str(tmp_path / "env"), "doctor").out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == [
        "fail  settings    DESCOPE_PROJECT_ID",
        "fail  settings    DESCOPE_LEEWAY",
    ]


def test_routes_of_an_app_that_fails(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line, without the text of the error, which may be a secret."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "failing_shop.py").write_text('raise RuntimeError("canary")\n')
    assert run("routes", "failing_shop:app").err == (
        "Error: failing_shop:app raised RuntimeError;"
        " to see the traceback, run: python -c 'import failing_shop'\n"
    )


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without typer, the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "fastapi_descope._cli.main")
    with pytest.raises(SystemExit) as exited:
        importlib.import_module("fastapi_descope._cli.main")
    assert exited.value.code == "fastapi-descope needs typer: pip install 'fastapi-descope[cli]'"


def test_installed_command(tmp_path: Path) -> None:
    """The console script imports apps from the current directory."""
    (tmp_path / "shop.py").write_text("from fastapi import FastAPI\napp = FastAPI(openapi_url=None)\n")
    completed = subprocess.run(
        [COMMAND, "routes", "shop:app"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "METHOD  PATH  REQUIRES\n", "")
