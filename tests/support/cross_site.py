"""Who may have sent a request: every combination of what browsers say about it (requirements 2.7)."""

from tests.support.redirect_targets import OWN, TRUSTED

# The truth table of requirements 2.7 for an unsafe method. "+" passes, "." is refused.
# Columns: what the Origin header says. Rows: what Sec-Fetch-Site says.
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
