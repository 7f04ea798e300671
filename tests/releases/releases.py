"""Two releases of the package: the one in this tree, and the one before it."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deployment.processes import running_server

__all__ = ["PREVIOUS", "ROOT", "previous_release", "run_module", "running_worker"]

ROOT = Path(__file__).parents[2]

PREVIOUS = "8cedba2a5008d04851b38d1e606ed9623842c936"
"""The commit that stands for the release before this one. Each release replaces it by its own tag."""


def previous_release(folder: Path) -> Path:
    """Extract the previous release with its tests. Skips the test in a clone without the history."""
    command = ["git", "archive", PREVIOUS, "fastapi_descope", "tests"]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip(f"this clone has no history with {PREVIOUS}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
        tree.extractall(folder, filter="data")
    imported = run_module(folder, "-c", "import fastapi_descope; print(fastapi_descope.__file__)")
    assert Path(imported.strip()).parents[1] == folder
    return folder


def run_module(release: Path, *arguments: str) -> str:
    """Run Python with the package of a release, and return its output."""
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        env=_variables(release),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running_worker(
    release: Path, port: int, variables: Mapping[str, str], log: Path
) -> Generator["subprocess.Popen[bytes]"]:
    """Run the app of the deployment tests with the package of a release, until the block ends."""
    command = [
        *(sys.executable, "-P", "-m", "uvicorn", "tests.deployment.app:app", "--app-dir", str(release)),
        *("--port", str(port), "--log-level", "warning", "--ws", "websockets-sansio"),
    ]
    with running_server(command, port, {**_variables(release), **variables}, log) as process:
        yield process


def _variables(release: Path) -> dict[str, str]:
    """Return the environment in which the package of a release is imported, and no other."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(release)}
