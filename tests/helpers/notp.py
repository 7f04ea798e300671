"""nOTP sign-ins in tests: the page, the phone, and the requests for the session."""

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from html import unescape

import httpx

from fastapi_descope._web.login_transactions import Transaction
from tests.helpers.app_harness import APP, AppHarness, Browser

ADA = "ada@acme.example"
LOGIN_COOKIE = re.compile(
    r"descope_login_[0-9a-f]{16}=[\w-]{43}\.\d+\.[\w-]{43}\.n\.[\w-]*\.\.[\w-]+"
    r"; Max-Age=600; Path=/; HttpOnly; SameSite=Lax"
)
TRUSTED = "https://front.example"


@dataclass
class SignIn:
    """A sign-in that a browser has started."""

    env: AppHarness
    browser: Browser
    url: str
    state: str
    page: str = field(default="", repr=False)

    @property
    def reference(self) -> str:
        """The pending reference, from the cookie."""
        references = [
            transaction.pending_ref
            for cookie in self.browser.http.cookies.jar
            if cookie.name.startswith("descope_login_")
            and (transaction := Transaction.parse((cookie.value or "").encode()))
        ]
        return references[-1]

    async def confirm(self, user: str = ADA) -> None:
        """Confirm the sign-in on a phone: the emulator's page stands for WhatsApp."""
        phone = self.env.browser()
        await phone.choose(await phone.visit(self.url), user)

    async def poll(self, browser: Browser | None = None, **headers: str) -> httpx.Response:
        """Request the session as a script does, a second after the previous request."""
        self.env.emulator.clock.advance(1)
        return await post_json(
            browser or self.browser, "/login/notp/session", {"state": self.state}, **headers
        )

    async def send_form(self) -> httpx.Response:
        """Request the session as the form of the page does."""
        self.env.emulator.clock.advance(1)
        return await self.browser.post(
            "/login/notp/session", {"state": self.state}, sec_fetch_mode="navigate"
        )


async def post_json(browser: Browser, path: str, body: object, **headers: str) -> httpx.Response:
    """Send JSON as a script of the app does."""
    wire = {"content-type": "application/json", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
    wire |= {name.replace("_", "-"): value for name, value in headers.items()}
    content = json.dumps(body).encode("ascii")
    response = await browser.http.post(APP + path, content=content, headers=wire)
    browser.log.append(response)
    return response


async def open_page(env: AppHarness, browser: Browser | None = None, query: str = "") -> SignIn:
    """Open the page, and return the sign-in that it shows."""
    browser = browser or env.browser()
    response = await browser.visit(f"/login/notp{query}")
    assert response.status_code == 200, response.text
    link = re.search(r'<a href="([^"]+)" target="_blank"', response.text)
    state = re.search(r'data-state="([\w-]{43})"', response.text)
    assert link
    assert state
    return SignIn(env, browser, unescape(link[1]), state[1], response.text)


def csp_hash(script: str) -> str:
    """Return the source expression of a script in a Content-Security-Policy."""
    return "sha256-" + b64encode(sha256(script.encode()).digest()).decode()


def attribute(page: str, name: str) -> str:
    """Return an attribute of the page's script."""
    found = re.search(rf'data-{name}="([^"]*)"', page)
    assert found
    return unescape(found[1])
