"""The files of the how-to guides run unchanged in an empty folder.

The first line of a Python or TOML block names its file (``# main.py``).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = sorted(HOW_TO.glob("*.md"))

_BLOCK = re.compile(r"^```(?:python|toml)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"# ([\w/]+\.(?:py|toml))\n")


def _files(page: Path) -> dict[str, str]:
    """Return the text of each file on a page, by name."""
    files: dict[str, str] = {}
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        name = _NAME.match(block)
        assert name, f"{page.name}: a block without the name of its file:\n{block}"
        assert name[1] not in files, f"{page.name}: {name[1]} occurs twice"
        files[name[1]] = block
    return files


def _run(folder: Path, page: Path, *arguments: str) -> tuple[int, str]:
    """Run Python with warnings as errors in a folder with the files of the page."""
    for name, text in _files(page).items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def _is_test(name: str) -> bool:
    return Path(name).name.startswith("test_")


def _names(page: Path, *, tests: bool) -> list[str]:
    return [name for name in _files(page) if name.endswith(".py") and _is_test(name) is tests]


def _pages(*, tests: bool) -> list[Path]:
    return [page for page in PAGES if _names(page, tests=tests)]


@pytest.mark.parametrize("page", _pages(tests=False), ids=lambda page: page.stem)
def test_the_modules_of_a_page_can_be_imported(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a project id is set in the environment."""
    monkeypatch.setenv("DESCOPE_PROJECT_ID", "P" + "a" * 27)
    modules = [name.removesuffix(".py").replace("/", ".") for name in _names(page, tests=False)]

    assert _run(tmp_path, page, "-c", f"import {', '.join(modules)}") == (0, "")


@pytest.mark.parametrize("page", _pages(tests=True), ids=lambda page: page.stem)
def test_the_tests_of_a_page_pass(page: Path, tmp_path: Path) -> None:
    """All of them, with the configuration of the page."""
    tests = sum(text.count("def test_") for name, text in _files(page).items() if _is_test(name))

    status, output = _run(tmp_path, page, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-q")

    assert status == 0, output
    assert re.search(rf"^{tests} passed in ", output, re.MULTILINE), output
