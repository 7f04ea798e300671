"""An app with a route for each kind of caller, and the credentials with which programs call it."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import httpx
from fastapi import FastAPI, Security, WebSocket
from starlette.websockets import WebSocketDisconnect

from fastapi_descope import (
    AuthSession,
    Caller,
    CurrentCaller,
    CurrentDelegate,
    CurrentMachine,
    CurrentTenant,
    CurrentUser,
    Delegate,
    Machine,
    OptionalUser,
    Tenant,
    User,
    current_caller,
    current_delegate,
    current_machine,
    tenant_id_var,
)
from fastapi_descope.emulator import AccessKey, Grants, Project, SeedUser
from tests.helpers.app_harness import IDP, AppHarness
from tests.helpers.inbound_client import APP, InboundClient

__all__ = [
    "CREDENTIALS",
    "INBOUND_FORMS",
    "OTHER",
    "OTHER_KEY",
    "PROJECT",
    "READER",
    "READER_KEY",
    "ROUTES",
    "SCOPE",
    "Credentials",
    "add_caller_routes",
]

SCOPE = "reports:read"
READER, OTHER = "ada@acme.example", "grace@acme.example"
READER_KEY, OTHER_KEY = "K2reader-0123456789", "K2other-0123456789"
_OLD_KEY = "K2old-0123456789"
_LEEWAY = 5

PROJECT = Project(
    users=(
        SeedUser(READER, tenants={"acme": Grants(("viewer",), (SCOPE,))}),
        SeedUser(OTHER, tenants={"acme": Grants(("viewer",), ())}),
    ),
    access_keys=(
        AccessKey("K2reader", READER_KEY, tenants={"acme": Grants()}, permissions=(SCOPE,)),
        AccessKey("K2other", OTHER_KEY),
        AccessKey("K2old", _OLD_KEY, expires_at=1),
    ),
)

ROUTES: Mapping[str, tuple[str, object]] = {
    "`CurrentUser`": ("/user", CurrentUser),
    "`OptionalUser`": ("/optional", OptionalUser),
    "`CurrentTenant`": ("/tenant", CurrentTenant),
    "`CurrentCaller`": ("/caller", CurrentCaller),
    "`current_caller`, scope": ("/scope", Annotated[Caller, Security(current_caller, scopes=[SCOPE])]),
    "`CurrentDelegate`": ("/delegate", CurrentDelegate),
    "`current_delegate`, scope": (
        "/delegate/scope",
        Annotated[Delegate, Security(current_delegate, scopes=[SCOPE])],
    ),
    "`CurrentMachine`": ("/machine", CurrentMachine),
    "`current_machine`, scope": (
        "/machine/scope",
        Annotated[Machine, Security(current_machine, scopes=[SCOPE])],
    ),
}
"""The path and the parameter of each route, by its column in docs/reference/callers.md."""


def add_caller_routes(app: FastAPI) -> None:
    """Add the routes, each for GET, for a form, and for WebSockets below ``/ws``."""
    for path, annotation in ROUTES.values():
        endpoint, socket_endpoint = _endpoints(annotation)
        app.add_api_route(path, endpoint)
        app.add_api_route(path, endpoint, methods=["POST"], include_in_schema=False)
        app.add_api_websocket_route(f"/ws{path}", socket_endpoint)


def _endpoints(annotation: object) -> tuple[Callable[..., object], Callable[..., object]]:
    async def endpoint(caller: Any) -> dict[str, object] | None:
        return None if caller is None else _facts(caller)

    async def socket_endpoint(socket: WebSocket, caller: Any) -> None:
        await socket.accept()
        await socket.send_json(None if caller is None else _facts(caller))
        with suppress(WebSocketDisconnect):
            await socket.receive_text()

    for each in (endpoint, socket_endpoint):
        each.__annotations__["caller"] = annotation
    return endpoint, socket_endpoint


def _facts(caller: Caller | User | Tenant) -> dict[str, object]:
    """Return the kind of the caller, and what tells it from another one."""
    facts: dict[str, object] = {"kind": type(caller).__name__}
    match caller:
        case Delegate():
            facts |= {"client": caller.client_id, "user": caller.user_id, "scopes": sorted(caller.scopes)}
        case Machine():
            facts |= {"id": caller.id, "subject": caller.subject, "roles": list(caller.roles)}
        case AuthSession():
            facts |= {"user": caller.user.id}
        case User() | Tenant():
            return facts | {"id": caller.id}
    return facts | {"tenant": caller.tenant_id, "context": tenant_id_var.get()}


class Credentials:
    """Obtains the credentials of programs from the emulator, as they do."""

    def __init__(self, env: AppHarness) -> None:
        env.emulator.base_url = IDP  # the issuer of OAuth tokens
        self._emulator = env.emulator

    async def session(self, user: str = READER, tenant: str | None = "acme") -> str:
        """Return the session token of a user."""
        return self._emulator.issue(user, tenant).session_jwt

    async def refresh(self) -> str:
        """Return the refresh token of a user."""
        return self._emulator.issue(READER, "acme").refresh_jwt

    async def oauth(self, name: str, **query: str) -> str:
        """Return a token that an inbound app gets when a user has consented."""
        return (await InboundClient(self._emulator, origin=IDP).tokens(READER, **query))[name]

    async def exchanged(self) -> str:
        """Return the session token for which a machine has exchanged its access key itself."""
        headers = {"authorization": f"Bearer {self._emulator.project_id}:{READER_KEY}"}
        body = {"loginOptions": {"selectedTenant": "acme"}}
        transport = httpx.ASGITransport(self._emulator)
        async with httpx.AsyncClient(transport=transport, base_url=IDP) as http:
            response = await http.post("/v1/auth/accesskey/exchange", json=body, headers=headers)
        token: str = response.json()["sessionJwt"]
        return token

    async def key(self, secret: str) -> str:
        """Return an access key."""
        return secret

    async def delegate(self, **claims: object) -> str:
        """Return the access token of an inbound app, with other claims than it would have."""
        return self._emulator.issue_delegate(READER, APP, ("openid", SCOPE), claims=claims)

    def expire(self, credential: str) -> str:
        """Return the token after advancing the clock until it has expired, or an expired access key."""
        if "." not in credential:
            return _OLD_KEY
        payload = credential.split(".")[1]
        expiry = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        self._emulator.clock.advance(expiry - self._emulator.clock() + _LEEWAY)
        return credential

    @staticmethod
    def tamper(credential: str) -> str:
        """Return the credential with another character in its signature, or in the key."""
        start, end = credential[:-10], credential[-10:]
        return start + ("A" if end[0] != "A" else "B") + end[1:]


CREDENTIALS: Mapping[str, Callable[[Credentials], Awaitable[str]]] = {
    "session token": Credentials.session,
    "refresh token": Credentials.refresh,
    "access token of an application": lambda each: each.oauth("access_token"),
    "ID token of an application": lambda each: each.oauth("id_token"),
    "refresh token of an application": lambda each: each.oauth("refresh_token"),
    "access token that is bound to a key": lambda each: each.oauth("access_token", dpop_jkt="t" * 43),
    "access key": lambda each: each.key(READER_KEY),
    "session token of an access key": Credentials.exchanged,
}
"""How each credential of docs/reference/callers.md is obtained."""


INBOUND_FORMS: tuple[Mapping[str, Any], ...] = (
    {"inbound_issuer": "agentic"},
    {"inbound_issuer": "tenant"},
    {"inbound_audience": "project_and_resource"},
    {"inbound_audience": "resource"},
    {"inbound_drn": True},
    {"inbound_grants": "roles"},
    {"inbound_grants": "tenant"},
)
"""Assumptions about the undocumented forms of access tokens, other than the defaults."""
