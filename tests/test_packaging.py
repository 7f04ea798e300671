"""The distributions: correct metadata, and a source distribution in which the tests can run."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import fastapi_descope

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILD = PYPROJECT["tool"]["hatch"]

DOCUMENTATION = "https://fastapi-descope.readthedocs.io"

_LINK = re.compile(r"\[[^\]]+\]\((?!https?://)([^)\s]+)\)")


def test_the_classifiers_name_the_python_that_is_tested() -> None:
    """The Python of this run is among the classifiers."""
    versions = [text for text in PYPROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", text)]

    assert f"Programming Language :: Python :: {sys.version_info[0]}.{sys.version_info[1]}" in versions


@pytest.mark.parametrize(
    "name",
    [
        "ARCHITECTURE.md",
        ".dockerignore",
        ".github",
        ".pre-commit-config.yaml",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Dockerfile",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "benchmarks",
        "compose.yaml",
        "docs",
        "docs_site",
        "example_app",
        "fastapi_descope",
        "scripts",
        "tests",
    ],
)
def test_the_source_distribution_contains_what_the_tests_need(name: str) -> None:
    """It contains everything that the tests read, run or check."""
    assert (ROOT / name).exists()
    assert f"/{name}" in BUILD["build"]["targets"]["sdist"]["include"]


def test_the_wheel_contains_only_the_package() -> None:
    """It contains no tests, no example app and no scripts."""
    assert BUILD["build"]["targets"]["wheel"] == {"packages": ["fastapi_descope"]}


def _readme_on_a_package_index() -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for each in BUILD["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        readme = re.sub(each["pattern"], each["replacement"], readme)
    return readme


def test_links_of_the_readme_exist() -> None:
    """A link leads to a file in the repository. On a package index it leads to the documentation instead."""
    files = set(_LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    shown = _readme_on_a_package_index()

    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []
    assert _LINK.search(shown) is None
    assert [file for file in files if _name_on_a_package_index(file) not in shown] == []


def _name_on_a_package_index(file: str) -> str:
    """Return the link to a page or an image of the documentation, or the name of another file."""
    page = file.removeprefix("docs/")
    if page == file:
        return f"`{file}`"
    path = re.sub(r"(^|/)index\.md$", r"\1", page)
    return f"]({DOCUMENTATION}/{re.sub(r'[.]md$', '/', path)})"


def test_the_readme_can_be_read_in_ten_minutes() -> None:
    """Everything else is in the documentation."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_tests_and_scripts_named_in_the_readme_exist() -> None:
    """Each test and each script that the README names exists."""
    named = set(re.findall(r"\b((?:tests|scripts)/[\w/]+(?:\.py)?)", (ROOT / "README.md").read_text("utf-8")))

    assert len(named) > 8
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


def test_the_source_distribution_contains_every_tracked_file() -> None:
    """scripts/release compares both again. A copy without a repository has nothing to compare."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = {f"/{line.partition('/')[0]}" for line in tracked.stdout.splitlines()}
    # Hatchling adds these by itself.
    included = {*BUILD["build"]["targets"]["sdist"]["include"], "/.gitignore", "/pyproject.toml"}

    assert names <= included


def test_the_version_is_in_one_place() -> None:
    """The package reads it from its metadata."""
    version = PYPROJECT["project"]["version"]
    sources = [*(ROOT / "fastapi_descope").rglob("*.py"), ROOT / "README.md", ROOT / "Dockerfile"]

    assert fastapi_descope.__version__ == version
    assert [path.name for path in sources if f"{version}" in path.read_text(encoding="utf-8")] == []
