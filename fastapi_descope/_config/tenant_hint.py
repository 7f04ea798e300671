"""How a tenant is named wherever one is asked for: by its id, or by an e-mail address of its domain.

One grammar for the login, the tenant switch and ``DESCOPE_DEFAULT_TENANT``, so that what one of them takes
the others take (CB-12). It keeps out what no name holds: blanks, control characters, quotes, endless text.
It is not what makes a name safe: that it is encoded wherever it goes does.
"""

import re

__all__ = ["TENANT_HINT", "TENANT_HINT_PATTERN"]

# What RFC 5322 (3.2.3) lets stand before the @ of an address; it has the apostrophe of O'Brien.
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,128}"
TENANT_HINT_PATTERN = rf"^{_LOCAL}(?:@[A-Za-z0-9.-]{{1,125}})?$"
"""For pydantic; the domain is what is left of an address of 254 characters."""

TENANT_HINT = re.compile(TENANT_HINT_PATTERN)
"""To be matched as a whole (``fullmatch``)."""
