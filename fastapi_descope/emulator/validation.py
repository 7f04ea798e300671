"""What the values of a project have to be like, so that none of them fails in the middle of a request.

Each check raises ValueError, and says what was expected where: never the value, which may be a secret.
"""

import re
from collections.abc import Iterable, Mapping

from .urls import is_redirect_rule

__all__ = [
    "check_cookie",
    "check_not_empty",
    "check_project_id",
    "check_redirects",
    "check_seconds",
    "check_secret",
    "check_unique",
]

_TEN_YEARS = 10 * 365 * 24 * 3600
_DOTS_OF_A_JWT = 2
_COOKIE_PARTS = {
    "name": (re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"), "letters, digits and !#$%&'*+-.^_`|~"),
    "path": (re.compile(r"/[ -:<-~]*"), "/, and then no control characters and no semicolon"),
    "domain": (re.compile(r"(\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?"), "a domain"),
}


def check_project_id(project_id: str) -> None:
    """What the package's settings, and the command's ``--project``, take for one."""
    if not re.fullmatch(r"P[A-Za-z0-9]{20,64}", project_id):
        raise ValueError("project_id: expected P, then 20 to 64 letters and digits")


def check_not_empty(what: str, name: str) -> None:
    """A name that is there: an empty one is the same as none to whoever asks for it."""
    if not name.strip():
        raise ValueError(f"{what} must not be empty")


def check_seconds(times: Mapping[str, int], *, least: int) -> None:
    """Seconds from ``least``, 0 or 1, to ten years: with longer ones no date could be made."""
    for name, seconds in times.items():
        if seconds < least:
            raise ValueError(f"{name} must {'be positive' if least else 'not be negative'}")
        if seconds > _TEN_YEARS:
            raise ValueError(f"{name} must be at most {_TEN_YEARS}, ten years")


def check_secret(name: str, key: str, *, ends_bearer: bool = True) -> None:
    """Visible characters without the colon that ends a part of a bearer (wire contract, section 1.4).

    ``ends_bearer``: it stands where a JWT may, too, which is known by its two dots.
    """
    if not re.fullmatch(r"[!-9;-~]+", key):
        raise ValueError(f"{name}: expected visible ASCII characters, and no colon among them")
    if ends_bearer and key.count(".") == _DOTS_OF_A_JWT:
        raise ValueError(f"{name}: a key with two dots would be taken for a JWT")


def check_cookie(**parts: str) -> None:
    """Names, paths and domains of cookies, by the grammar of RFC 6265, section 4.1.1.

    A part is what the last word of its name says.
    """
    for part, value in parts.items():
        grammar, expected = _COOKIE_PARTS[part.rpartition("_")[2]]
        if not grammar.fullmatch(value):
            raise ValueError(f"{part}: expected {expected}")


def check_redirects(approved: Iterable[str]) -> None:
    """Hosts without a port, and http(s) URLs."""
    for place, entry in enumerate(approved):
        if "*" in entry:
            raise ValueError(
                f"approved_redirects[{place}]: there are no wildcards; an empty list approves everything"
            )
        if not is_redirect_rule(entry):
            raise ValueError(f"approved_redirects[{place}]: expected a host without a port, or a URL")


def check_unique(what: str, values: Iterable[str]) -> None:
    """Every value is there once."""
    found = list(values)
    if len(set(found)) < len(found):
        raise ValueError(f"every {what} in a project must be unique")
