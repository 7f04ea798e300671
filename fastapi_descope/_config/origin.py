"""A web origin: scheme, host and port, and nothing else (RFC 6454).

Parsed by an allow-list rather than by ``urllib``, which accepts much that a browser reads differently.
Whatever is not plainly an origin is none: userinfo, a path, even a lone trailing slash, blanks,
non-ASCII, a host such as ``127.1`` that browsers turn into an address.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal, Self

from typing_extensions import override

__all__ = ["Origin"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65535
_GRAMMAR = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:]{2,39}\]|[a-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# The WHATWG rule: a host that ends in such a label is an IPv4 address, or nothing.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _host(text: str) -> str | None:
    """The host in its one spelling, or None if it is neither a name nor an address."""
    if text.startswith("["):
        address = _address(text)
        # Python's versions spell a mapped IPv4 address differently, and browsers a third way.
        is_plain = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None
        return f"[{address}]" if is_plain else None
    labels = text.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return text if _address(text) else None
    return text if all(_LABEL.fullmatch(label) for label in labels) else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, lower-case host and port; ``port`` is None where it is the scheme's own.

    Equal origins are equal values, and ``str`` gives the one spelling that browsers send.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int | None = None

    @override
    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its spelling: ``localhost``, 127.0.0.0/8 or ``[::1]``.

        No name is resolved, so a name that points to loopback today does not count.
        """
        address = _address(self.host)
        return self.host == "localhost" or (address is not None and address.is_loopback)

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP literal rather than a name."""
        return _address(self.host) is not None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The origin that ``text`` spells, in either case, or None."""
        found = _GRAMMAR.fullmatch(text.lower()) if text.isascii() else None
        host = _host(found["host"]) if found else None
        if found is None or host is None:
            return None
        scheme: Literal["http", "https"] = "https" if found["scheme"] == "https" else "http"
        port = int(found["port"] or _DEFAULT_PORTS[scheme])
        if not 0 < port <= _MAX_PORT:
            return None
        return cls(scheme, host, None if port == _DEFAULT_PORTS[scheme] else port)
