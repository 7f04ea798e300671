"""Those who answer for Descope: its record, and the emulator in this process or on a socket."""

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
from .wire_record import exchanges, filled, tokens

__all__ = [
    "Claims",
    "ContractTarget",
    "Emulated",
    "Recorded",
    "Reply",
    "Switchboard",
    "claims_of",
    "in_process",
    "switchboard",
]

_NOW = 1_800_000_000.0
_FORGE = Forge()

Claims = dict[str, object]
Opening = Callable[[Emulator], AbstractAsyncContextManager[ContractSetup]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``given`` are the values that stood for the placeholders of the request."""

    status: int
    headers: httpx.Headers
    body: object
    given: Mapping[str, str]

    @property
    def fields(self) -> Claims:
        """The body, which is an object."""
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
    """Somebody who can be asked what the record says was asked of Descope."""

    async def ask(self, name: str, number: int = 0) -> Reply:
        """The answer to an exchange, when its request of this number is sent."""
        ...


class Recorded:
    """The record itself. Its tokens are those that were written down, under a signature of our own."""

    async def ask(self, name: str, number: int = 0) -> Reply:
        """What is written down."""
        answer = exchanges()[name].answer
        values: dict[str, object] = {"project": DEFAULT_PROJECT_ID, "key": _FORGE.jwk(DEFAULT_PROJECT_ID)}
        given = {kind: _token(kind, values) for kind in ("session", "refresh")}
        values |= {kind: _token(token, values) for kind, token in answer.tokens.items()}
        headers = httpx.Headers({"content-type": "application/json", **answer.headers})
        cookies = [("set-cookie", str(filled(line, {**given, **values}))) for line in answer.cookies]
        body = filled(answer.body, values)
        project = {"project": DEFAULT_PROJECT_ID}
        return Reply(answer.status, httpx.Headers([*headers.multi_items(), *cookies]), body, given | project)


class Emulated:
    """An emulator, made anew for each request, reached as ``opening`` says."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    async def ask(self, name: str, number: int = 0) -> Reply:
        """Make the situation real, send the request, and see."""
        exchange = exchanges()[name]
        known = {"project": DEFAULT_PROJECT_ID, "callback": CALLBACK}
        options = cast("dict[str, object]", filled(exchange.project, known))
        emulator = Emulator(
            Project(**options),  # type: ignore[arg-type] # options of the record, by keyword
            clock=Clock(lambda: _NOW),
            signing_key=signing_key("ours").with_new_kid(),
        )
        async with self._opening(emulator) as stage:
            values = {**known, **await SITUATIONS[exchange.given](stage)}
            answer = await stage.send(exchange.sends[number], values)
        return Reply(answer.status_code, answer.headers, json.loads(answer.content), values)


@asynccontextmanager
async def in_process(emulator: Emulator) -> AsyncGenerator[ContractSetup]:
    """Over ASGI."""
    transport = httpx.ASGITransport(emulator)
    async with httpx.AsyncClient(transport=transport) as client:
        yield ContractSetup(emulator, client, "http://127.0.0.1:4000")


class Switchboard:
    """One server on a loopback socket, behind which the emulator is exchanged."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._emulator: Emulator | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on."""
        if scope["type"] == "http":
            assert self._emulator
            await self._emulator(scope, receive, send)

    @asynccontextmanager
    async def connected(self, emulator: Emulator) -> AsyncGenerator[ContractSetup]:
        """Over HTTP."""
        self._emulator = emulator
        async with httpx.AsyncClient(trust_env=False) as client:
            yield ContractSetup(emulator, client, self._origin)


@contextmanager
def switchboard() -> Generator[Switchboard]:
    """A switchboard that is served for the length of a ``with``."""
    with listening() as (listener, origin):
        board = Switchboard(origin)
        with serve_app(board, listener):
            yield board


def claims_of(token: object) -> Claims:
    """What a JWT says; whether its signature is good, the emulator's own tests find out."""
    assert isinstance(token, str)
    return jwt.get_unverified_claims(token)


def _token(name: str, values: Mapping[str, object]) -> str:
    token = tokens()[name]
    return _FORGE.token(
        filled(token.claims, values), header=filled(token.header, values), key=DEFAULT_PROJECT_ID
    )
