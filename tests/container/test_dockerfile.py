"""The steps of the Dockerfile, run in a root file system of their own, at the paths that it names."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.dockerfile import Ignored, exec_form, read_stages
from tests.container.image import Image
from tests.container.sandbox import Network, Sandbox, network

pytestmark = pytest.mark.container

PROJECT = "P" + "a" * 27


@pytest.fixture(scope="module")
def app(images: dict[str, Image]) -> Image:
    """Return the image of the app, which is the last stage."""
    return list(images.values())[-1]


@pytest.fixture
def private_network() -> Iterator[Network]:
    """Return a network without other processes, so that the app gets the port that the Dockerfile names."""
    with network() as private:
        yield private


def _sandbox(app: Image, private: Network | None = None) -> Sandbox:
    """Return a sandbox in which nothing can be written outside of the volume, not even in /tmp."""
    variables = {"DESCOPE_PROJECT_ID": PROJECT, "DESCOPE_PUBLIC_URL": "http://localhost:8000"}
    return Sandbox(
        app.root,
        app.variables | variables,
        app.workdir,
        app.user,
        read_only=True,
        tmpfs=app.volumes,
        network=private,
    )


@pytest.mark.nightly
def test_the_image_contains_the_app_without_its_tests(app: Image) -> None:
    """The app needs nothing else in its folder."""
    names = sorted(path.name for path in app.path("/app").iterdir())
    parts = {path.name for path in app.path("example_app").rglob("*")}

    assert names == ["example_app"]
    assert {"app.py", "home.html", "style.css"} <= parts
    assert not {"tests", "__pycache__", "conftest.py"} & parts


@pytest.mark.nightly
def test_the_image_contains_the_installed_wheel_and_neither_source_nor_pip(app: Image) -> None:
    """The build stage stays behind. The extra for Redis is installed, those for tools are not."""
    packages = {path.name for path in app.path("/venv/lib").glob("python*/site-packages/*")}

    assert {"fastapi_descope", "redis", "sqlalchemy", "psycopg", "uvicorn", "jinja2"} <= packages
    assert not {"pip", "typer", "pytest"} & packages
    assert not app.path("/src").exists()
    assert not list(app.path("/venv/bin").glob("pip*"))


@pytest.mark.nightly
def test_the_app_starts_in_a_read_only_file_system(
    app: Image, private_network: Network, tmp_path: Path
) -> None:
    """It runs as an unprivileged user, the health check succeeds, and SIGTERM ends it."""
    sandbox = _sandbox(app, private_network)
    assert app.user == "10001:10001"

    with sandbox.running(app.command, tmp_path / "app.log") as process:
        while (check := sandbox.run(app.healthcheck)).returncode != 0:
            assert process.supervisor.poll() is None, (tmp_path / "app.log").read_text()
        status = process.stop(signal.SIGTERM, seconds=60)

    assert (check.stdout, check.stderr) == ("", "")
    assert status == 0, (tmp_path / "app.log").read_text()
    assert sandbox.run(app.healthcheck).returncode == 1


@pytest.mark.nightly
@pytest.mark.parametrize("folder", ["/app", "/app/example_app", "/venv", "/", "/tmp"])  # noqa: S108 - in the sandbox
def test_the_process_can_write_nowhere(app: Image, folder: str) -> None:
    """Also not in the folder of the temporary files: the app needs none."""
    done = _sandbox(app).run(["python", "-c", f"open('{folder}/file', 'w')"])

    assert done.stderr.endswith(f"OSError: [Errno 30] Read-only file system: '{folder}/file'\n")


@pytest.mark.nightly
def test_the_process_has_no_capability_and_gets_none(app: Image) -> None:
    """As with ``--cap-drop ALL`` and ``no-new-privileges``."""
    done = _sandbox(app).run(["grep", "-E", "^(CapEff|CapBnd|NoNewPrivs)", "/proc/self/status"])
    lines = dict(line.split(":\t") for line in done.stdout.splitlines())

    assert int(lines["CapEff"], 16) == 0
    assert lines["NoNewPrivs"] == "1"


def test_an_unknown_instruction_is_an_error() -> None:
    """The walk would leave it out otherwise."""
    with pytest.raises(ValueError, match="unknown instruction: ADD x y"):
        read_stages("FROM python:3.13-slim\nADD x y\n")


def test_a_command_in_the_form_of_a_shell_line_is_an_error() -> None:
    """The shell would be process 1 and would not pass on SIGTERM."""
    with pytest.raises(ValueError, match="substring not found"):
        exec_form("uvicorn example_app.app:app")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pyproject.toml", False),
        ("fastapi_descope/plugin.py", False),
        ("fastapi_descope/_web/__pycache__/x.pyc", True),
        ("example_app/app.py", False),
        ("example_app/tests/conftest.py", True),
        ("example_app/.env", True),
        (".git/config", True),
        (".env", True),
        ("tests/conftest.py", True),
    ],
)
def test_the_build_context_contains_what_the_image_is_made_of(path: str, *, expected: bool) -> None:
    """The last rule of .dockerignore that matches a path or its parent decides."""
    rules = Path(__file__).parents[2] / ".dockerignore"

    assert Ignored(rules.read_text(encoding="utf-8"))(Path(path)) is expected
