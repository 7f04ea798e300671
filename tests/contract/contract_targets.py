"""The targets of the wire contract: the record, and the emulator in this process or on a socket."""

import json
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

import httpx
from jose import jwt
from starlette.types import Receive, Scope, Send

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Clock, Emulator, Project
from tests.helpers.live_server import listening, serve_app
from tests.helpers.tampering import Forge

from .contract_setup import CALLBACK, SITUATIONS, ContractSetup, signing_key
from .wire_record import exchanges, fill_placeholders, tokens

__all__ = [
    "Claims",
    "ContractResponse",
    "ContractTarget",
    "EmulatorServer",
    "EmulatorTarget",
    "RecordTarget",
    "claims_of",
    "emulator_server",
    "in_process",
]

_NOW = 1_800_000_000.0
_FORGE = Forge()

Claims = dict[str, object]
OpenSetup = Callable[[Emulator], AbstractAsyncContextManager[ContractSetup]]


@dataclass(frozen=True, slots=True)
class ContractResponse:
    """A response. ``placeholders`` are the values that replaced the placeholders of the request."""

    status: int
    headers: httpx.Headers
    body: object
    placeholders: Mapping[str, str]

    @property
    def fields(self) -> Claims:
        """The body, which must be an object."""
        body = self.body
        assert isinstance(body, dict)
        return cast("Claims", body)

    @property
    def session(self) -> Claims:
        """The claims of the session token in the body."""
        return claims_of(self.fields["sessionJwt"])

    @property
    def refresh(self) -> Claims:
        """The claims of the refresh token in the body."""
        return claims_of(self.fields["refreshJwt"])

    @property
    def cookies(self) -> list[str]:
        """The values of ``Set-Cookie``, sorted."""
        return sorted(self.headers.get_list("set-cookie"))


class ContractTarget(Protocol):
    """A target that responds to the recorded requests."""

    async def call(self, name: str, variant: int = 0) -> ContractResponse:
        """Return the response of an exchange to the request with this index."""
        ...


class RecordTarget:
    """The record itself. Its tokens have the recorded claims and a signature of our own."""

    async def call(self, name: str, variant: int = 0) -> ContractResponse:
        """Return the recorded response."""
        response = exchanges()[name].response
        values: dict[str, object] = {"project": DEFAULT_PROJECT_ID, "key": _FORGE.jwk(DEFAULT_PROJECT_ID)}
        given = {kind: _token(kind, values) for kind in ("session", "refresh")}
        values |= {kind: _token(token, values) for kind, token in response.tokens.items()}
        headers = httpx.Headers({"content-type": "application/json", **response.headers})
        cookies = [
            ("set-cookie", str(fill_placeholders(line, {**given, **values}))) for line in response.cookies
        ]
        body = fill_placeholders(response.body, values)
        project = {"project": DEFAULT_PROJECT_ID}
        return ContractResponse(
            response.status, httpx.Headers([*headers.multi_items(), *cookies]), body, given | project
        )


class EmulatorTarget:
    """A new emulator for each request, reached through ``open_setup``."""

    def __init__(self, open_setup: OpenSetup) -> None:
        self._open_setup = open_setup

    async def call(self, name: str, variant: int = 0) -> ContractResponse:
        """Prepare the situation, send the request and return the response."""
        exchange = exchanges()[name]
        known = {"project": DEFAULT_PROJECT_ID, "callback": CALLBACK}
        options = cast("dict[str, object]", fill_placeholders(exchange.project, known))
        emulator = Emulator(
            Project(**options),  # type: ignore[arg-type] # options of the record, by keyword
            clock=Clock(lambda: _NOW),
            signing_key=signing_key("ours").with_new_kid(),
        )
        async with self._open_setup(emulator) as setup:
            values = {**known, **await SITUATIONS[exchange.given](setup)}
            response = await setup.send(exchange.requests[variant], values)
        return ContractResponse(response.status_code, response.headers, json.loads(response.content), values)


@asynccontextmanager
async def in_process(emulator: Emulator) -> AsyncGenerator[ContractSetup]:
    """Reach the emulator through ASGI."""
    transport = httpx.ASGITransport(emulator)
    async with httpx.AsyncClient(transport=transport) as client:
        yield ContractSetup(emulator, client, "http://127.0.0.1:4000")


class EmulatorServer:
    """A server on a loopback socket whose emulator can be replaced."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._emulator: Emulator | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request to the current emulator."""
        if scope["type"] == "http":
            assert self._emulator
            await self._emulator(scope, receive, send)

    @asynccontextmanager
    async def connect(self, emulator: Emulator) -> AsyncGenerator[ContractSetup]:
        """Reach the emulator through HTTP."""
        self._emulator = emulator
        async with httpx.AsyncClient(trust_env=False) as client:
            yield ContractSetup(emulator, client, self._origin)


@contextmanager
def emulator_server() -> Generator[EmulatorServer]:
    """Run a server."""
    with listening() as (listener, origin):
        board = EmulatorServer(origin)
        with serve_app(board, listener):
            yield board


def claims_of(token: object) -> Claims:
    """Return the claims of a JWT without verifying it; the emulator's own tests verify signatures."""
    assert isinstance(token, str)
    return jwt.get_unverified_claims(token)


def _token(name: str, values: Mapping[str, object]) -> str:
    token = tokens()[name]
    return _FORGE.token(
        fill_placeholders(token.claims, values),
        header=fill_placeholders(token.header, values),
        key=DEFAULT_PROJECT_ID,
    )
