"""A shared cache that stores and reuses everything that RFC 9111 and RFC 9213 allow.

It stores responses with ``Set-Cookie``, too: such a cache serves one user's session to the next
(CVE-2025-48947, CVE-2025-64762).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from starlette.types import ASGIApp

from tests.helpers.asgi_client import Headers, WireResponse, send_request

Directives = Mapping[str, str]

PUBLIC = "public, max-age=600, s-maxage=600"

CACHE_HEADERS = {
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
"""Statuses of the responses with ``CACHE_HEADERS``."""

_HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 303, 308, 404, 405, 410, 414, 501})
_DIRECTIVE = re.compile(r"([a-z-]+)(?:=\"?([^\",]*)\"?)?")
_TARGETED = ("surrogate-control", "cdn-cache-control")
_HOP = frozenset({b"content-length", b"connection"})


def directives(response: WireResponse) -> Directives:
    """Return the directives for shared caches. A header field meant for them overrides Cache-Control."""
    for name in (*_TARGETED, "cache-control"):
        if values := response.all(name):
            return dict(_DIRECTIVE.findall(",".join(values).lower()))
    return {}


@dataclass
class SharedCache:
    """Stores responses by URL, and by the headers in ``Vary`` unless ``honours_vary`` is False.

    Time does not pass, so a response is fresh if it may be used for a second. ``hits`` counts the responses
    that the app was not asked for.
    """

    app: ASGIApp
    honours_vary: bool = True
    hits: int = 0
    _stored: dict[str, list[tuple[dict[str, list[bytes]], WireResponse]]] = field(
        default_factory=dict[str, list[tuple[dict[str, list[bytes]], WireResponse]]]
    )

    async def request(self, target: str, *headers: tuple[bytes, bytes], method: str = "GET") -> WireResponse:
        """Return a fresh stored response, or else the response of the app."""
        stored = self._find(target, headers) if method in ("GET", "HEAD") else None
        if stored is not None and _is_fresh(stored):
            self.hits += 1
            return stored if method == "GET" else replace(stored, body=b"")
        request_headers = _conditional(headers, stored)
        response = await send_request(self.app, target, request_headers, method=method)
        if stored is not None and request_headers != headers and response.status == 304:
            return self._update(target, headers, stored, response)
        if method == "HEAD" and stored is not None:
            self._update(target, headers, stored, response)
        elif method == "GET" and _may_store(headers, response):
            self._keep(target, headers, response)
        return response

    def _find(self, target: str, headers: Headers) -> WireResponse | None:
        """Return the stored response that matches these request headers (RFC 9111, section 4.1)."""
        for key, response in reversed(self._stored.get(target, [])):
            if not self.honours_vary or ("*" not in key and key == _vary_key(response, headers)):
                return response
        return None

    def _keep(self, target: str, headers: Headers, response: WireResponse) -> None:
        self._stored.setdefault(target, []).append((_vary_key(response, headers), response))

    def _update(
        self, target: str, headers: Headers, stored: WireResponse, update: WireResponse
    ) -> WireResponse:
        """Return the stored response with the headers of a 304 or a HEAD (RFC 9111, sections 3.2 and 4.3)."""
        replaced = {name.lower() for name, _ in update.headers} - _HOP
        kept = [(name, value) for name, value in stored.headers if name.lower() not in replaced]
        added = [(name, value) for name, value in update.headers if name.lower() in replaced]
        updated = replace(stored, headers=[*kept, *added])
        entries = self._stored[target]
        entries[:] = [entry for entry in entries if entry[1] is not stored]
        if _may_store(headers, updated):
            self._keep(target, headers, updated)
        return updated


def _vary_key(response: WireResponse, headers: Headers) -> dict[str, list[bytes]]:
    names = [
        name.strip().lower() for line in response.all("vary") for name in line.split(",") if name.strip()
    ]
    return {name: [value for key, value in headers if key == name.encode()] for name in names}


def _may_store(headers: Headers, response: WireResponse) -> bool:
    """Return whether RFC 9111, sections 3 and 3.5, allow a cache to store the response."""
    found = directives(response)
    if {"no-store", "private"} & found.keys():
        return False
    explicit = {"public", "s-maxage"} & found.keys()
    if (
        any(name == b"authorization" for name, _ in headers)
        and not explicit | {"must-revalidate"} & found.keys()
    ):
        return False
    return bool(explicit or "max-age" in found or response.all("expires") or response.status in _HEURISTIC)


def _is_fresh(response: WireResponse) -> bool:
    found = directives(response)
    lifetime = found.get("s-maxage", found.get("max-age"))
    return "no-cache" not in found and (lifetime is None or (lifetime.isdecimal() and int(lifetime) > 0))


def _conditional(headers: Headers, stored: WireResponse | None) -> Headers:
    tag = stored.one("etag") if stored is not None else None
    return headers if tag is None else [*headers, (b"if-none-match", tag.encode("latin-1"))]
