"""Copies the pages of docs/ and of the root, with links that fit the site, and generated tables."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

__all__ = ["ROOT", "copy_pages"]

ROOT = Path(__file__).parents[1]

_FROM_ROOT = {
    "ARCHITECTURE.md": "internals/architecture.md",
    "CHANGELOG.md": "operations/changelog.md",
    "CONTRIBUTING.md": "internals/contributing.md",
    "SECURITY.md": "operations/security-policy.md",
}
_README = {"README.md": "index.md"}

_LINK = re.compile(r"(!?)\[([^\]]+)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def copy_pages(target: Path, generated: Mapping[str, Callable[[], str]]) -> None:
    """Copy all pages into ``target``, and replace ``<!-- generated: name -->`` by the result of ``name``."""
    shutil.copytree(ROOT / "docs", target)
    for source, page in _FROM_ROOT.items():
        if (ROOT / source).exists():
            shutil.copy(ROOT / source, target / page)
    sources = {page: source for source, page in _FROM_ROOT.items()}
    for path in target.rglob("*.md"):
        page = path.relative_to(target).as_posix()
        text = _MARKER.sub(lambda marker: generated[marker[1]](), path.read_text(encoding="utf-8"))
        path.write_text(_adapt(text, page, sources.get(page, f"docs/{page}")), encoding="utf-8")


def _adapt(text: str, page: str, source: str) -> str:
    """Adapt the links outside code blocks."""
    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(lambda link: _link(link, page, source), part) for part in parts[::2]]
    return "".join(parts)


def _link(link: re.Match[str], page: str, source: str) -> str:
    """Return a link to the page in the site, or the name of a file that the site does not have."""
    image, label, target, anchor = link[1], link[2], link[3], link[4] or ""
    file = normpath(join(dirname(source), target))
    place = (_FROM_ROOT | _README).get(file, file.removeprefix("docs/"))
    if place == file and (ROOT / file).exists():
        return label if label.strip("`") == file else f"{label} (`{file}`)"
    return f"{image}[{label}]({relpath(place, dirname(page) or '.')}{anchor})"
