"""Claims of another project, another kind or another time, and malformed ones (TV-11 to TV-15, KD-03)."""

from collections.abc import Mapping

from tests.helpers.tampering import PROJECT

NOT_TIMES: Mapping[str, object] = {
    "null": None,
    "true": True,
    "false": False,
    "text": "1800000600",
    "padded text": " 1800000600 ",
    "underscores": "1_800_000_600",
    "date": "2027-01-15T08:00:00Z",
    "list": [1_800_000_600],
    "empty list": [],
    "object": {"exp": 1_800_000_600},
    "negative": -1,
    "year 10000": 253_402_300_800,
    "20 digits": 99_999_999_999_999_999_999,
    "1e300": 1e300,
}

ISSUERS: Mapping[str, object] = {
    "missing": ...,
    "null": None,
    "empty": "",
    "int": 1,
    "true": True,
    "list": [PROJECT],
    "object": {PROJECT: 1},
    "another project": "P2otherotherotherotherothero",
    "upper case": PROJECT.upper(),
    "lower case": PROJECT.lower(),
    "trailing slash": f"https://api.descope.com/{PROJECT}/",
    "trailing space": f"{PROJECT} ",
    "trailing nul": f"{PROJECT}\x00",
    "prefix": PROJECT[:-1],
    "suffix trick": f"https://evil.example/{PROJECT}",
    "prefix trick": f"https://api.descope.com.evil.example/{PROJECT}",
    "user trick": f"https://api.descope.com@evil.example/{PROJECT}",
    "path trick": f"https://api.descope.com/x/../{PROJECT}",
    "query trick": f"https://api.descope.com/P2other?/{PROJECT}",
    "http": f"http://api.descope.com/{PROJECT}",
    "host in capitals": f"https://API.descope.com/{PROJECT}",
    "port": f"https://api.descope.com:443/{PROJECT}",
    "second to last": f"https://api.descope.com/v1/apps/agentic/{PROJECT}/server",
}

AUDIENCES: Mapping[str, object] = {
    "null": None,
    "empty": "",
    "empty list": [],
    "another": "P2other",
    "list of another": ["P2other"],
    "int": 1,
    "true": True,
    "mixed": [PROJECT, 1],
    "mixed with null": [None, PROJECT],
    "nested": [[PROJECT]],
    "object": {PROJECT: 1},
    "substring": f"{PROJECT}x",
    "superstring": PROJECT[1:],
    "joined": f"{PROJECT} other",
    "case": PROJECT.lower(),
}

SUBJECTS: Mapping[str, object] = {
    "null": None,
    "empty": "",
    "int": 1,
    "true": True,
    "list": ["U2forge"],
    "object": {},
    "256 characters": "u" * 256,
    "nul": "U2\x00forge",
    "newline": "U2forge\n",
    "carriage return": "\rU2forge",
    "escape": "U2\x1b[31mforge",
    "delete": "U2\x7f",
    "c1 control": "U2\x9bforge",
    "next line": "U2\x85forge",
}

KINDS: Mapping[str, object] = {
    "missing": ...,
    "null": None,
    "empty": "",
    "lower case": "ds",
    "refresh in lower case": "dsr",
    "trailing space": "DS ",
    "device": "DTD",
    "access key": "access-key",
    "prefixed": "__Host-DS",
    "list": ["DS"],
    "object": {"DS": 1},
    "int": 1,
    "true": True,
}
