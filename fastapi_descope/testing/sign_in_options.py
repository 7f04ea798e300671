"""What a session is to hold, as a test says it in keywords."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from ..emulator import Grants

__all__ = ["SignInOptions", "grants", "refuse_unknown", "several"]


class SignInOptions(TypedDict, total=False):
    """What a session is to hold, for ``TestHarness.sign_in``."""

    tenant: str | None
    roles: Sequence[str] | None
    permissions: Sequence[str] | None
    amr: Sequence[str] | None
    step_up: bool
    claims: Mapping[str, object] | None
    bearer: bool


def refuse_unknown(holding: SignInOptions) -> None:
    """A misspelt keyword would sign in somebody who lacks what the test is about, and prove nothing."""
    for name in holding.keys() - SignInOptions.__annotations__.keys():
        raise TypeError(
            f"sign_in has no {name!r}; there are user, {', '.join(SignInOptions.__annotations__)}"
        )


def grants(holding: SignInOptions) -> Grants | None:
    """The roles and permissions that are given; None if neither is."""
    roles, permissions = holding.get("roles"), holding.get("permissions")
    if roles is None and permissions is None:
        return None
    return Grants(several("roles", roles), several("permissions", permissions))


def several(name: str, values: Sequence[str] | None) -> tuple[str, ...]:
    """A string is a sequence of strings too, and never meant as one. None is the same as nothing."""
    if isinstance(values, str):
        raise TypeError(f"{name}: expected several names, such as [{values!r}]")
    return tuple(values or ())
