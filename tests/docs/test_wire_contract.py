"""docs/wire-contract.md has every section that code, tests and docs cite."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from fastapi_descope.emulator import Assumptions
from tests.contract.wire_record import exchanges, sdks, shapes, tokens

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "wire-contract.md").read_text(encoding="utf-8")
SECTIONS = set(re.findall(r"^##+ (\d+(?:\.\d+)?)\.? ", PAGE, re.MULTILINE))

# "wire contract, sections 3.2 to 3.4 and 7", possibly across lines.
_CITED = re.compile(
    r"wire contract,?\s+(?:sections?\s+)?(\d{1,2}\b(?:\.\d+)?(?:(?:,|\s+to|\s+and)\s+\d{1,2}\b(?:\.\d+)?)*)",
    re.IGNORECASE,
)
# "section 2.8" alone. A section after the number of an RFC belongs to the RFC.
_BARE = re.compile(r"(?<!\d, )(?<!\d )\bsection (\d+(?:\.\d+)?)(?!\.?\d)")


def _cited() -> Iterator[tuple[str, str]]:
    for folder in ("fastapi_descope", "tests", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".md"} and path != Path(__file__):
                for cited in _CITED.findall(path.read_text(encoding="utf-8")):
                    for section in re.findall(r"[\d.]+", cited):
                        yield str(path.relative_to(ROOT)), section


def _recorded() -> Iterator[str]:
    for entries in (exchanges(), sdks(), shapes(), tokens()):
        for entry in entries.values():
            yield from entry.section.split()


def test_every_section_that_is_cited_exists() -> None:
    """In code, tests and documentation."""
    cited = set(_cited())

    assert len(cited) > 30
    assert {(file, section) for file, section in cited if section not in SECTIONS} == set()


def test_every_section_of_the_record_exists() -> None:
    """Entries of the record name existing sections."""
    assert set(_recorded()) <= SECTIONS


@pytest.mark.parametrize(
    "file", ["_upstream/responses.py", "emulator/api/authentication.py", "emulator/api/auth.py"]
)
def test_a_bare_section_number_is_one_of_the_contract(file: str) -> None:
    """Some files cite the contract by section number alone."""
    bare = set(_BARE.findall((ROOT / "fastapi_descope" / file).read_text(encoding="utf-8")))

    assert bare
    assert bare <= SECTIONS


def test_every_assumption_is_documented() -> None:
    """One table lists what is unknown about Descope, and what the emulator assumes."""
    rows = PAGE.split("## 10.")[1].split("|---|---|")[1]

    assert set(re.findall(r"\| `(\w+)` \|", rows)) == {field.name for field in fields(Assumptions)}
