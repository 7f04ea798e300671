"""``docs/how-to/deploy.md`` has the table of the matrix."""

from pathlib import Path

from .matrix import markdown_table

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "deploy.md"


def test_table_of_the_documentation_is_that_of_the_matrix() -> None:
    """``test_servers.py`` measures each of its rows."""
    assert f"\n\n{markdown_table()}\n\n" in PAGE.read_text(encoding="utf-8")
