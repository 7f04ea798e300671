"""Validation of a project's values, so that invalid ones fail at start-up and not during a request.

Each check raises ValueError. The message says what was expected and never contains the value, which may be
a secret.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from .urls import is_redirect_rule

__all__ = [
    "check_cookie",
    "check_networks",
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
    "path": (
        re.compile(r"/[ -:<-~]*"),
        "a path that starts with / and has no control characters or semicolons",
    ),
    "domain": (re.compile(r"(\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?"), "a domain"),
}


def check_project_id(project_id: str) -> None:
    """Check the form of a project id, as the package's settings and the option ``--project`` do.

    Raises:
        ValueError: The id has another form.
    """
    if not re.fullmatch(r"P[A-Za-z0-9]{20,64}", project_id):
        raise ValueError("project_id: expected P, then 20 to 64 letters and digits")


def check_not_empty(what: str, name: str) -> None:
    """Check that a required name is not empty.

    Raises:
        ValueError: The name is empty or blank.
    """
    if not name.strip():
        raise ValueError(f"{what} must not be empty")


def check_seconds(times: Mapping[str, int], *, least: int) -> None:
    """Check that durations are from ``least`` (0 or 1) seconds to ten years; dates overflow beyond that.

    Raises:
        ValueError: A duration is out of range.
    """
    for name, seconds in times.items():
        if seconds < least:
            raise ValueError(f"{name} must {'be positive' if least else 'not be negative'}")
        if seconds > _TEN_YEARS:
            raise ValueError(f"{name} must be at most {_TEN_YEARS}, ten years")


def check_secret(name: str, key: str, *, ends_bearer: bool = True) -> None:
    """Check that a key consists of visible characters without a colon, which separates the parts of a bearer.

    Args:
        name: The name of the field.
        key: The key.
        ends_bearer: The key is sent where a JWT may be too, so it must not have a JWT's two dots (wire
            contract, section 1.4).

    Raises:
        ValueError: The key has another form.
    """
    if not re.fullmatch(r"[!-9;-~]+", key):
        raise ValueError(f"{name}: expected visible ASCII characters without a colon")
    if ends_bearer and key.count(".") == _DOTS_OF_A_JWT:
        raise ValueError(f"{name}: a key must not have two dots, which is the form of a JWT")


def check_cookie(**parts: str) -> None:
    """Check names, paths and domains of cookies against RFC 6265, section 4.1.1.

    The last word of each keyword's name is the kind of the value.

    Raises:
        ValueError: A value does not match its grammar.
    """
    for part, value in parts.items():
        grammar, expected = _COOKIE_PARTS[part.rpartition("_")[2]]
        if not grammar.fullmatch(value):
            raise ValueError(f"{part}: expected {expected}")


def check_redirects(approved: Iterable[str]) -> None:
    """Check that each entry is a host without a port or an http(s) URL.

    Raises:
        ValueError: An entry is neither a host nor a URL, or has a wildcard.
    """
    for index, entry in enumerate(approved):
        if "*" in entry:
            raise ValueError(
                f"approved_redirects[{index}]: wildcards are not supported; an empty list approves every URL"
            )
        if not is_redirect_rule(entry):
            raise ValueError(f"approved_redirects[{index}]: expected a host without a port, or a URL")


def check_networks(name: str, networks: Iterable[str]) -> None:
    """Check that each entry is an IP address or a network in CIDR notation.

    Raises:
        ValueError: An entry is neither.
    """
    for index, entry in enumerate(networks):
        try:
            ip_network(entry, strict=False)
        except ValueError:
            raise ValueError(f"{name}[{index}]: expected an IP address or a network") from None


def check_unique(what: str, values: Iterable[str]) -> None:
    """Check that no value occurs twice.

    Raises:
        ValueError: A value occurs twice.
    """
    all_values = list(values)
    if len(set(all_values)) < len(all_values):
        raise ValueError(f"every {what} in a project must be unique")
