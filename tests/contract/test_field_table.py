"""Every field and endpoint of Descope's documentation pages reaches the FastAPI developer.

The table is in ``field_table.py``. Its rows are read from a real app that signs in at the emulator.
"""

import asyncio
from collections.abc import Mapping

import pytest

from tests.contract.field_journey import Observation, run_journey
from tests.contract.field_table import NAMED, ROWS, Row, agree, as_markdown


@pytest.fixture(scope="module")
def seen() -> Mapping[str, Observation]:
    """Return the calls of an app that has signed in, and their values on the side of the app."""
    return asyncio.run(run_journey())


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_field_reaches_the_developer(seen: Mapping[str, Observation], row: Row) -> None:
    """The value of the wire is the value in the app, and not a default."""
    observation = seen[row.endpoint]
    app = row.in_the_app(observation)
    if row.direction == "endpoint":
        assert app in ([200], [303])
    else:
        wire = row.on_the_wire(observation)
        assert agree(wire, app), f"{row.wire}: {wire!r} on the wire, {row.api}: {app!r} in the app"


def test_every_name_of_the_pages_has_a_row() -> None:
    """No endpoint and no field of the pages is missing in the table."""
    assert len(NAMED) > 100
    assert NAMED - {(row.endpoint, row.direction, row.wire) for row in ROWS} == set()


def test_a_row_is_unique() -> None:
    """No field is listed twice for an endpoint, perhaps with two places."""
    assert len({(row.endpoint, row.direction, row.wire) for row in ROWS}) == len(ROWS)


_NOTHING: list[object] = []
_NO_CLAIMS: dict[str, object] = {}


@pytest.mark.parametrize(
    ("wire", "app"),
    [
        (["Ada"], ["Grace"]),
        (["Ada"], [None]),
        (["Ada"], _NOTHING),
        ([""], [""]),
        ([False], [False]),
        ([None], [None]),
        (_NOTHING, _NOTHING),
        ([["admin"]], [("viewer",)]),
        ([{"plan": "gold"}], [_NO_CLAIMS]),
    ],
)
def test_a_difference_or_a_default_is_noticed(wire: list[object], app: list[object]) -> None:
    """A row proves nothing if its value is the one that an absent field has."""
    assert not agree(wire, app)


def test_the_table_can_be_printed(seen: Mapping[str, Observation]) -> None:
    """Each name is in it once, however many endpoints share it."""
    table = as_markdown(seen)
    assert table.count("`user.middleName`") == 1
    line = next(line for line in table.splitlines() if "`user.middleName`" in line)
    assert line == (
        "| response | `user.middleName` | exchange, select, pending-session | sso-exchange, tenant-select"
        " | `login.user.middle_name` | `King` |"
    )
    assert "eyJ" not in table
