"""The navigation, read from the index pages of the sections.

A list item or a table row of an index page that begins with a link is an entry. Level-2 headings become
groups. A link to the index page of another folder adds the entries of that page.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import dirname, join, normpath

__all__ = ["Entry", "Section", "problems", "sections", "to_toml"]

SECTIONS = {
    "tutorial": "Tutorial",
    "how-to": "How-to",
    "reference": "Reference",
    "explanation": "Explanation",
    "operations": "Operations",
    "internals": "Internals",
}

_LINK = re.compile(r"^(?:[-*] |\d+\. |\| )\[([^\]]+)\]\(([^)#:]+\.md)\)(?:: (.*(?:\n  .*)*))?", re.MULTILINE)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """A page in the navigation. ``path`` is relative to the pages, ``description`` may be empty."""

    title: str
    path: str
    description: str = ""


@dataclass(frozen=True)
class Section:
    """An index page with its entries and groups, in order."""

    title: str
    path: str = ""
    items: list["Entry | Section"] = field(default_factory=list["Entry | Section"])

    def entries(self) -> Iterator[Entry]:
        """Return all entries, also those of groups."""
        for item in self.items:
            if isinstance(item, Section):
                if item.path:
                    yield Entry(item.title, item.path)
                yield from item.entries()
            else:
                yield item


def sections(pages: Path) -> list[Section]:
    """Return the sections that have an index page."""
    return [
        _section(pages, title, f"{folder}/index.md")
        for folder, title in SECTIONS.items()
        if (pages / folder / "index.md").exists()
    ]


def problems(pages: Path) -> list[str]:
    """Return the pages that do not have exactly one entry, and the entries without a page."""
    found = sections(pages)
    listed = Counter(entry.path for section in found for entry in section.entries())
    listed.update(["index.md", *(section.path for section in found)])
    existing = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    return [
        *(f"docs/{page}: no entry in an index.md" for page in sorted(existing - listed.keys())),
        *(f"docs/{page}: has an entry, but does not exist" for page in sorted(listed.keys() - existing)),
        *(f"docs/{page}: {count} entries" for page, count in listed.items() if count > 1),
    ]


def to_toml(found: list[Section]) -> str:
    """Return the value of ``nav`` in the configuration."""
    return f'[{{ "Home" = "index.md" }}, {", ".join(_toml(section) for section in found)}]'


def _section(pages: Path, title: str, path: str) -> Section:
    section = Section(title, path)
    heading, *groups = _HEADING.split((pages / path).read_text(encoding="utf-8"))
    section.items.extend(_entries(pages, path, heading))
    for name, text in zip(groups[::2], groups[1::2], strict=True):
        if items := list(_entries(pages, path, text)):
            section.items.append(Section(name, items=items))
    return section


def _entries(pages: Path, index: str, text: str) -> Iterator[Entry | Section]:
    for title, target, description in _LINK.findall(text):
        path, name = normpath(join(dirname(index), target)), title.replace("`", "")
        if path.endswith("/index.md") and path != index:
            yield _section(pages, name, path)
        else:
            yield Entry(name, path, " ".join(description.split()))


def _toml(item: Entry | Section) -> str:
    if isinstance(item, Entry):
        return f'{{ "{item.title}" = "{item.path}" }}'
    inner = [f'"{item.path}"'] if item.path else []
    return f'{{ "{item.title}" = [{", ".join([*inner, *map(_toml, item.items)])}] }}'
