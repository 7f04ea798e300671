"""The page on compatibility says what the package's metadata says."""

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "compatibility.md").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_dependency_has_a_row_with_its_lowest_version() -> None:
    """Users choose versions by this table."""
    extras = (needed for extra in PROJECT["optional-dependencies"].values() for needed in extra)
    packages = {
        each for each in (*PROJECT["dependencies"], *extras) if not each.startswith(f"{PROJECT['name']}[")
    }
    wanted = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)", "\n".join(packages), re.MULTILINE))

    assert dict(re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE)) == wanted
    assert len(wanted) == len(packages)


def test_every_python_of_the_classifiers_is_tested() -> None:
    """A version without a run of its own is not claimed."""
    (row,) = re.findall(r"^\| ([\d., ]+) \| by `scripts/matrix` \|", PAGE, re.MULTILINE)
    claimed = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)

    assert row.split(", ") == claimed
    assert PROJECT["requires-python"] == f">={claimed[0]}"
