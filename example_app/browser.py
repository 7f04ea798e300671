"""As much of a browser as the journey needs: cookies, redirects one at a time, and who sent what."""

import base64
import json
import re
from dataclasses import dataclass
from html import unescape
from urllib.parse import urljoin, urlsplit

import httpx

__all__ = ["Browser", "Seen"]

_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer, as far as it may be printed: no cookie's value, and of an address only where it leads."""

    status: int
    text: str
    url: str
    location: str
    cookies: tuple[str, ...]
    attributes: str
    removed: tuple[str, ...]

    @classmethod
    def of(cls, response: httpx.Response) -> "Seen":
        lines = [line.partition("=") for line in response.headers.get_list("set-cookie")]
        kept = [(name, rest) for name, _, rest in lines if "Max-Age=0;" not in rest]
        attributes = {_lasting(rest) for _, rest in kept}
        return cls(
            status=response.status_code,
            text=unescape(response.text),
            url=str(response.url),
            location=urljoin(str(response.url), response.headers.get("location", "")),
            cookies=tuple(name for name, _ in kept),
            attributes=" | ".join(sorted(attributes)),
            removed=tuple(name for name, _, rest in lines if "Max-Age=0;" in rest),
        )

    @property
    def leads_to(self) -> str:
        """The path of the redirect, without its query."""
        return urlsplit(self.location).path


def _lasting(rest: str) -> str:
    """The attributes of a cookie but for the two that differ from one to the next."""
    shown = [part for part in rest.split("; ")[1:] if not part.startswith(("Max-Age=", "Path="))]
    return ", ".join(shown)


class Browser:
    """One person at one app. ``client`` has the cookies and the connections; it must not follow redirects."""

    def __init__(self, client: httpx.AsyncClient, origin: str) -> None:
        self._client = client
        self.origin = origin

    async def go(self, address: str) -> Seen:
        """Open an address: a path of the app, or a URL of anywhere."""
        url = urljoin(self.origin, address)
        return Seen.of(await self._client.get(url, headers=_navigation("none")))

    async def submit(self, address: str, fields: dict[str, str], *, from_site: str | None = None) -> Seen:
        """Post a form that stands on a page of the address's own site, or of ``from_site``."""
        url = urljoin(self.origin, address)
        parts = urlsplit(url)
        sender = {"Origin": from_site or f"{parts.scheme}://{parts.netloc}"}
        headers = _navigation("cross-site" if from_site else "same-origin") | sender
        return Seen.of(await self._client.post(url, data=fields, headers=headers))

    async def call(self, path: str, cookies: dict[str, str]) -> Seen:
        """Ask as a script would, with these cookies and no others."""
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        request = httpx.Request("GET", urljoin(self.origin, path), headers={"Cookie": header})
        return Seen.of(await self._client.send(request))

    def cookies(self, *names: str) -> dict[str, str]:
        """The cookies of these names that the browser holds."""
        held = {cookie.name: cookie.value or "" for cookie in self._client.cookies.jar}
        return {name: held[name] for name in names if name in held}

    def claims(self) -> dict[str, object]:
        """What the session cookie says, unverified: to look at, never to decide by. Empty without one."""
        token = self.cookies("DS").get("DS")
        if token is None:
            return {}
        payload = token.split(".")[1]
        claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims


def form_token(page: Seen) -> str:
    """The hidden field of the emulator's sign-in page; empty if it is not there."""
    found = _FORM_TOKEN.search(page.text)
    return found[1] if found else ""


def _navigation(site: str) -> dict[str, str]:
    return {
        "Accept": "text/html",
        "Sec-Fetch-Dest": "document",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Site": site,
    }
