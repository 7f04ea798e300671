"""docs/how-to/hooks.md lists every hook and every event."""

import re
from pathlib import Path

from fastapi_descope import Descope, events

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "hooks.md"


def _first_cells() -> str:
    """Return the first cells of all table rows, as one text."""
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return "\n".join(row.split("|")[1] for row in rows)


def test_the_page_lists_every_hook() -> None:
    """All decorators of ``Descope``."""
    decorators = {name for name in dir(Descope) if name.startswith("on_") or name == "login_options"}

    assert set(re.findall(r"`@descope\.(\w+)`", _first_cells())) == decorators


def test_the_page_lists_every_event() -> None:
    """All classes of ``fastapi_descope.events`` except the base class, the bus and the types of fields."""
    assert set(re.findall(r"`([A-Z]\w+)`", _first_cells())) == set(events.__all__) - {
        "Event",
        "EventBus",
        "LoginMethod",
        "Subscriber",
    }
