"""A shared cache in front of an app, as RFC 9111 and RFC 9213 allow one to be, and no more careful.

It keeps whatever it is not forbidden to keep, ``Set-Cookie`` included, and reuses it for as long as it is
allowed to: that is the cache which hands one user's session to the next (CVE-2025-48947, CVE-2025-64762).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from starlette.types import ASGIApp

from tests.helpers.asgi_client import Headers, WireResponse, send_request

Directives = Mapping[str, str]

PUBLIC = "public, max-age=600, s-maxage=600"

TELLS_CACHES = {
    "cache-control": [
        PUBLIC,
        "max-age=600",
        "s-maxage=600, must-revalidate",
        "no-cache",
        "max-age=0",
        "private",
    ],
    "expires": ["Thu, 01 Jan 2037 00:00:00 GMT", "0"],
    "surrogate-control": ["max-age=600", 'content="ESI/1.0"'],
    "cdn-cache-control": ["max-age=600", "public, s-maxage=600", "no-store"],
    "cloudflare-cdn-cache-control": ["max-age=600"],
    "x-accel-expires": ["600"],
    "vary": ["Accept-Encoding", "cookie", "COOKIE, Accept", "*", "", "Origin"],
    "etag": ['"v1"', 'W/"v1"'],
    "pragma": ["public", "no-cache"],
    "set-cookie": ["theme=dark; Path=/"],
}
STATUSES = (200, 203, 204, 206, 301, 404, 410)
"""What an app may tell caches, by header; and with which status, by ``STATUSES``."""

_HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 303, 308, 404, 405, 410, 414, 501})
_DIRECTIVE = re.compile(r"([a-z-]+)(?:=\"?([^\",]*)\"?)?")
_TARGETED = ("surrogate-control", "cdn-cache-control")
_HOP = frozenset({b"content-length", b"connection"})


def directives(answer: WireResponse) -> Directives:
    """What an answer tells a shared cache: a field meant for such caches outranks Cache-Control."""
    for name in (*_TARGETED, "cache-control"):
        if values := answer.all(name):
            return dict(_DIRECTIVE.findall(",".join(values).lower()))
    return {}


@dataclass
class SharedCache:
    """Stores by URL, and by what ``Vary`` names unless ``keeps_apart`` is off, as some do by design.

    Time stands still, so an answer is fresh if it may be so for a second. ``hits`` counts what was answered
    without the app.
    """

    app: ASGIApp
    keeps_apart: bool = True
    hits: int = 0
    _stored: dict[str, list[tuple[dict[str, list[bytes]], WireResponse]]] = field(
        default_factory=dict[str, list[tuple[dict[str, list[bytes]], WireResponse]]]
    )

    async def ask(self, target: str, *headers: tuple[bytes, bytes], method: str = "GET") -> WireResponse:
        """The answer to a request: a stored one if it is fresh, the app's own otherwise."""
        stored = self._find(target, headers) if method in ("GET", "HEAD") else None
        if stored is not None and _is_fresh(stored):
            self.hits += 1
            return stored if method == "GET" else replace(stored, body=b"")
        asked = _conditional(headers, stored)
        answer = await send_request(self.app, target, asked, method=method)
        if stored is not None and asked != headers and answer.status == 304:
            return self._update(target, headers, stored, answer)
        if method == "HEAD" and stored is not None:
            self._update(target, headers, stored, answer)
        elif method == "GET" and _may_store(headers, answer):
            self._keep(target, headers, answer)
        return answer

    def _find(self, target: str, headers: Headers) -> WireResponse | None:
        """The stored answer that fits these request headers (RFC 9111, section 4.1)."""
        for key, answer in reversed(self._stored.get(target, [])):
            if not self.keeps_apart or ("*" not in key and key == _vary_key(answer, headers)):
                return answer
        return None

    def _keep(self, target: str, headers: Headers, answer: WireResponse) -> None:
        self._stored.setdefault(target, []).append((_vary_key(answer, headers), answer))

    def _update(
        self, target: str, headers: Headers, stored: WireResponse, news: WireResponse
    ) -> WireResponse:
        """The stored answer with the header fields of a 304 or a HEAD (RFC 9111, sections 3.2 and 4.3)."""
        replaced = {name.lower() for name, _ in news.headers} - _HOP
        kept = [(name, value) for name, value in stored.headers if name.lower() not in replaced]
        added = [(name, value) for name, value in news.headers if name.lower() in replaced]
        updated = replace(stored, headers=[*kept, *added])
        entries = self._stored[target]
        entries[:] = [entry for entry in entries if entry[1] is not stored]
        if _may_store(headers, updated):
            self._keep(target, headers, updated)
        return updated


def _vary_key(answer: WireResponse, headers: Headers) -> dict[str, list[bytes]]:
    names = [name.strip().lower() for line in answer.all("vary") for name in line.split(",") if name.strip()]
    return {name: [value for key, value in headers if key == name.encode()] for name in names}


def _may_store(headers: Headers, answer: WireResponse) -> bool:
    """RFC 9111, sections 3 and 3.5, read as generously as they can be."""
    told = directives(answer)
    if {"no-store", "private"} & told.keys():
        return False
    explicit = {"public", "s-maxage"} & told.keys()
    if (
        any(name == b"authorization" for name, _ in headers)
        and not explicit | {"must-revalidate"} & told.keys()
    ):
        return False
    return bool(explicit or "max-age" in told or answer.all("expires") or answer.status in _HEURISTIC)


def _is_fresh(answer: WireResponse) -> bool:
    told = directives(answer)
    lifetime = told.get("s-maxage", told.get("max-age"))
    return "no-cache" not in told and (lifetime is None or (lifetime.isdecimal() and int(lifetime) > 0))


def _conditional(headers: Headers, stored: WireResponse | None) -> Headers:
    tag = stored.one("etag") if stored is not None else None
    return headers if tag is None else [*headers, (b"if-none-match", tag.encode("latin-1"))]
