"""The reference of the command line has each command and each option as typer has them."""

import re
from pathlib import Path

from fastapi_descope._cli.token_facts import TokenType
from fastapi_descope._cli.token_remedies import REMEDIES
from tests.cli.command_tables import command_tables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")

_TEXTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / ".github").rglob("*.yml"),
    *(ROOT / "fastapi_descope").rglob("*.txt"),
    *(ROOT / "fastapi_descope").rglob("*.py"),
]


def test_the_page_has_every_command_with_its_options() -> None:
    """Commands are sections, and options rows of the first table."""
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    documented = {
        section.partition("\n")[0]: re.findall(r"^\| `(?:-|\[|MODULE).*\|$", section, re.MULTILINE)
        for section in sections
    }
    assert documented == command_tables()


def test_every_command_with_output_has_an_example() -> None:
    """A console block that runs it."""
    for name in set(command_tables()) - {"fastapi-descope", "fastapi-descope token"}:
        assert re.search(rf"^\$ (?:.*\| )?{name}", PAGE, re.MULTILINE), name


def test_the_page_has_every_reason_and_type_of_a_token() -> None:
    """Reasons with the remedies that the command prints."""
    for reason, remedy in REMEDIES.items():
        sentence = re.escape(f"{remedy[0].upper()}{remedy[1:]}.")
        assert re.search(rf"^\| `{reason}` \| .+\. \| {sentence} \|$", PAGE, re.MULTILINE)
    assert all(f"`{each}`" in PAGE for each in TokenType)


def test_every_option_that_a_text_gives_to_a_command_exists() -> None:
    """In the documentation, the issue forms, and the messages of the package."""
    tables = command_tables()
    unknown = {
        (path.relative_to(ROOT).as_posix(), name, option)
        for path in _TEXTS
        for name, rest in _uses(path.read_text(encoding="utf-8"), sorted(tables, key=len, reverse=True))
        for option in re.findall(r"(?<=\s)--[a-z][\w-]*", rest)
        if option not in " ".join([*tables[name], *tables["fastapi-descope"], "--help"])
    }

    assert unknown == set()


def _uses(text: str, names: list[str]) -> list[tuple[str, str]]:
    """Return each use of a command: its name, and what follows in the line, the code span or the clause."""
    pattern = rf"\b({'|'.join(map(re.escape, names))})\b([^\n`\"|>,;]*)"
    return re.findall(pattern, text)
