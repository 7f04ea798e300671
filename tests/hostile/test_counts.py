"""The tables of hostile input stay large, and have no duplicates."""

import subprocess
import sys

import pytest

from tests.helpers.tampering import Forge
from tests.hostile.tables.cookies import HEADERS
from tests.hostile.tables.counts import COUNTS
from tests.hostile.tables.key_sets import MIXED, UNUSABLE
from tests.hostile.tables.redirect_targets import ACCEPTED, CIRCULAR, REJECTED
from tests.hostile.tables.tokens import TOKENS


@pytest.mark.parametrize(
    ("group", "minimum"),
    [
        ("tokens", 400),
        ("key sets", 150),
        ("cookie headers", 100),
        ("redirect targets", 250),
        ("cross-site requests", 1_500),
        ("requests to a protected app", 15_000),
        ("cacheable responses", 250),
    ],
)
def test_the_tables_are_large(group: str, minimum: int) -> None:
    """A table that loses entries is noticed."""
    assert COUNTS[group] >= minimum


def test_tv01_the_tokens_are_distinct(forge: Forge) -> None:
    """Two groups may share a malformed token. At least 400 different strings remain."""
    tokens = [recipe(forge, "DS") for recipes in TOKENS.values() for recipe in recipes.values()]
    distinct = {repr(token) for token in tokens}
    assert len(distinct) > len(tokens) * 0.95
    assert len({token for token in tokens if isinstance(token, str)}) >= 400


def test_jw08_the_key_sets_are_distinct(forge: Forge) -> None:
    """No two bodies are equal."""
    bodies = [recipe(forge) for recipe in (*UNUSABLE.values(), *MIXED.values())]
    assert len(set(bodies)) == len(bodies)


def test_ck01_the_cookie_headers_are_distinct() -> None:
    """No two headers are equal."""
    headers = {name: tuple(recipe(b"a.b.cccc", b"x.y.zzzz")) for name, recipe in HEADERS.items()}
    assert len(set(headers.values())) == len(headers)


def test_rt_the_redirect_targets_are_distinct() -> None:
    """No target is in two classes, and no rejected target is in the table of accepted ones."""
    rejected = [*(target for targets in REJECTED.values() for target in targets), *CIRCULAR]
    assert len(set(rejected)) == len(rejected)
    assert set(rejected).isdisjoint(ACCEPTED)


def test_the_counts_are_printed_one_line_per_group() -> None:
    """``scripts/hostile`` prints them."""
    command = [sys.executable, "-m", "tests.hostile.tables.counts"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert [line.strip() for line in printed.splitlines()[: len(COUNTS)]] == [
        f"{count:,} {group}" for group, count in COUNTS.items()
    ]
