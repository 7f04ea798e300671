"""An OAuth client for tests: it starts an authorization, clicks through the pages and redeems the code."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from html import unescape

import httpx

from fastapi_descope.emulator import Emulator

__all__ = ["APP", "CALLBACK", "CHALLENGE", "ORIGIN", "SECRET", "SYNC", "VERIFIER", "InboundClient"]

ORIGIN = "http://127.0.0.1:4000"
CALLBACK = "http://127.0.0.1:8000/callback"
APP = "TPA2EMULATORreportReader"
SYNC = "TPA2EMULATORreportSync"
SECRET = "emulator-client-secret"
VERIFIER = "a-verifier-of-at-least-forty-three-characters"
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


class InboundClient:
    """One client of an emulator, by default the public one of the default project.

    Attributes:
        client_id: The client id.
        place: The path of the OAuth endpoints.
    """

    def __init__(
        self,
        emulator: Emulator,
        client_id: str = APP,
        *,
        secret: str = "",
        place: str = "/oauth2/v1/apps",
        origin: str = ORIGIN,
    ) -> None:
        self.client_id = client_id
        self.place = place
        self._emulator = emulator
        self._origin = origin
        self._secret = {"client_secret": secret} if secret else {}

    async def send(self, method: str, path: str, **options: object) -> httpx.Response:
        """Send a request without credentials."""
        transport = httpx.ASGITransport(self._emulator)
        async with httpx.AsyncClient(transport=transport, base_url=self._origin) as client:
            return await client.request(method, path, **options)  # type: ignore[arg-type]

    def query(self, **changes: str | list[str] | None) -> dict[str, str | list[str]]:
        """Return the parameters of an authorization request; a change to None removes one."""
        query: dict[str, str | list[str] | None] = {
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid reports:read",
            "state": "xyz",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in (query | changes).items() if value is not None}

    async def authorize(self, **changes: str | list[str] | None) -> httpx.Response:
        """Start an authorization."""
        return await self.send("GET", f"{self.place}/authorize", params=self.query(**changes))

    async def sign_in(self, user: str = "ada@acme.example", **changes: str | list[str] | None) -> str:
        """Start an authorization, sign in, and return the URL of the consent page."""
        page = (await self.authorize(**changes)).headers["location"]
        return (await self.submit(page, login_id=user)).headers["location"]

    async def submit(self, url: str, **fields: str) -> httpx.Response:
        """Open a page of the emulator and submit its form."""
        page = await self.send("GET", url)
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token is not None, page.text
        return await self.send("POST", url, data={"form_token": unescape(token[1])} | fields)

    async def code(self, user: str = "ada@acme.example", **changes: str | list[str] | None) -> str:
        """Sign in and consent, and return the code."""
        redirect = await self.submit(await self.sign_in(user, **changes), decision="allow")
        return httpx.URL(redirect.headers["location"]).params["code"]

    async def token(self, **form: str) -> httpx.Response:
        """Call the token endpoint."""
        client = {"client_id": self.client_id} | self._secret
        return await self.send("POST", f"{self.place}/token", data=client | form)

    async def redeem(self, code: str, **form: str) -> httpx.Response:
        """Exchange a code."""
        grant = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
        return await self.token(**(grant | form))

    async def tokens(
        self, user: str = "ada@acme.example", **changes: str | list[str] | None
    ) -> dict[str, str]:
        """Complete the flow and return the body of the token response."""
        response = await self.redeem(await self.code(user, **changes))
        assert response.status_code == 200, response.text
        body: dict[str, str] = response.json()
        return body

    async def refresh(self, token: str, **form: str) -> httpx.Response:
        """Refresh."""
        return await self.token(**({"grant_type": "refresh_token", "refresh_token": token} | form))
