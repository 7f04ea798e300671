"""The reference of the command line has each command and each option as typer has them."""

import re
from pathlib import Path

from fastapi_descope._cli.token_facts import TokenType
from fastapi_descope._cli.token_remedies import REMEDIES
from tests.cli.command_tables import command_tables

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text("utf-8")


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
