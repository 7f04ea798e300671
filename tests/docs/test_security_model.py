"""docs/security-model.md lists every rule, and each has code that implements it and a test that proves it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.security_model import ROOT, Proof, Row, cells, page, rules, scenarios

TESTS = ROOT / "tests"

_GROUPS = {
    "TV": 20,
    "KD": 10,
    "JW": 14,
    "CB": 20,
    "RT": 16,
    "CK": 14,
    "CS": 10,
    "CA": 6,
    "RF": 17,
    "WS": 8,
    "HP": 8,
    "LG": 10,
    "TN": 14,
    "LO": 7,
    "RD": 9,
    "ST": 9,
    "EM": 8,
    "SC": 8,
    "SG": 6,
    "NP": 9,
    "CL": 10,
    "AK": 6,
    "IM": 5,
    "BP": 4,
    "SI": 5,
    "TI": 8,
    "RV": 9,
    "ML": 6,
    "HO": 5,
}
_NUMBERS = [f"{group}-{number:02}" for group, last in _GROUPS.items() for number in range(1, last + 1)]
_SCENARIOS = [f"F{number}" for number in range(1, 20)]
_INVARIANTS = [f"I{number}" for number in range(1, 9)]

_RANGE = re.compile(r"([a-z]{2})(\d\d)_to_\1(\d\d)")


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


def _missing(proofs: list[Proof]) -> list[Proof]:
    return [proof for proof in proofs if proof.test not in _tests_of(proof.file)]


def _numbers_in(name: str) -> set[str]:
    """Return the numbers in the name of a test: ``test_tv11_tv12_...``, ``test_rt01_to_rt11_...``."""
    numbers = {
        f"{group}{number:02}"
        for group, first, last in _RANGE.findall(name)
        for number in range(int(first), int(last) + 1)
    }
    return numbers | set(re.findall(r"(?<=_)[a-z]{2}\d\d(?=_)", name))


def test_every_requirement_has_one_row() -> None:
    """In order, without missing, duplicate or unknown numbers."""
    assert [row.number for row in rules()] == _NUMBERS


@pytest.mark.parametrize("row", rules(), ids=lambda row: row.number)
def test_a_row_has_a_rule_and_a_reason_for_a_deviation(row: Row) -> None:
    """Rules and deviations are sentences. A rule that does not apply has a reason."""
    assert row.rule.endswith(".")
    assert not row.deviation or row.deviation.endswith(".")
    assert row.is_built or len(row.deviation.split()) > 3


@pytest.mark.parametrize("row", rules(), ids=lambda row: row.number)
def test_a_row_names_tests_that_exist(row: Row) -> None:
    """The proof is a list of existing tests and nothing else."""
    assert ", ".join(f"`{file}::{test}`" for file, test in row.proofs) == row.proof
    assert _missing(row.proofs) == []


@pytest.mark.parametrize("row", [row for row in rules() if row.is_built], ids=lambda row: row.number)
def test_the_number_leads_to_the_proof_and_the_rule(row: Row) -> None:
    """The number is in the name of a proof, in the tests, and in the package.

    For the supply chain, the tests and scripts implement the rules.
    """
    wanted = row.number.lower().replace("-", "")

    assert [proof for proof in row.proofs if wanted in _numbers_in(proof.test)]
    assert row.number in _text_of("tests")
    assert row.number in _text_of("fastapi_descope") or row.number.startswith("SC-")


def test_citations_of_groups_match_their_headings() -> None:
    """``requirements 2.9`` in code and tests is the number of a heading."""
    headings = re.findall(r"^### (2\.\d+) .* \((\w\w)\)$", page(), re.MULTILINE)
    cited = re.findall(
        r"requirements? (\d\.\d+)", _text_of("fastapi_descope") + _text_of("tests"), re.IGNORECASE
    )

    assert headings == [(f"2.{number}", group) for number, group in enumerate(_GROUPS, start=1)]
    assert cited
    assert set(cited) <= dict(headings).keys()


def test_every_scenario_and_invariant_has_one_row() -> None:
    """In order, and no other number is cited."""
    text = _text_of("fastapi_descope") + _text_of("tests")

    assert [row.number for row in scenarios()] == _SCENARIOS
    assert [row[0] for row in cells(r"I\d")] == _INVARIANTS
    assert set(re.findall(r"(?<![\w%+\"])F\d+\b(?![\"%])", text)) <= set(_SCENARIOS)
    assert set(re.findall(r"\bI\d\b", text)) <= set(_INVARIANTS)


@pytest.mark.parametrize("row", scenarios(), ids=lambda row: row.number)
def test_a_scenario_names_tests_that_exist(row: Row) -> None:
    """At least one test each, and nothing else."""
    assert row.proofs
    assert ", ".join(f"`{file}::{test}`" for file, test in row.proofs) == row.proof
    assert _missing(row.proofs) == []
