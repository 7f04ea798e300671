"""Runs the Python files of a page of the documentation."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.docs_page import DOCS, Command, SignIn, continued, pages, states, steps

__all__ = [
    "GUIDE_IN_WHEEL",
    "environment",
    "is_test",
    "names",
    "page_id",
    "pages_with_files",
    "run_python",
    "walked_pages",
]

GUIDE_IN_WHEEL = DOCS.parent / "fastapi_descope" / "llms.txt"


def is_test(name: str) -> bool:
    """Return whether pytest runs a file of this name."""
    return Path(name).name.startswith("test_")


def names(files: Mapping[str, str], *, tests: bool) -> list[str]:
    """Return the names of the Python files that are tests, or of those that are not."""
    return [name for name in files if name.endswith(".py") and is_test(name) is tests]


def pages_with_files(*, tests: bool) -> list[Path]:
    """Return the pages that show such files."""
    return [
        page
        for page in [*pages(), GUIDE_IN_WHEEL]
        if any(names(files, tests=tests) for files in states(page))
    ]


def walked_pages() -> list[Path]:
    """Return the pages with commands or sign-ins, except those with which others begin."""
    return [
        page
        for page in sorted({*pages()} - continued())
        if any(isinstance(step, (Command, SignIn)) for step in steps(page))
    ]


def page_id(page: Path) -> str:
    """Return the id of a page in the names of tests."""
    return page.relative_to(DOCS).with_suffix("").as_posix() if page.is_relative_to(DOCS) else page.name


def environment() -> dict[str, str]:
    """Return the variables of this process without those of pytest and coverage, and with our commands."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def run_python(folder: Path, files: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run Python with warnings as errors in a folder with these files; return exit status and output."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
