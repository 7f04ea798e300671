"""An app under attack: all kinds of protected routes, a scripted Descope and a frozen clock.

Project, issuer and keys are those of ``tests.helpers.tampering``.
"""

from collections.abc import Callable, Mapping

import httpx
from fastapi import FastAPI, WebSocket

from fastapi_descope import CurrentUser, Descope, DescopeSettings, OptionalUser
from tests.helpers.asgi_client import WireResponse, open_websocket, send_request
from tests.helpers.tampering import NOW, PROJECT, Forge
from tests.hostile.tables.redirect_targets import OWN, TRUSTED

Script = Callable[[httpx.Request], Mapping[str, object]]


class AttackTargetApp:
    """An app at ``OWN`` that trusts ``TRUSTED``; further keywords are settings.

    ``calls`` are the paths of the calls to Descope, without fetches of the keys. ``scripts`` are the
    responses by path; without a script the response is 500. ``ran`` are the routes whose handlers ran, each
    with its user.
    """

    def __init__(self, forge: Forge, **settings: object) -> None:
        self.now = float(NOW)
        self.key_set = forge.key_set("A", "B")
        self.key_fetches = 0
        self.calls: list[str] = []
        self.ran: list[tuple[str, str | None]] = []
        self.scripts: dict[str, Script] = {}
        self.app = FastAPI(openapi_url=None)
        values: dict[str, object] = {
            "project_id": PROJECT,
            "base_url": "https://api.descope.com",
            "public_url": OWN,
            "cookie_prefix": "",
            "trusted_origins": (TRUSTED,),
            **settings,
        }
        self.descope = Descope(
            self.app,
            settings=DescopeSettings(**values),  # type: ignore[arg-type] # any setting, by keyword
            clock=lambda: self.now,
            transport=httpx.MockTransport(self._as_descope),
        )
        self._add_routes()

    async def request(
        self, target: str, *headers: tuple[bytes, bytes], method: str = "GET", body: bytes = b""
    ) -> WireResponse:
        """Send a request and return the response."""
        return await send_request(self.app, target, headers, method=method, body=body)

    async def connect_websocket(self, *headers: tuple[bytes, bytes]) -> list[tuple[str, object]]:
        """Open a WebSocket with these headers and return the types and close codes of the messages."""
        return [
            (message["type"], message.get("code"))
            for message in await open_websocket(self.app, "/feed", headers)
        ]

    def _as_descope(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == f"/v2/keys/{PROJECT}":
            self.key_fetches += 1
            return httpx.Response(200, content=self.key_set)
        self.calls.append(path)
        script = self.scripts.get(path)
        return httpx.Response(500) if script is None else httpx.Response(200, json=dict(script(request)))

    def _add_routes(self) -> None:
        methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"]

        @self.app.get("/me")
        async def me(user: CurrentUser) -> str:
            self.ran.append(("/me", user.id))
            return user.id

        @self.app.api_route("/maybe", methods=methods)
        async def maybe(user: OptionalUser) -> str | None:
            self.ran.append(("/maybe", user.id if user else None))
            return user.id if user else None

        @self.app.websocket("/feed")
        async def feed(socket: WebSocket, user: CurrentUser) -> None:
            self.ran.append(("/feed", user.id))
            await socket.accept()


def cookie(*pairs: bytes) -> tuple[bytes, bytes]:
    """Return a Cookie header."""
    return (b"cookie", b"; ".join(pairs))


def bearer(token: bytes) -> tuple[bytes, bytes]:
    """Return an Authorization header."""
    return (b"authorization", b"Bearer " + token)


def header_bytes(text: str) -> bytes:
    """Return the text as a careless client would encode it in a header."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def token_response(forge: Forge) -> Script:
    """Return a script that responds with tokens of the user U2forge that are valid at ``NOW``."""
    refresh = forge.token(forge.claims(drn="DSR", exp=NOW + 86_400))
    pair = {"sessionJwt": forge.token(), "refreshJwt": refresh}
    return lambda _request: pair
