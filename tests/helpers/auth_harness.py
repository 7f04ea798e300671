"""The authentication core as the plugin builds it, without the web layer, against an emulator."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import httpx

from fastapi_descope._auth.auth_result import AuthResult
from fastapi_descope._auth.core_builder import CoreBuilder
from fastapi_descope._auth.credentials import Credentials
from fastapi_descope._auth.session_gate import SessionHook
from fastapi_descope._refresh.leased_exchange import Exchange, Verify
from fastapi_descope._refresh.store import RefreshResult
from fastapi_descope.emulator import Clock, Emulator, JwtPair, Project
from fastapi_descope.events import Event, EventBus
from fastapi_descope.login import Login
from fastapi_descope.session import RefreshToken, TokenPair
from fastapi_descope.settings import DescopeSettings
from tests.helpers.app_harness import IDP, Browser
from tests.helpers.emulator import signing_key

NOW = 1_800_000_000.0
ADA = "ada@acme.example"
HANK = "hank@globex.example"
ADA_ID = "U22a1322415fff1b1aceaebe7855"

STRICT = Project(rotate_refresh=True)
"""A project in which each refresh token can be used once."""


class AuthHarness:
    """One emulator, a clock that a test moves, and the objects of the core, each under its name."""

    def __init__(
        self,
        project: Project = STRICT,
        *,
        timeout: float = 5.0,
        refresh_ahead: int = 60,
        session_hooks: Sequence[SessionHook] = (),
        token_cache_size: int = 4096,
        first_party_clients: Sequence[str] = (),
    ) -> None:
        self.emulator = Emulator(project, clock=Clock(lambda: NOW), base_url=IDP, signing_key=signing_key())
        self.clock = self.emulator.clock
        self.events: list[Event] = []
        bus = EventBus()
        bus.subscribe(self.events.append)
        settings = DescopeSettings(
            project_id=project.project_id,
            base_url=IDP,
            upstream_timeout=timeout,
            refresh_ahead=refresh_ahead,
            token_cache_size=token_cache_size,
            first_party_clients=tuple(first_party_clients),
        )
        parts = CoreBuilder(
            settings,
            bus,
            clock=self.clock,
            transport=httpx.ASGITransport(self.emulator),
            session_hooks=session_hooks,
        )
        self.api = parts.api
        core = parts.build()
        self.verifier = core.verifier
        self.tokens = parts.tokens
        self.revocations = core.revocations
        self.coordinator = core.coordinator
        self.authenticator = core.authenticator
        self.browser_tokens = core.browser_tokens
        self.login_flow = core.login_flow
        self.magic_link_flow = core.magic_link_flow
        self.notp_flow = core.notp_flow
        self.session_service = core.session_service
        self.drain = core.drain

    def calls(self, endpoint: str) -> int:
        """Return how many calls of an endpoint reached the emulator."""
        return self.emulator.requests.count(endpoint)

    def recorded_events(self, *kinds: type[Event]) -> list[Event]:
        """Return the events of these classes, oldest first."""
        return [event for event in self.events if isinstance(event, kinds)]

    def issue(
        self, user: str = ADA, tenant: str | None = "acme", *, session_seconds: int | None = None
    ) -> JwtPair:
        """Issue a pair. With negative seconds the session token has expired."""
        return self.emulator.issue(user, tenant, session_seconds=session_seconds)

    async def refresh_token(self, issued: JwtPair) -> RefreshToken:
        """Return the verified refresh token of a pair."""
        return await self.verifier.verify_refresh_token(issued.refresh_jwt)

    async def pair(self, issued: JwtPair) -> TokenPair:
        """Return the verified pair."""
        return await self.tokens.verify(RefreshResult(issued.session_jwt, issued.refresh_jwt))

    async def authenticate(self, issued: JwtPair) -> AuthResult:
        """Authenticate a request with both cookies of a pair."""
        return await self.authenticator.authenticate(cookies(issued))

    async def finish(self, issued: JwtPair) -> AuthResult:
        """Authenticate a request with both cookies of a pair, up to the start of its response."""
        return await (await self.authenticate(issued)).finish()

    def switch(self, tenant: str) -> tuple[Exchange, Verify]:
        """Return the arguments of ``RefreshCoordinator.switch`` for a tenant switch."""
        return self.tokens.select_tenant(tenant, lambda response: None), self.tokens.verify_tenant(tenant)

    async def code(self, login_url: str, user: str = ADA) -> str:
        """Return the one-time code with which a browser comes back from a login."""
        browser = Browser(httpx.AsyncClient(mounts={f"{IDP}/": httpx.ASGITransport(self.emulator)}))
        answer = await browser.choose(await browser.visit(login_url), user)
        return httpx.URL(answer.headers["location"]).params["code"]

    def set_next_tokens(self, endpoint: str, session_jwt: object, refresh_jwt: object) -> None:
        """Set the tokens in the response to the next call of an endpoint; they need not be valid."""
        tokens = {"sessionJwt": session_jwt, "refreshJwt": refresh_jwt}
        self.set_next_response(endpoint, {name: token for name, token in tokens.items() if token is not None})

    def set_next_response(self, endpoint: str, body: Mapping[str, object] | bytes, status: int = 200) -> None:
        """Set the response to the next call of an endpoint."""
        text = body if isinstance(body, bytes) else json.dumps(dict(body)).encode()
        self.emulator.faults.add(endpoint, status=status, body=text)


async def admit_all(pair: TokenPair, login: Login) -> None:
    """Admit every user who logs in."""


def cookies(issued: JwtPair) -> Credentials:
    """Return the credentials of a request with both cookies of a pair."""
    return Credentials(session=issued.session_jwt, refresh=issued.refresh_jwt)


def tokens_of_another_project(user: str = ADA) -> JwtPair:
    """Return a pair of another project, which is valid there."""
    project = replace(Project(), project_id="P2ForeignForeignForeignForei")
    return Emulator(project, clock=Clock(lambda: NOW)).issue(user, "acme")
