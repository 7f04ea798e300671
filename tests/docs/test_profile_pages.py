"""The guides list every field of the profile and of a login, with its name at Descope."""

from dataclasses import fields
from pathlib import Path

import pytest

from fastapi_descope import IdpResponse, Login, UserProfile
from tests.test_profile import FULL_JSON

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def _first_column(page: str) -> str:
    """Return the first cell of each table row."""
    lines = (HOW_TO / page).read_text(encoding="utf-8").splitlines()
    return "\n".join(line.split("|")[1] for line in lines if line.startswith("|"))


def test_the_profile_page_lists_every_field() -> None:
    """Under its name in Python, and under that in JSON."""
    page = (HOW_TO / "user-profile.md").read_text(encoding="utf-8")

    assert [
        each.name for each in fields(UserProfile) if f"`{each.name}`" not in _first_column("user-profile.md")
    ] == []
    assert [name for name in FULL_JSON if f"`{name}`" not in page] == []


@pytest.mark.parametrize(("cls", "prefix"), [(Login, ""), (IdpResponse, "idp.")])
def test_the_provisioning_page_lists_every_field_of_a_login(
    cls: type[Login | IdpResponse], prefix: str
) -> None:
    """The fields of ``idp`` are listed with it."""
    names = [prefix + each.name for each in fields(cls) if each.name != "idp"]

    assert [name for name in names if f"`{name}`" not in _first_column("provision-users.md")] == []
