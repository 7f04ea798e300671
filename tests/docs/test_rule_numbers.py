"""The numbers of security requirements (``docs/security-model.md``) appear in no message and no schema."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.helpers.app_harness import EnvFactory

PACKAGE = Path(__file__).parents[2] / "fastapi_descope"

_NUMBER = re.compile(r"\b[A-Z]{2}-\d\d\b")


def _docstrings(tree: ast.AST) -> set[ast.AST]:
    """Return the expressions of docstrings."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _strings(file: Path) -> list[str]:
    """Return every string in a module except its docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = _docstrings(tree)
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
    ]


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_no_message_contains_a_rule_number(file: Path) -> None:
    """Not in error details, log lines or CLI output."""
    assert [text for text in _strings(file) if _NUMBER.search(text)] == []


def test_the_openapi_schema_contains_no_rule_number(make_env: EnvFactory) -> None:
    """FastAPI copies the docstrings of endpoints and models into the schema."""
    assert _NUMBER.findall(json.dumps(make_env().app.openapi())) == []
