"""The pages of the documentation do what they say: docs/internals/docs.md describes the convention."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.helpers.docs_page import DOCS, Command, SignIn, continued, hidden_blocks, pages, states, steps
from tests.helpers.docs_walk import Walk, contains

ROOT = DOCS.parent
TUTORIAL = DOCS / "tutorial"
GUIDE_IN_WHEEL = ROOT / "fastapi_descope" / "llms.txt"


def _is_test(name: str) -> bool:
    return Path(name).name.startswith("test_")


def _names(files: Mapping[str, str], *, tests: bool) -> list[str]:
    return [name for name in files if name.endswith(".py") and _is_test(name) is tests]


def _pages(*, tests: bool) -> list[Path]:
    return [
        page
        for page in [*pages(), GUIDE_IN_WHEEL]
        if any(_names(files, tests=tests) for files in states(page))
    ]


def _walked() -> list[Path]:
    return [
        page
        for page in sorted({*pages()} - continued())
        if any(isinstance(step, (Command, SignIn)) for step in steps(page))
    ]


def _id(page: Path) -> str:
    return page.relative_to(DOCS).with_suffix("").as_posix() if page.is_relative_to(DOCS) else page.name


def _environment() -> dict[str, str]:
    """Return the variables of this process without those of pytest and coverage, and with our commands."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def _run(folder: Path, files: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run Python with warnings as errors in a folder with the files."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_no_block_escapes_the_tests() -> None:
    """Each block has a language and starts at the margin, and each command is in a ``console`` block."""
    texts = {page: page.read_text(encoding="utf-8") for page in [*pages(), GUIDE_IN_WHEEL]}

    assert {_id(page): found for page, text in texts.items() if (found := hidden_blocks(text))} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```console\n$ pip install x\n```\n", []),
        ("```json\n{}\n```\ntext\n```text\nx\n```\n", []),
        ("```\npip install x\n```\n", ["```"]),
        ("```sh\npip install x\n```\n", ["```sh"]),
        ("```shell-session\n```\n", ["```shell-session"]),
        ("- item\n\n  ```python\n  x\n  ```\n", ["  ```python"]),
        ("~~~python\nx\n~~~\n", ["~~~python"]),
        ("```text\n$ pip install x\n```\n", ["$ pip install x"]),
        ("    $ pip install x\n", ["    $ pip install x"]),
        ("```python\nx\n", ["a block without an end"]),
    ],
)
def test_a_block_that_is_not_executed_is_found(text: str, found: list[str]) -> None:
    """A block that the tests of this module would overlook."""
    assert hidden_blocks(text) == found


@pytest.mark.parametrize("page", _pages(tests=False), ids=_id)
def test_the_modules_of_a_page_can_be_imported(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every state of the files that the page shows. Only a project id is set in the environment."""
    monkeypatch.setenv("DESCOPE_PROJECT_ID", "P" + "a" * 27)
    for number, files in enumerate(states(page)):
        modules = [name.removesuffix(".py").replace("/", ".") for name in _names(files, tests=False)]
        folder = tmp_path / str(number)
        folder.mkdir()

        assert _run(folder, files, "-c", f"import {', '.join(['sys', *modules])}") == (0, "")


@pytest.mark.parametrize("page", _pages(tests=True), ids=_id)
def test_the_tests_of_a_page_pass(page: Path, tmp_path: Path) -> None:
    """All of them, with the configuration of the page."""
    files = states(page)[-1]
    tests = sum(text.count("def test_") for name, text in files.items() if _is_test(name))

    status, output = _run(tmp_path, files, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", "-q")

    assert status == 0, output
    passed = tests or "[1-9][0-9]*"  # a page without tests of its own runs those of the testing kit
    assert re.search(rf"^{passed} passed in ", output, re.MULTILINE), output


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    """A reader of a page outside the tutorial, who has installed everything."""
    folder = tmp_path / "page"
    folder.mkdir()
    walk = Walk(folder, _environment() | {"DESCOPE_PROJECT_ID": "P" + "a" * 27}, installs=False)
    yield walk
    walk.close()


@pytest.mark.parametrize("page", [page for page in _walked() if page.parent != TUTORIAL], ids=_id)
def test_the_commands_of_a_page_do_what_it_says(page: Path, walk: Walk) -> None:
    """In order, with the files that the page has shown so far."""
    for step in steps(page):
        walk.take(step)


@pytest.fixture(scope="module")
def pip_variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for pip: the pins of the repository, and a wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)  # noqa: S603 - a tool of the checkout
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"].get(
        "constraint-dependencies",
        [],  # scripts/matrix removes the pins
    )
    (folder / "pins.txt").write_text("\n".join(pins), encoding="utf-8")
    links = f"{os.environ.get('PIP_FIND_LINKS', '')} {folder}".strip()
    return {"PIP_CONSTRAINT": str(folder / "pins.txt"), "PIP_FIND_LINKS": links}


@pytest.mark.parametrize("page", [page for page in _walked() if page.parent == TUTORIAL], ids=_id)
def test_the_tutorial_can_be_followed_in_an_empty_environment(
    page: Path, pip_variables: dict[str, str], tmp_path: Path
) -> None:
    """The reader has a plain Python and no package; pip takes ours from a wheel."""
    folder = tmp_path / "page"
    folder.mkdir()
    ours = Path(sys.executable).parent
    others = [each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != ours]
    path = os.pathsep.join([str(Path(sys.base_prefix) / "bin"), *others])
    walk = Walk(folder, _environment() | pip_variables | {"PATH": path}, installs=True)
    try:
        for step in steps(page):
            walk.take(step)
    finally:
        walk.close()

    (installed,) = folder.rglob("site-packages/fastapi_descope/errors.py")
    assert installed.with_name("llms.txt").is_file()
    assert installed.read_bytes() == (ROOT / "fastapi_descope" / "errors.py").read_bytes()


@pytest.mark.parametrize(
    ("output", "lines", "expected"),
    [
        ("a\nb\nc\n", "a\nc", True),
        ("a\nb\n", "b\na", False),
        ('{"user":"U1","tenant":"acme"}', '{"user": "...",\n "tenant": "acme"}', True),
        ("GET   /me   signed in", "GET /me signed in", True),
        ("x one y\n", "x ... z", False),
        ("x 1.5 (y)\n", "x 1.5 (y)", True),
        ("x 135 (y)\n", "x 1.5 (y)", False),
    ],
)
def test_output_is_compared_loosely(output: str, lines: str, *, expected: bool) -> None:
    """By order and words, not by white space."""
    assert contains(output, lines) is expected
