"""Web origins: scheme, host and port (RFC 6454).

The parser is an allow-list: ``urllib`` accepts many strings that browsers interpret differently. It rejects
userinfo, a path (even a single trailing slash), whitespace, non-ASCII characters, and hosts such as ``127.1``
that browsers convert to an address.
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
# WHATWG URL standard: a host whose last label looks like this is an IPv4 address or invalid.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _host(text: str) -> str | None:
    """Return the normalised host, or None if it is neither a host name nor an address."""
    if text.startswith("["):
        address = _address(text)
        # A mapped IPv4 address is normalised differently by Python versions and browsers.
        is_unambiguous = isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None
        return f"[{address}]" if is_unambiguous else None
    labels = text.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return text if _address(text) else None
    return text if all(_LABEL.fullmatch(label) for label in labels) else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, lower-case host and port; ``port`` is None for the default port of the scheme.

    Equal origins compare equal. ``str`` returns the form that browsers send in ``Origin``.
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
        """Whether the host is ``localhost``, in 127.0.0.0/8, or ``[::1]``. Names are not resolved."""
        address = _address(self.host)
        return self.host == "localhost" or (address is not None and address.is_loopback)

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address."""
        return _address(self.host) is not None

    def domain_matches(self, domain: str) -> bool:
        """Return whether the host receives the cookies of ``domain`` (RFC 6265, section 5.1.3).

        A top-level domain, for which browsers refuse cookies, matches no host.
        """
        return not self.is_address and "." in domain and f".{self.host}".endswith(f".{domain}")

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the origin ``text``, in upper or lower case, or None if it is not an origin."""
        match = _GRAMMAR.fullmatch(text.lower()) if text.isascii() else None
        host = _host(match["host"]) if match else None
        if match is None or host is None:
            return None
        scheme: Literal["http", "https"] = "https" if match["scheme"] == "https" else "http"
        port = int(match["port"] or _DEFAULT_PORTS[scheme])
        if not 0 < port <= _MAX_PORT:
            return None
        return cls(scheme, host, None if port == _DEFAULT_PORTS[scheme] else port)
