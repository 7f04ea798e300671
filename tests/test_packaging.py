"""What is handed out: metadata that is true, and a source distribution that its own tests run in."""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILD = PYPROJECT["tool"]["hatch"]

_LINK = re.compile(r"\[[^\]]+\]\((?!https?://)([^)\s]+)\)")


def test_the_classifiers_name_the_python_that_is_tested() -> None:
    """Of each version that is named some run has been green, this one for instance."""
    versions = [text for text in PYPROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", text)]

    assert f"Programming Language :: Python :: {sys.version_info[0]}.{sys.version_info[1]}" in versions


@pytest.mark.parametrize(
    "name",
    [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "benchmarks",
        "docs",
        "example_app",
        "fastapi_descope",
        "scripts",
        "tests",
    ],
)
def test_the_source_distribution_holds_what_the_tests_want(name: str) -> None:
    """With the tests comes all that they read, run or check."""
    assert (ROOT / name).exists()
    assert f"/{name}" in BUILD["build"]["targets"]["sdist"]["include"]


def test_the_wheel_holds_the_package_alone() -> None:
    """No tests, no example app, no scripts."""
    assert BUILD["build"]["targets"]["wheel"] == {"packages": ["fastapi_descope"]}


def test_links_of_the_readme_lead_somewhere() -> None:
    """In the repository to a file; on a package index, which has none, the file is named instead."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files = set(_LINK.findall(readme))
    shown = readme
    for each in BUILD["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(each["pattern"], each["replacement"], shown)

    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []
    assert _LINK.search(shown) is None
    assert [file for file in files if f"`{file}`" not in shown] == []


def test_what_the_readme_tells_to_run_is_there() -> None:
    """Each test and each script by its path."""
    named = set(re.findall(r"\b((?:tests|scripts)/[\w/]+(?:\.py)?)", (ROOT / "README.md").read_text("utf-8")))

    assert len(named) > 8
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []
