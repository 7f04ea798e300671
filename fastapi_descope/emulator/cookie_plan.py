"""Which cookies a project puts its tokens into, if it does (wire contract, section 4)."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CookiePlan"]


@dataclass(frozen=True, slots=True)
class CookiePlan:
    """Names and attributes of the two cookies. They are always HttpOnly and Secure.

    An empty domain makes a cookie of the host alone. The two tokens may have separate domains.
    """

    session_name: str = "DS"
    refresh_name: str = "DSR"
    session_domain: str = ""
    domain: str = ""
    path: str = "/"
    same_site: Literal["none", "lax", "strict"] = "none"

    def __post_init__(self) -> None:
        if self.session_name == self.refresh_name:
            raise ValueError("the session and the refresh cookie need different names")
