"""The pages of the documentation do what they say: docs/internals/docs.md describes the convention."""

from pathlib import Path

import pytest

from tests.helpers.docs_page import hidden_blocks, pages, states
from tests.helpers.docs_python import GUIDE_IN_WHEEL, names, page_id, pages_with_files, run_python
from tests.helpers.docs_walk import contains


def test_no_block_escapes_the_tests() -> None:
    """Each block has a language and starts at the margin, and each command is in a ``console`` block."""
    texts = {page: page.read_text(encoding="utf-8") for page in [*pages(), GUIDE_IN_WHEEL]}

    assert {page_id(page): found for page, text in texts.items() if (found := hidden_blocks(text))} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```console\n$ pip install x\n```\n", []),
        ("```json\n{}\n```\ntext\n```text\nx\n```\n", []),
        ("```\npip install x\n```\n", ["```"]),
        ("```sh\npip install x\n```\n", ["```sh"]),
        ("```shell-session\n```\n", ["```shell-session"]),
        ("- item\n\n  ```python\n  x\n  ```\n", ["  ```python"]),
        ("~~~python\nx\n~~~\n", ["~~~python"]),
        ("```text\n$ pip install x\n```\n", ["$ pip install x"]),
        ("    $ pip install x\n", ["    $ pip install x"]),
        ("```python\nx\n", ["a block without an end"]),
    ],
)
def test_a_block_that_is_not_executed_is_found(text: str, found: list[str]) -> None:
    """A block that the tests of this module would overlook."""
    assert hidden_blocks(text) == found


@pytest.mark.parametrize("page", pages_with_files(tests=False), ids=page_id)
def test_the_modules_of_a_page_can_be_imported(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every state of the files that the page shows. Only a project id is set in the environment."""
    monkeypatch.setenv("DESCOPE_PROJECT_ID", "P" + "a" * 27)
    for number, files in enumerate(states(page)):
        modules = [name.removesuffix(".py").replace("/", ".") for name in names(files, tests=False)]
        folder = tmp_path / str(number)
        folder.mkdir()

        assert run_python(folder, files, "-c", f"import {', '.join(['sys', *modules])}") == (0, "")


@pytest.mark.parametrize(
    ("output", "lines", "expected"),
    [
        ("a\nb\nc\n", "a\nc", True),
        ("a\nb\n", "b\na", False),
        ('{"user":"U1","tenant":"acme"}', '{"user": "...",\n "tenant": "acme"}', True),
        ("GET   /me   signed in", "GET /me signed in", True),
        ("x one y\n", "x ... z", False),
        ("x 1.5 (y)\n", "x 1.5 (y)", True),
        ("x 135 (y)\n", "x 1.5 (y)", False),
    ],
)
def test_output_is_compared_loosely(output: str, lines: str, *, expected: bool) -> None:
    """By order and words, not by white space."""
    assert contains(output, lines) is expected
