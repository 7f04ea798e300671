"""The hostile tables stay wide, and no entry in them is there twice."""

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
        ("return paths", 250),
        ("cross-site requests", 1_500),
        ("answers to be cached", 250),
    ],
)
def test_the_tables_are_wide(group: str, minimum: int) -> None:
    """A table that somebody cuts down is noticed."""
    assert COUNTS[group] >= minimum


def test_tv01_the_tokens_are_distinct(forge: Forge) -> None:
    """Two groups may share the odd spelling of nonsense; well over 200 texts are left of 400."""
    made = [recipe(forge, "DS") for recipes in TOKENS.values() for recipe in recipes.values()]
    distinct = {repr(token) for token in made}
    assert len(distinct) > len(made) * 0.95
    assert len({token for token in made if isinstance(token, str)}) >= 400


def test_jw08_the_key_sets_are_distinct(forge: Forge) -> None:
    """Each body is another one."""
    bodies = [recipe(forge) for recipe in (*UNUSABLE.values(), *MIXED.values())]
    assert len(set(bodies)) == len(bodies)


def test_ck01_the_cookie_headers_are_distinct() -> None:
    """Each header is another one."""
    headers = {name: tuple(recipe(b"a.b.cccc", b"x.y.zzzz")) for name, recipe in HEADERS.items()}
    assert len(set(headers.values())) == len(headers)


def test_rt_the_return_paths_are_distinct() -> None:
    """Each is refused for one reason, and none of them is accepted elsewhere."""
    refused = [*(target for targets in REJECTED.values() for target in targets), *CIRCULAR]
    assert len(set(refused)) == len(refused)
    assert set(refused).isdisjoint(ACCEPTED)


def test_the_counts_are_printed_one_line_a_group() -> None:
    """What ``scripts/hostile`` shows."""
    command = [sys.executable, "-m", "tests.hostile.tables.counts"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own
    assert [line.strip() for line in shown.splitlines()[: len(COUNTS)]] == [
        f"{count:,} {group}" for group, count in COUNTS.items()
    ]
