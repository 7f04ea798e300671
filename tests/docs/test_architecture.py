"""ARCHITECTURE.md lists the modules of the package as they are."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fastapi_descope"


def _listed() -> list[str]:
    """Return the paths of the modules in the listing, from its indentation."""
    listing = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Modules")[1].split("```")[1]
    folders: list[str] = []
    found: list[str] = []
    for line in listing.splitlines():
        entry = re.match(r"( *)([\w/.]+)", line)
        if entry is None:
            continue
        del folders[len(entry[1]) // 4 :]
        if entry[2].endswith("/"):
            folders.append(entry[2])
        else:
            found.append("".join(folders) + entry[2])
    return found


def test_the_listing_names_every_module_once() -> None:
    """Every module outside the emulator is listed with its place, and no other."""
    modules = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    expected = [path for path in modules if not path.endswith("__init__.py") and "emulator/" not in path]

    assert sorted(_listed()) == sorted(expected)


def test_the_stack_is_the_order_that_the_build_enforces() -> None:
    """Each line of the diagram that begins with a name is a level of the contract of the package."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    levels = [re.split(r"  +", line)[0] for line in text.split("```")[1].splitlines() if line[:1].strip()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = (
        each["layers"] for each in contracts["contracts"] if each.get("containers") == ["fastapi_descope"]
    )

    assert levels == layers
