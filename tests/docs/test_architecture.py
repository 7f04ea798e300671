"""ARCHITECTURE.md lists the modules of the package as they are."""

import re
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
