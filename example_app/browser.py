"""A minimal browser for the journey: cookies, navigation headers, and one redirect at a time."""

import base64
import json
import re
from dataclasses import dataclass
from html import unescape
from urllib.parse import urljoin, urlsplit

import httpx

__all__ = ["Browser", "PageResponse", "hidden_fields"]

_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')


@dataclass(frozen=True, slots=True)
class PageResponse:
    """A response without cookie values, so that its fields can be printed."""

    status: int
    text: str
    url: str
    location: str
    set_cookies: tuple[str, ...]
    cookie_attributes: str
    removed_cookies: tuple[str, ...]

    @classmethod
    def from_httpx(cls, response: httpx.Response) -> "PageResponse":
        lines = [line.partition("=") for line in response.headers.get_list("set-cookie")]
        current = [(name, rest) for name, _, rest in lines if "Max-Age=0;" not in rest]
        attributes = {_shared_attributes(rest) for _, rest in current}
        return cls(
            status=response.status_code,
            text=unescape(response.text),
            url=str(response.url),
            location=urljoin(str(response.url), response.headers.get("location", "")),
            set_cookies=tuple(name for name, _ in current),
            cookie_attributes=" | ".join(sorted(attributes)),
            removed_cookies=tuple(name for name, _, rest in lines if "Max-Age=0;" in rest),
        )

    @property
    def redirect_path(self) -> str:
        """The path of the redirect without its query, which contains codes and states."""
        return urlsplit(self.location).path


def _shared_attributes(rest: str) -> str:
    """Return the attributes of a cookie without Max-Age and Path, which differ between cookies."""
    attributes = [part for part in rest.split("; ")[1:] if not part.startswith(("Max-Age=", "Path="))]
    return ", ".join(attributes)


class Browser:
    """A browser at one app. ``client`` has the cookie jar and must not follow redirects."""

    def __init__(self, client: httpx.AsyncClient, origin: str) -> None:
        self._client = client
        self.origin = origin

    async def navigate(self, url: str) -> PageResponse:
        """Navigate to a path of the app or to another URL."""
        url = urljoin(self.origin, url)
        return PageResponse.from_httpx(await self._client.get(url, headers=_navigation("none")))

    async def submit_form(
        self, url: str, fields: dict[str, str], *, from_site: str | None = None
    ) -> PageResponse:
        """Submit a form from a page of the target's own site, or from a page of ``from_site``."""
        url = urljoin(self.origin, url)
        parts = urlsplit(url)
        sender = {"Origin": from_site or f"{parts.scheme}://{parts.netloc}"}
        headers = _navigation("cross-site" if from_site else "same-origin") | sender
        return PageResponse.from_httpx(await self._client.post(url, data=fields, headers=headers))

    async def fetch(self, path: str, cookies: dict[str, str]) -> PageResponse:
        """Send a GET request as a script would, with only these cookies."""
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        request = httpx.Request("GET", urljoin(self.origin, path), headers={"Cookie": header})
        return PageResponse.from_httpx(await self._client.send(request))

    def cookies(self, *names: str) -> dict[str, str]:
        """Return the browser's cookies with these names."""
        cookies = {cookie.name: cookie.value or "" for cookie in self._client.cookies.jar}
        return {name: cookies[name] for name in names if name in cookies}

    def claims(self) -> dict[str, object]:
        """Return the claims of the session cookie without verifying them; empty without the cookie."""
        token = self.cookies("DS").get("DS")
        if token is None:
            return {}
        payload = token.split(".")[1]
        claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims


def hidden_fields(page: PageResponse) -> dict[str, str]:
    """Return the hidden fields of a page's forms."""
    return dict(_HIDDEN.findall(page.text))


def _navigation(site: str) -> dict[str, str]:
    return {
        "Accept": "text/html",
        "Sec-Fetch-Dest": "document",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Site": site,
    }
