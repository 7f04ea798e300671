"""Which cookies a project puts its tokens into, if it does (wire contract, section 4)."""

from dataclasses import dataclass
from typing import Literal

from .validation import check_cookie

__all__ = ["CookiePlan"]


@dataclass(frozen=True, slots=True)
class CookiePlan:
    """Names and attributes of the two cookies. They are always HttpOnly and Secure.

    An empty domain makes a cookie of the host alone. The two tokens may have separate domains.

    Raises ValueError for what cannot stand in a cookie.
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
        check_cookie(session_name=self.session_name, refresh_name=self.refresh_name, path=self.path)
        check_cookie(session_domain=self.session_domain, domain=self.domain)
