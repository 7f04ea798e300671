"""The grammar of a tenant hint: a tenant id, or an e-mail address whose domain belongs to a tenant.

The login, the tenant switch and ``DESCOPE_DEFAULT_TENANT`` share it, so that they accept the same values.
It rejects whitespace, control characters, quotes and long text. It does not make a hint safe to
embed: every use encodes it.
"""

import re

# CB-12: tenant hints have one grammar.
__all__ = ["EMAIL", "TENANT_HINT", "TENANT_HINT_PATTERN"]

# The local part of an address (RFC 5322, section 3.2.3); O'Brien needs the apostrophe.
_LOCAL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,128}"
TENANT_HINT_PATTERN = rf"^{_LOCAL}(?:@[A-Za-z0-9.-]{{1,125}})?$"
"""The pattern for pydantic. An address has at most 254 characters, so a domain has at most 125."""

EMAIL = re.compile(rf"(?=.{{3,254}}\Z){_LOCAL}@[A-Za-z0-9.-]{{1,253}}")
"""An e-mail address, of the characters of a tenant hint."""

TENANT_HINT = re.compile(TENANT_HINT_PATTERN)
"""The compiled pattern, for ``fullmatch``."""
