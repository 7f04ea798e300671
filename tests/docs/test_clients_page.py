"""docs/how-to/clients.md lists what clients in the browser do, and each row names its test."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "clients.md").read_text(encoding="utf-8")
BROWSER = ROOT / "tests" / "browser"

_ROW = re.compile(r"^\|.*\| `(test_clients_\w+\.py::test_\w+)` \|$", re.MULTILINE)


def _tests(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [f"{path.name}::{name}" for name in functions if name.startswith("test_")]


def test_the_table_names_each_test_of_a_client_once() -> None:
    """No row without a test, and no test without a row."""
    tests = [name for path in BROWSER.glob("test_clients_*.py") for name in _tests(path)]

    assert sorted(_ROW.findall(PAGE)) == sorted(tests)


def test_the_listener_of_the_page_is_the_one_that_is_tested() -> None:
    """The script for HTMX is copied from the page of the test."""
    script = re.findall(r"```html\n<script>\n(.*?)</script>", PAGE, re.DOTALL)[0]

    assert script in (BROWSER / "test_clients_pages.py").read_text(encoding="utf-8")
