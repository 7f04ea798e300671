"""``init``: the written project is a real one, which runs, passes its test and the linters."""

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fastapi_descope.emulator.client import submit_login_form
from tests.cli.cli_runner import CommandResult, Run, command_runner

BIN = Path(sys.executable).parent
FILES = {"main.py", "test_main.py", "seed.toml", ".env", ".env.example", "pyproject.toml", ".gitignore"}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in this process."""
    return command_runner(capsys)


def clean_environment() -> dict[str, str]:
    """Return the environment of a user's terminal."""
    ours = ("DESCOPE_", "PYTEST_", "COV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def execute(folder: Path, *command: str) -> str:
    """Run a command of the environment in a folder, and return its output."""
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@contextmanager
def server(folder: Path, pattern: str, *command: str, **variables: str) -> Generator[str]:
    """Run a server, and yield the URL in its output."""
    with subprocess.Popen(
        [BIN / command[0], *command[1:]],
        cwd=folder,
        env={**clean_environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            found = (re.search(pattern, line) for line in process.stdout)
            yield next(match[1] for match in found if match)
        finally:
            process.terminate()


def test_the_files(run: Run, tmp_path: Path) -> None:
    """All files are new, .env is private, and the next commands are printed."""
    folder = tmp_path / "new" / "app"
    result = run("init", str(folder))
    assert (result.status, result.err) == (0, "")
    assert {path.name for path in folder.iterdir()} == FILES
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    assert f"  cd {folder}\n" in result.out
    assert "fastapi-descope emulator --seed seed.toml" in result.out


def test_the_current_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the default, and needs no cd."""
    monkeypatch.chdir(tmp_path)
    result = run("init")
    assert result.status == 0
    assert result.out.splitlines()[0] == "wrote main.py"
    assert "  cd " not in result.out


def test_nothing_is_overwritten(run: Run, tmp_path: Path) -> None:
    """Not even a dangling link, and no other file is written."""
    (tmp_path / "main.py").write_text("mine")
    (tmp_path / ".env").symlink_to("nowhere")
    assert run("init", str(tmp_path)) == CommandResult(
        1, "", f"Error: {tmp_path} has main.py, .env already; choose an empty folder\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"main.py", ".env"}
    assert (tmp_path / "main.py").read_text() == "mine"


def test_a_folder_that_cannot_be_created(run: Run, tmp_path: Path) -> None:
    """The error is one line."""
    (tmp_path / "file").write_text("")
    assert run("init", str(tmp_path / "file")) == CommandResult(
        1, "", f"Error: {tmp_path / 'file'} cannot be written: File exists\n"
    )


def test_the_tests_of_the_project_pass(run: Run, tmp_path: Path) -> None:
    """With warnings as errors, and no variable."""
    run("init", str(tmp_path))
    output = execute(tmp_path, "python", "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-q")
    assert "4 passed" in output


def test_the_project_passes_the_linters(run: Run, tmp_path: Path) -> None:
    """The rules of this repository, and mypy in strict mode."""
    run("init", str(tmp_path))
    execute(tmp_path, "ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml"), ".")
    rules = ("--config", str(ROOT / "pyproject.toml"), "--ignore", "INP001,S101,PLR2004")
    execute(tmp_path, "ruff", "check", "--no-cache", *rules, ".")
    execute(tmp_path, "mypy", "--strict", "--cache-dir", os.devnull, "main.py", "test_main.py")


def test_the_routes_of_the_project_are_protected(run: Run, tmp_path: Path) -> None:
    """Each route needs a session or has @public."""
    run("init", str(tmp_path))
    execute(tmp_path, "fastapi-descope", "--env-file", ".env", "routes", "main:app", "--check")


def test_a_user_signs_in_to_the_project(run: Run, tmp_path: Path) -> None:
    """The app under uvicorn, and the emulator with the users of seed.toml, as the printed commands say."""
    run("init", str(tmp_path))
    emulator = ("fastapi-descope", "emulator", "--seed", "seed.toml", "--port", "0")
    app = ("uvicorn", "main:app", "--env-file", ".env", "--port", "0")
    with server(tmp_path, r"URL +(http://\S+)", *emulator) as api:
        # The ports of .env may be in use here. Variables have precedence over it.
        variables = {"DESCOPE_BASE_URL": api, "DESCOPE_PUBLIC_URL": "http://127.0.0.1:1"}
        with (
            server(tmp_path, r"running on (http://\S+)", *app, **variables) as url,
            httpx.Client(base_url=url, follow_redirects=False) as browser,
        ):
            assert 'href="/login/sso?return_to=/me"' in browser.get("/").text
            # The public URL is another one: the browser follows the redirect to it at the real port.
            login = browser.get("/login/sso?tenant=acme&return_to=/me", headers={"host": "127.0.0.1:1"})
            page = browser.get(login.headers["location"])
            form = submit_login_form(page.text, "grace@acme.example")
            callback = browser.post(page.url, data=dict(form)).headers["location"]
            signed_in = browser.get(
                callback.removeprefix("http://127.0.0.1:1"), headers={"host": "127.0.0.1:1"}
            )
            assert signed_in.headers["location"] == "/me"
            assert browser.get("/me").json() == {
                "email": "grace@acme.example",
                "tenant": "acme",
                "roles": ["viewer"],
            }
