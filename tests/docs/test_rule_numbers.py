"""The numbers of requirements (``docs/security-model.md``) are for readers of the code, and nobody else."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.helpers.app_harness import EnvFactory

PACKAGE = Path(__file__).parents[2] / "fastapi_descope"

_NUMBER = re.compile(r"\b[A-Z]{2}-\d\d\b")


def _docstrings(tree: ast.AST) -> set[ast.AST]:
    """The statements that are nothing but a text."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _spoken(file: Path) -> list[str]:
    """Every text in a module but its docstrings: whatever it may say to somebody."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    silent = _docstrings(tree)
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent
    ]


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE))
)
def test_no_message_holds_one(file: Path) -> None:
    """Neither a detail of an error, nor a line of a log or a command."""
    assert [text for text in _spoken(file) if _NUMBER.search(text)] == []


def test_the_openapi_document_holds_none(make_env: EnvFactory) -> None:
    """FastAPI puts the docstrings of endpoints and models into it, for everybody to read."""
    assert _NUMBER.findall(json.dumps(make_env().app.openapi())) == []
