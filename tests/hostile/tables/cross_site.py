"""Cross-site requests: every combination of Sec-Fetch-Site and Origin (requirements 2.7)."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.hostile.tables.redirect_targets import OWN, TRUSTED

# The truth table of requirements 2.7 for an unsafe method. "+" is allowed, "." is rejected.
# Columns: the value of Origin. Rows: the value of Sec-Fetch-Site.
ORIGIN_HEADERS = {
    "absent": None,
    "own": OWN,
    "trusted": TRUSTED,
    "http": "http://app.example.com",
    "port": "https://app.example.com:444",
    "slash": "https://app.example.com/",
    "case": "https://APP.example.com",
    "sibling": "https://evil.example.com",
    "evil": "https://evil.example",
    "null": "null",
    "empty": "",
}
TRUTH = {
    #               absent own trusted http port slash case sibling evil null empty
    None:           "+     +   +       .    .    .     .    .       .    .    .",
    "same-origin":  "+     +   +       +    +    +     +    +       +    +    +",
    "none":         "+     +   +       +    +    +     +    +       +    +    +",
    "same-site":    ".     .   +       .    .    .     .    .       .    .    .",
    "cross-site":   ".     .   +       .    .    .     .    .       .    .    .",
    "":             ".     .   +       .    .    .     .    .       .    .    .",
    "Same-Origin":  ".     .   +       .    .    .     .    .       .    .    .",
    "same-origin ": ".     .   +       .    .    .     .    .       .    .    .",
    "none, none":   ".     .   +       .    .    .     .    .       .    .    .",
    "\xff":         ".     .   +       .    .    .     .    .       .    .    .",
}  # fmt: skip

# No browser sends either header twice, so such a request is rejected for any values.
SITES_TWICE = (
    ("same-origin", "same-origin"),
    ("none", "none"),
    ("same-origin", "cross-site"),
    ("cross-site", "same-origin"),
)
ORIGINS_TWICE = ((OWN, OWN), (TRUSTED, TRUSTED), (OWN, "https://evil.example"), ("https://evil.example", OWN))


@dataclass(frozen=True, slots=True)
class Case:
    """The values of both headers, and whether an unsafe request with cookies is allowed."""

    sites: Sequence[str]
    origins: Sequence[str]
    is_allowed: bool

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the request."""
        sites = [(b"sec-fetch-site", site.encode("latin-1")) for site in self.sites]
        return sites + [(b"origin", origin.encode("latin-1")) for origin in self.origins]


def _values(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


CASES = (
    *(
        Case(_values(site), _values(origin), verdict == "+")
        for site, row in TRUTH.items()
        for origin, verdict in zip(ORIGIN_HEADERS.values(), row.split(), strict=True)
    ),
    *(Case(sites, _values(origin), False) for sites in SITES_TWICE for origin in ORIGIN_HEADERS.values()),
    *(Case(_values(site), origins, False) for site in TRUTH for origins in ORIGINS_TWICE),
)
"""The whole table, repeated headers included."""

UNSAFE_METHODS = ("POST", "PUT", "PATCH", "DELETE", "PROPFIND")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
