"""Reads the tables of docs/security-model.md."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

_NOT_BUILT = ("Not offered", "Outside")
_PROOF = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


class Proof(NamedTuple):
    """A cited test."""

    file: str
    """Relative to ``tests/``."""
    test: str

    @property
    def node_id(self) -> str:
        """The name of the test for pytest, from the root of the repository."""
        tree = ast.parse((ROOT / "tests" / self.file).read_text(encoding="utf-8"))
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        names = (f"{node.name}::" for node in classes if self.test in {_name(each) for each in node.body})
        return f"tests/{self.file}::{next(names, '')}{self.test}"


class Row(NamedTuple):
    """One row of a table: a rule, or a fault scenario, which has no deviation."""

    number: str
    rule: str
    proof: str
    deviation: str = ""

    @property
    def is_built(self) -> bool:
        """Whether the rule applies. If not, the row gives the reason."""
        return not self.deviation.startswith(_NOT_BUILT)

    @property
    def proofs(self) -> list[Proof]:
        """The cited tests."""
        return [Proof(*found) for found in _PROOF.findall(self.proof)]


def _name(node: ast.stmt) -> str | None:
    return node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else None


@cache
def page() -> str:
    """Return the page's text."""
    return (ROOT / "docs" / "security-model.md").read_text(encoding="utf-8")


def cells(first: str) -> list[list[str]]:
    """Return the cells of each row whose first cell matches ``first``."""
    lines = [line for line in page().splitlines() if re.match(rf"\| {first} \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def rules() -> list[Row]:
    """Return the rows of section 2."""
    return [Row(*row) for row in cells(r"[A-Z]{2}-\d\d")]


def scenarios() -> list[Row]:
    """Return the rows of the fault scenarios."""
    return [Row(*row) for row in cells(r"F\d+")]
