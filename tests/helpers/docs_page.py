"""The steps of a page of the documentation: docs/internals/docs.md describes the convention."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = [
    "DOCS",
    "Command",
    "File",
    "Press",
    "SignIn",
    "Step",
    "continued",
    "hidden_blocks",
    "pages",
    "states",
    "steps",
]

DOCS = Path(__file__).parents[2] / "docs"

REASONS = {"docker", "deployment", "project", "checkout"}
_MUST_BE_FILES = {"python", "toml"}
_SHELLS = {"bash", "sh", "shell", "zsh", "fish", "shell-session", "shellsession", "powershell", "bat"}

_FENCE = re.compile(r"^(?:<!-- ([^\n]*) -->\n+)?```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FENCE_LINE = re.compile(r" *(?:`{3,}|~{3,})")
_OPENING = re.compile(r"```([\w-]+)")
_PROMPT = re.compile(r" *\$ ")
_CONTINUES = re.compile(r"<!-- continues: (\S+) -->")
_IN_BROWSER = re.compile(r"<!-- (?:sign in: (\S+) as (\S+) at (\S+)|press: (.+?) at (\S+)) -->")
_NAME = re.compile(r"(?:#|//|/\*|<!--) ([\w./-]+\.\w+)( \(continued\))?(?: \*/| -->)?\n")


@dataclass(frozen=True)
class File:
    """A file that the page shows."""

    name: str
    text: str
    is_continued: bool


@dataclass(frozen=True)
class Command:
    """A command, the lines of its output, and its exit status."""

    line: str
    output: str
    status: int = 0


@dataclass(frozen=True)
class SignIn:
    """A sign-in in a browser, and the lines that the last page has."""

    url: str
    user: str
    tenant: str
    output: str


@dataclass(frozen=True)
class Press:
    """A button on a page in a browser, and the lines that the last page has."""

    url: str
    button: str
    output: str


Step = File | Command | SignIn | Press


def pages() -> list[Path]:
    """Return all pages of the documentation."""
    return sorted(DOCS.rglob("*.md"))


def continued() -> set[Path]:
    """Return the pages that another page continues, so that it walks them."""
    texts = [(page, _CONTINUES.match(page.read_text(encoding="utf-8"))) for page in pages()]
    return {page.parent / earlier[1] for page, earlier in texts if earlier}


@cache
def steps(page: Path) -> tuple[Step, ...]:
    """Return the steps of a page, in order, after those of the page that it continues."""
    text = page.read_text(encoding="utf-8")
    earlier = _CONTINUES.match(text)
    return (*(steps(page.parent / earlier[1]) if earlier else ()), *_steps(page, text))


def hidden_blocks(text: str) -> list[str]:
    """Return the lines of blocks that ``steps`` overlooks, and of commands outside ``console`` blocks."""
    found: list[str] = []
    language: str | None = None  # of the block, or None outside of a block
    for line in text.splitlines():
        is_fence = _FENCE_LINE.match(line) is not None
        if is_fence and language is None:
            opening = _OPENING.match(line)
            language = opening[1] if opening else ""
            found += [line] if language in {"", *_SHELLS} else []
        elif is_fence:
            language = None
        elif language != "console" and _PROMPT.match(line):
            found.append(line)
    return found if language is None else [*found, "a block without an end"]


def _steps(page: Path, text: str) -> Iterator[Step]:
    position = 0
    for block in _FENCE.finditer(text):
        between = text[position : block.start()] + (f"<!-- {block[1]} -->" if block[1] else "")
        position = block.end()
        is_result = block[2] in {"json", "text"}
        yield from _in_browser(between, block[3] if is_result else "")
        if block[2] == "console":
            yield from _commands(page, block[1] or "", block[3])
        elif not is_result:
            yield from _file(page, block[2], block[3])


def _in_browser(text: str, output: str) -> Iterator[SignIn | Press]:
    """Yield the steps in a browser. The last one leads to a page with the lines of ``output``."""
    found = list(_IN_BROWSER.finditer(text))
    for step in found:
        lines = output if step is found[-1] else ""
        yield Press(step[5], step[4], lines) if step[4] else SignIn(step[1], step[2], step[3], lines)


def _commands(page: Path, comment: str, text: str) -> Iterator[Command]:
    kind, _, value = comment.partition(": ")
    if kind == "not executed":
        assert value in REASONS, f"{page.name}: {value} is no reason to execute no command"
        return
    parts = re.split(r"^\$ ", text.replace("\\\n", ""), flags=re.MULTILINE)
    assert not parts[0], f"{page.name}: a console block that does not begin with a command:\n{text}"
    last = len(parts) - 1
    for number, part in enumerate(parts[1:], start=1):
        line, _, output = part.partition("\n")
        status = int(value) if kind == "exit status" and number == last else 0
        yield Command(line, output, status)


def _file(page: Path, language: str, text: str) -> Iterator[File]:
    name = _NAME.match(text)
    assert name or language not in _MUST_BE_FILES, (
        f"{page.name}: a block without the name of its file:\n{text}"
    )
    if name:
        yield File(name[1], text, bool(name[2]))


def states(page: Path) -> list[dict[str, str]]:
    """Return the files of a page each time before one of them changes, and at the end, by name."""
    found: list[dict[str, str]] = [{}]
    for step in steps(page):
        if isinstance(step, File):
            current = found[-1]
            if step.name in current:
                found.append(current := dict(current))
            before = current.get(step.name, "") if step.is_continued else ""
            current[step.name] = before + step.text
    return found
