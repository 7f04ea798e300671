"""Where the emulator is reached: at the root of an origin, or behind the prefix of a mount."""

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
    "is_approved",
    "is_redirect_rule",
    "route_path",
]


def _prefix(scope: Scope) -> str:
    root: str = scope.get("root_path", "")
    return root if root and scope["path"].startswith(f"{root}/") else ""


def route_path(scope: Scope) -> str:
    """The path of a request behind the prefix, by which the emulator knows its endpoints."""
    path: str = scope["path"]
    return path.removeprefix(_prefix(scope))


def collapse_leading_slashes(scope: Scope) -> Scope:
    """The request with one slash before its path: with a base URL that ends in one, an SDK sends two."""
    return {**scope, "path": f"{_prefix(scope)}/{route_path(scope).lstrip('/')}"}


def absolute_url(request: Request, path: str) -> str:
    """The URL of one of the emulator's paths, on the origin and behind the prefix that a request went to."""
    return str(request.url.replace(path=_prefix(request.scope) + path, query=""))


LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""The hosts approved by default: a developer's own machine."""

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_PORTS = {"http": 80, "https": 443}


def _parsed(url: str) -> SplitResult | None:
    """The parts of an absolute http(s) URL without credentials, or None.

    Browsers read a backslash as a slash and drop control characters, so a URL that holds either means
    something else to them than to this parser.
    """
    if "\\" in url or " " in url or not (url.isascii() and url.isprintable()):
        return None
    try:
        parts = urlsplit(url)
        port_is_sane = parts.port != 0
    except ValueError:
        return None
    sound = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    return parts if sound and port_is_sane else None


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and the port that is meant, also where it goes without saying."""
    return parts.scheme, _host(parts), parts.port or _PORTS[parts.scheme]


def _matches(parts: SplitResult, approved: str) -> bool:
    if "://" not in approved:
        return _host(parts) == approved.lower()
    prefix = urlsplit(approved)
    root = prefix.path.rstrip("/")
    if root and {".", ".."} & set(unquote(parts.path).split("/")):
        return False  # a browser would walk out of the prefix
    return _origin(parts) == _origin(prefix) and f"{parts.path}/".startswith(f"{root}/")


def is_redirect_rule(entry: str) -> bool:
    """Whether ``entry`` can stand in a list of approved redirects: a host without a port, or a URL."""
    return _parsed(entry) is not None if "://" in entry else _HOST.fullmatch(entry) is not None


def is_approved(url: str, approved: Collection[str]) -> bool:
    """Whether the project allows sending a browser, and a code with it, to ``url``.

    An entry of ``approved`` is a host (any scheme, port and path) or a URL prefix, which must match whole
    path segments: ``https://a.example/app`` allows ``/app/callback`` and not ``/application``. No entry at
    all approves every http(s) URL, as in Descope.
    """
    parts = _parsed(url)
    return parts is not None and (not approved or any(_matches(parts, entry) for entry in approved))


def add_query(url: str, parameters: Mapping[str, str], *, rebuild: bool = False) -> str:
    """``url`` with the parameters added behind its query, which stays as it is; a fragment stays last.

    ``rebuild`` sorts old and new parameters by name and writes them all anew; a new one replaces old ones
    of its name. Which of the two Descope does is unknown (``Guesses.redirect_query``).
    """
    parts = urlsplit(url)
    added = urlencode(parameters)
    query = f"{parts.query}&{added}" if parts.query else added
    if rebuild:
        kept = [(n, v) for n, v in parse_qsl(parts.query, keep_blank_values=True) if n not in parameters]
        query = urlencode(sorted([*kept, *parameters.items()], key=lambda pair: pair[0]))
    return urlunsplit(parts._replace(query=query))
