"""Runs pytest in copies of the tree, in processes that start with the libraries already imported."""

import multiprocessing
import os
import re
import shutil
import signal
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.helpers.security_model import ROOT
from tests.removals.tables import Removal

# Importing them takes most of the time of a short run.
_LIBRARIES = [
    "pytest",
    "_pytest.pytester",
    "anyio.pytest_plugin",
    "_hypothesis_pytestplugin",
    "schemathesis.pytest.plugin",
    "xdist.plugin",
    "hypothesis",
    "fastapi",
    "fastapi.testclient",
    "httpx",
    "httpx2",
    "uvicorn",
    "jose",
    "cryptography.x509",
    "pydantic_settings",
    "jinja2",
    "opentelemetry.sdk.metrics",
    "opentelemetry.sdk.trace",
    "redis.asyncio",
    "typer",
]
_OURS = ("fastapi_descope", "tests", "example_app")
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".tools", "__pycache__", ".hypothesis", ".*_cache")
_FAILED = re.compile(r"^FAILED (tests/\S+?::(?:\w+::)?test_\w+)(?:\[.*?\])?(?: - (.*))?$", re.MULTILINE)

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(_LIBRARIES)


class NoResultError(Exception):
    """The tests have not ended in time."""


@dataclass(frozen=True)
class Run:
    """The result of a run of pytest."""

    exit_code: int
    output: str

    @property
    def failures(self) -> list[tuple[str, str]]:
        """The node ids of the tests that failed, without parameters, and the reasons."""
        return _FAILED.findall(self.output)


class Copy:
    """A copy of the tree, in which the tests run."""

    def __init__(self, folder: str) -> None:
        self._root = Path(folder) / "tree"
        self._log = Path(folder) / "log"
        shutil.copytree(ROOT, self._root, ignore=_NOT_COPIED, symlinks=True)
        for name in (".venv", ".tools"):
            if (ROOT / name).exists():
                (self._root / name).symlink_to(ROOT / name)

    @contextmanager
    def without(self, removal: Removal) -> Generator[None]:
        """Apply the removal, and restore the files at the end."""
        texts = removal.edited(self._root)
        originals = {path: path.read_text(encoding="utf-8") for path in texts}
        _write(texts)
        try:
            yield
        finally:
            _write(originals)

    def pytest(self, node_ids: Sequence[str], *options: str, timeout: float) -> Run:
        """Run tests for at most ``timeout`` seconds.

        Raises:
            NoResultError: the time was not enough.
        """
        arguments = ["-q", "-p", "no:cacheprovider", "--tb=no", "-rfE", *options, *node_ids]
        process = _processes.Process(target=_run_pytest, args=(self._root, arguments, self._log))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            _kill(process)
            raise NoResultError
        return Run(process.exitcode, self._log.read_text(encoding="utf-8", errors="replace"))


def _write(texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
        # Python compares the size and the whole seconds of a source, and would load the old code.
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
            compiled.unlink()


def _run_pytest(root: Path, arguments: list[str], log: Path) -> None:
    """Run pytest in this process, which has not imported the package yet."""
    os.setsid()
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    # The installed package is the original. With this the copy comes first, also in child processes.
    os.environ |= {"PYTHONPATH": str(root), "COLUMNS": "1000", "HYPOTHESIS_PROFILE": "removals"}
    sys.path.insert(0, str(root))
    sys.dont_write_bytecode = False  # the next run loads what this one has compiled
    for name in [name for name in sys.modules if name.split(".")[0] in _OURS]:
        del sys.modules[name]
    # The libraries' plugins are imported, so their own assertions are not rewritten.
    sys.exit(pytest.main(["-W", "ignore::pytest.PytestAssertRewriteWarning", *arguments]))


def _kill(process: ForkServerProcess) -> None:
    """End the process and those that it started."""
    if process.pid is not None:
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
