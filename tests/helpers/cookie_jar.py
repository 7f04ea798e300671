"""Cookie jars of browsers: they receive ``Set-Cookie`` values and send ``Cookie`` headers."""

from email.message import Message
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from io import BytesIO
from typing import cast
from urllib.request import Request
from urllib.response import addinfourl

Headers = list[tuple[bytes, bytes]]


class StandardJar:
    """The cookie jar of the standard library, at a page of ``url``, as an independent check of attributes."""

    def __init__(self, url: str) -> None:
        self._jar, self._url = CookieJar(), url

    def receive(self, lines: list[bytes], url: str | None = None) -> None:
        """Store the ``Set-Cookie`` values of one response of ``url``, or of the page."""
        message = Message()
        for line in lines:
            message["Set-Cookie"] = line.decode("ascii")
        response = cast("HTTPResponse", addinfourl(BytesIO(), message, url or self._url))
        self._jar.extract_cookies(response, Request(url or self._url))  # noqa: S310 - nothing is opened

    @property
    def headers(self) -> Headers:
        """The headers of the next request."""
        return self.headers_for(self._url)

    def headers_for(self, url: str) -> Headers:
        """Return the headers of the next request to ``url``."""
        request = Request(url)  # noqa: S310 - nothing is opened
        self._jar.add_cookie_header(request)
        return [(b"cookie", value.encode("ascii")) for _, value in request.header_items()]

    @property
    def names(self) -> list[str]:
        """The names of the cookies in the jar, sorted."""
        return sorted(cookie.name for cookie in self._jar)

    def scopes(self, name: str) -> list[tuple[str, str]]:
        """Return domain and path of each cookie with this name. The domain starts with a dot if set."""
        return sorted((cookie.domain, cookie.path) for cookie in self._jar if cookie.name == name)

    def value(self, name: str, domain: str) -> str | None:
        """Return the value of a cookie for every path."""
        found = (cookie for cookie in self._jar if (cookie.name, cookie.domain) == (name, domain))
        return next((cookie.value for cookie in found if cookie.path == "/"), None)

    def expire(self, name: str, domain: str) -> None:
        """Remove a cookie, as a browser does when its ``Max-Age`` is over."""
        self._jar.clear(domain, "/", name)


class PlainJar:
    """Cookies by name, which a test can tamper with. Cookies over 4,096 bytes are dropped."""

    def __init__(self, cookies: dict[str, str] | None = None) -> None:
        self.cookies = dict(cookies or {})

    def receive(self, lines: list[bytes]) -> None:
        """Store the ``Set-Cookie`` values of one response."""
        for line in lines:
            name, _, value = line.decode("ascii").partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if b"Max-Age=0;" not in line and len(name) + len(value) <= 4_096:
                self.cookies[name] = value

    @property
    def headers(self) -> Headers:
        """The headers of the next request."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return [(b"host", b"app.example.com"), (b"cookie", cookies.encode("latin-1"))]

    @property
    def size(self) -> int:
        """The bytes of all names and values together."""
        return sum(len(name) + len(value) for name, value in self.cookies.items())


def deleted_names(lines: list[str]) -> set[str]:
    """Return the names of the cookies that these ``Set-Cookie`` values delete."""
    return {line.partition("=")[0] for line in lines if "Max-Age=0" in line}
