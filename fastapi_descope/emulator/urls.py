"""The emulator's own URLs, and the redirect URLs that a project approves.

Descope rejects redirect URLs outside the project's approved domains (wire contract, section 2.1).
"""

import re
from collections.abc import Collection, Mapping
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.types import Scope

__all__ = [
    "LOOPBACK_HOSTS",
    "absolute_url",
    "add_query",
    "collapse_leading_slashes",
    "is_absolute_url",
    "is_approved",
    "is_redirect_rule",
    "is_registered_redirect",
    "route_path",
]


# A sign-in returns to this machine only, unless the project says otherwise (EM-06).
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The hosts that are approved by default."""

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_PORTS = {"http": 80, "https": 443}


def _prefix(scope: Scope) -> str:
    root: str = scope.get("root_path", "")
    return root if root and scope["path"].startswith(f"{root}/") else ""


def route_path(scope: Scope) -> str:
    """Return the path of a request without the prefix of a mount, as the routes of the emulator have it."""
    path: str = scope["path"]
    return path.removeprefix(_prefix(scope))


def collapse_leading_slashes(scope: Scope) -> Scope:
    """Return the scope with one slash at the start of its path.

    With a base URL that ends in a slash, an SDK sends two.
    """
    return {**scope, "path": f"{_prefix(scope)}/{route_path(scope).lstrip('/')}"}


def absolute_url(request: Request, path: str) -> str:
    """Return the URL of a path of the emulator, with the origin and the mount prefix of ``request``."""
    return str(request.url.replace(path=_prefix(request.scope) + path, query=""))


def _parse(url: str) -> SplitResult | None:
    """Return the parts of an absolute http(s) URL without credentials, or None.

    Browsers read a backslash as a slash and drop control characters. They would parse a URL with either
    differently from this parser, so it is rejected.
    """
    if "\\" in url or " " in url or not (url.isascii() and url.isprintable()):
        return None
    try:
        parts = urlsplit(url)
        has_valid_port = parts.port != 0
    except ValueError:
        return None
    is_valid = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    return parts if is_valid and has_valid_port else None


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    """Return the scheme, the host and the port, which is the scheme's default if the URL has none."""
    return parts.scheme, _host(parts), parts.port or _PORTS[parts.scheme]


def _matches(parts: SplitResult, approved: str) -> bool:
    if "://" not in approved:
        return _host(parts) == approved.lower()
    prefix = urlsplit(approved)
    root = prefix.path.rstrip("/")
    if root and {".", ".."} & set(unquote(parts.path).split("/")):
        return False  # a browser resolves these and leaves the prefix
    return _origin(parts) == _origin(prefix) and f"{parts.path}/".startswith(f"{root}/")


def is_absolute_url(url: str) -> bool:
    """Return whether ``url`` is an http(s) URL with a host, without credentials and without a fragment."""
    parts = _parse(url)
    return parts is not None and "#" not in url


def is_redirect_rule(entry: str) -> bool:
    """Return whether ``entry`` can be an approved redirect: a host without a port, or a URL."""
    return _parse(entry) is not None if "://" in entry else _HOST.fullmatch(entry) is not None


def is_approved(url: str, approved: Collection[str]) -> bool:
    """Return whether the project allows sending a browser with a code to ``url``.

    Args:
        url: The redirect URL.
        approved: Hosts (with any scheme, port and path) and URL prefixes, which match whole path segments:
            ``https://a.example/app`` allows ``/app/callback`` but not ``/application``. If empty, every
            http(s) URL is approved, as in Descope.
    """
    parts = _parse(url)
    return parts is not None and (not approved or any(_matches(parts, entry) for entry in approved))


def is_registered_redirect(url: str, registered: Collection[str]) -> bool:
    """Return whether ``url`` is one of an OAuth client's redirect URIs.

    They are compared as text, except the port of a loopback address, which a native app chooses when it
    listens (RFC 8252, section 7.3).
    """
    return url in registered or _without_loopback_port(url) in map(_without_loopback_port, registered)


def _without_loopback_port(url: str) -> str:
    parts = _parse(url)
    if parts is None or _host(parts) not in LOOPBACK_HOSTS:
        return url
    return urlunsplit(parts._replace(netloc=_host(parts)))


def add_query(url: str, parameters: Mapping[str, str], *, rebuild: bool = False) -> str:
    """Return ``url`` with parameters appended to its query.

    Args:
        url: The URL. Its query and its fragment are kept.
        parameters: The parameters.
        rebuild: Sort old and new parameters by name and encode all of them again; a new parameter replaces
            old ones of the same name. It is unknown which of the two Descope does
            (``Assumptions.redirect_query``).
    """
    parts = urlsplit(url)
    added = urlencode(parameters)
    query = f"{parts.query}&{added}" if parts.query else added
    if rebuild:
        kept = [(n, v) for n, v in parse_qsl(parts.query, keep_blank_values=True) if n not in parameters]
        query = urlencode(sorted([*kept, *parameters.items()], key=lambda pair: pair[0]))
    return urlunsplit(parts._replace(query=query))
