"""Reads the tables of removals: for each rule of the security model, the edits that remove it."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

FOLDER = Path(__file__).parent


class _EditTable(TypedDict):
    file: str
    old: str
    new: str


class _RemovalTable(_EditTable):
    rule: str
    and_also: NotRequired[list[_EditTable]]


class _NotRemovableTable(TypedDict):
    rule: str
    reason: str


class _Tables(TypedDict, total=False):
    removal: list[_RemovalTable]
    not_removable: list[_NotRemovableTable]


@dataclass(frozen=True)
class Edit:
    """A replacement in one file."""

    file: str
    """Relative to the root of the repository."""
    old: str
    new: str

    def applied_to(self, text: str) -> str:
        """Return ``text`` without the rule.

        Raises:
            ValueError: ``old`` does not occur exactly once.
        """
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.file}: occurs {count} times: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Removal:
    """One way to remove a rule, or a part of it, from the code."""

    name: str
    """Rule and place in the file, such as ``TV-02/1``."""
    rule: str
    edits: tuple[Edit, ...]

    def edited(self, root: Path) -> Mapping[Path, str]:
        """Return the text of each file that changes, by its path.

        Raises:
            ValueError: a text to replace does not occur exactly once.
        """
        texts: dict[Path, str] = {}
        for edit in self.edits:
            path = root / edit.file
            texts[path] = edit.applied_to(texts.get(path) or path.read_text(encoding="utf-8"))
        return texts


def _tables() -> list[_Tables]:
    files = sorted(FOLDER.glob("*.toml"))
    return [tomllib.loads(file.read_text(encoding="utf-8")) for file in files]  # type: ignore[misc] # tomllib returns Any


def _edit(table: _EditTable) -> Edit:
    return Edit(table["file"], table["old"], table["new"])


def removals() -> list[Removal]:
    """Return all removals, in the order of the files."""
    count: dict[str, int] = {}
    found: list[Removal] = []
    for table in (table for tables in _tables() for table in tables.get("removal", [])):
        rule = table["rule"]
        count[rule] = count.get(rule, 0) + 1
        edits = (_edit(table), *map(_edit, table.get("and_also", [])))
        found.append(Removal(f"{rule}/{count[rule]}", rule, edits))
    return found


def not_removable() -> Mapping[str, str]:
    """Return the rules that no edit can remove, with the reasons."""
    tables = (table for tables in _tables() for table in tables.get("not_removable", []))
    return {table["rule"]: table["reason"] for table in tables}


def selected(names: list[str]) -> list[Removal]:
    """Return the removals that ``names`` select, or all of them.

    A name is that of a group, a rule or a removal: ``TV``, ``TV-02``, ``TV-02/1``, ``F3``.

    Raises:
        ValueError: a name selects none.
    """
    chosen = [
        removal for removal in removals() if not names or any(_matches(name, removal) for name in names)
    ]
    if unknown := [name for name in names if not any(_matches(name, removal) for removal in chosen)]:
        raise ValueError(f"no removals: {', '.join(unknown)}")
    return chosen


def _matches(name: str, removal: Removal) -> bool:
    group = re.sub(r"-?\d+$", "", removal.rule)
    return name in (group, removal.rule, removal.name)
