"""docs/security-model.md keeps its word: every rule is in it, is in the code, and is proved by a test."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent

_GROUPS = {
    "TV": 19,
    "KD": 8,
    "JW": 14,
    "CB": 16,
    "RT": 16,
    "CK": 12,
    "CS": 10,
    "CA": 5,
    "RF": 17,
    "WS": 7,
    "HP": 6,
    "LG": 7,
    "TN": 12,
    "LO": 6,
    "RD": 6,
    "ST": 9,
    "EM": 8,
    "SC": 8,
}
_NUMBERS = [f"{group}-{number:02}" for group, last in _GROUPS.items() for number in range(1, last + 1)]
_NOT_BUILT = ("Not offered", "Outside")

_PROOF = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
_RANGE = re.compile(r"([a-z]{2})(\d\d)_to_\1(\d\d)")


class Row(NamedTuple):
    """One row of a table."""

    number: str
    rule: str
    proof: str
    deviation: str

    @property
    def is_built(self) -> bool:
        """Whether there is anything to prove, or a reason why not."""
        return not self.deviation.startswith(_NOT_BUILT)


def _rows() -> list[Row]:
    lines = (ROOT / "docs" / "security-model.md").read_text(encoding="utf-8").splitlines()
    return [
        Row(*(cell.strip() for cell in line.strip("|").split("|")))
        for line in lines
        if re.match(r"\| [A-Z]{2}-\d\d \|", line)
    ]


@cache
def _tests_of(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


@cache
def _text_of(folder: str) -> str:
    files = sorted((ROOT / folder).rglob("*.py"))
    return "\n".join(path.read_text(encoding="utf-8") for path in files if path.name != Path(__file__).name)


def _numbers_in(name: str) -> set[str]:
    """The numbers that the name of a test carries: ``test_tv11_tv12_...``, ``test_rt01_to_rt11_...``."""
    numbers = {
        f"{group}{number:02}"
        for group, first, last in _RANGE.findall(name)
        for number in range(int(first), int(last) + 1)
    }
    return numbers | set(re.findall(r"(?<=_)[a-z]{2}\d\d(?=_)", name))


def test_every_requirement_has_one_row() -> None:
    """None is missing, none is there twice, none is invented; and they are in order."""
    assert [row.number for row in _rows()] == _NUMBERS


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row.number)
def test_a_row_says_what_holds_and_why_not(row: Row) -> None:
    """A rule is a sentence, a deviation too; what is not built has a reason."""
    assert row.rule.endswith(".")
    assert not row.deviation or row.deviation.endswith(".")
    assert row.is_built or len(row.deviation.split()) > 3


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row.number)
def test_a_row_names_tests_that_exist(row: Row) -> None:
    """The proof is a list of tests, and nothing else; each of them is there."""
    proofs = _PROOF.findall(row.proof)

    assert ", ".join(f"`{file}::{test}`" for file, test in proofs) == row.proof
    assert [proof for proof in proofs if proof[1] not in _tests_of(proof[0])] == []


@pytest.mark.parametrize("row", [row for row in _rows() if row.is_built], ids=lambda row: row.number)
def test_the_number_leads_to_the_proof_and_the_rule(row: Row) -> None:
    """A search for the number finds a test by name, a docstring or case, and the code that keeps the rule.

    For the supply chain the tests and scripts are the code.
    """
    wanted = row.number.lower().replace("-", "")

    assert [test for _, test in _PROOF.findall(row.proof) if wanted in _numbers_in(test)]
    assert row.number in _text_of("tests")
    assert row.number in _text_of("fastapi_descope") or row.number.startswith("SC-")
