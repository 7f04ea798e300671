"""What caches must know of an answer that depends on who asks."""

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import Message

__all__ = ["set_cache_headers"]

_SHARED_CACHE_HEADERS = ("expires", "surrogate-control", "cdn-cache-control", "x-accel-expires")
"""How the names of headers end that outrank ``Cache-Control`` somewhere (RFC 9213, and nginx)."""

_SPOKEN_OF = frozenset({b"cache-control", b"vary"})

_PRIVATE = ((b"vary", b"Cookie, Authorization"), (b"cache-control", b"private"))


def set_cache_headers(message: Message, *, sets_cookies: bool) -> None:
    """Say in the start of a response that it depends on who asks; keep ``Set-Cookie`` out of shared caches.

    A cached ``Set-Cookie`` hands one user's session to the next (CA-01, CA-02; CVE-2025-48947), whatever
    the status: a 304 updates what a cache holds (CA-04).
    """
    raw: Sequence[tuple[bytes, bytes]] = message["headers"]
    if not sets_cookies and _SPOKEN_OF.isdisjoint(name for name, _ in raw):  # most answers of most apps
        message["headers"] = [*raw, *_PRIVATE]
        return
    headers = MutableHeaders(scope=message)
    _vary(headers, ("Cookie",) if sets_cookies else ("Cookie", "Authorization"))
    if not sets_cookies:
        headers.setdefault("Cache-Control", "private")
        return
    headers["Cache-Control"] = "private, no-store"
    for name in [name for name in headers if name.endswith(_SHARED_CACHE_HEADERS)]:
        del headers[name]


def _vary(headers: MutableHeaders, names: tuple[str, ...]) -> None:
    """Merge ``names`` into ``Vary``; the app's own entries stay first, and ``*`` says it all already."""
    if "vary" not in headers:
        headers.append("Vary", ", ".join(names))
        return
    present = [entry.strip() for line in headers.getlist("vary") for entry in line.split(",")]
    known = {entry.lower() for entry in present}
    if "*" not in known:
        added = [name for name in names if name.lower() not in known]
        headers["Vary"] = ", ".join([entry for entry in present if entry] + added)
