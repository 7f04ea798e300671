"""The tables of removals fit the code and the security model. ``scripts/mutate`` applies them."""

import ast

import pytest

from tests.helpers.security_model import ROOT, rules, scenarios
from tests.removals.tables import Removal, not_removable, removals

_NUMBERS = [row.number for row in [*rules(), *scenarios()] if row.is_built]


def test_every_rule_has_a_removal_or_a_reason() -> None:
    """And no other number has one."""
    removable = {removal.rule for removal in removals()}

    assert removable | not_removable().keys() == set(_NUMBERS)
    assert removable & not_removable().keys() == set()


def test_a_reason_is_a_sentence() -> None:
    """It explains why no edit of the code removes the rule."""
    assert [reason for reason in not_removable().values() if not reason.endswith(".")] == []


@pytest.mark.parametrize("removal", removals(), ids=lambda removal: removal.name)
def test_a_removal_fits_the_code(removal: Removal) -> None:
    """Each text to replace occurs once, and what remains is Python."""
    for path, text in removal.edited(ROOT).items():
        assert text != path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            ast.parse(text)
