"""CONTRIBUTING.md names files, scripts and tools that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

_TABLE = TEXT.split("## Where to make a change")[1].split("\n## ")[0]
_ROW = re.compile(r"^\| (a .+?) \| (.+) \|$", re.MULTILINE)
_FILE = re.compile(r"`([\w/]+(?:\.\w+|/))`|`((?:tests|scripts|docs)/[\w/.-]+)`")


def _files(cell: str) -> list[str]:
    return [name for match in _FILE.findall(cell) for name in match if name]


@pytest.mark.parametrize(("change", "cell"), _ROW.findall(_TABLE))
def test_every_file_of_a_change_exists(change: str, cell: str) -> None:
    """A path is relative to the package or to the repository."""
    names = _files(cell)

    assert names, change
    for name in names:
        assert (ROOT / "fastapi_descope" / name).exists() or (ROOT / name).exists(), name


@pytest.mark.parametrize("change", ["setting", "dependency", "endpoint", "event"])
def test_the_common_changes_are_listed(change: str) -> None:
    """Contributors ask for these first."""
    assert re.search(rf"^\| an? {change}\b", _TABLE, re.MULTILINE)


def test_every_script_that_it_names_exists() -> None:
    """Also the two commands that lead to a green run."""
    scripts = set(re.findall(r"scripts/[\w.-]+\b", TEXT))

    assert {"scripts/check", "scripts/test"} <= scripts
    assert [name for name in sorted(scripts) if not (ROOT / name).is_file()] == []


def test_the_table_is_in_one_place() -> None:
    """ARCHITECTURE.md links to it."""
    architecture = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

    assert "(CONTRIBUTING.md#where-to-make-a-change)" in architecture
    assert "| a setting |" not in architecture
