"""The core as the plugin builds it, without the web in front of it: its parts around an emulator."""

import json
from collections.abc import Mapping
from dataclasses import replace

import httpx

from fastapi_descope._auth.authenticator import Authenticator, AuthResult, Credentials
from fastapi_descope._auth.login import LoginFlow
from fastapi_descope._auth.token_service import TokenService
from fastapi_descope._refresh.coordinator import Exchange, RefreshCoordinator, Verify
from fastapi_descope._refresh.store import MemoryRefreshStore, RefreshResult
from fastapi_descope._tokens.claims import TokenPolicy
from fastapi_descope._tokens.verifier import TokenVerifier
from fastapi_descope._upstream.api import DescopeApi
from fastapi_descope.emulator import Clock, Emulator, JwtPair, Project
from fastapi_descope.events import Event, EventBus
from fastapi_descope.session import RefreshToken, TokenPair, UserProfile
from tests.helpers.app_harness import IDP, Browser
from tests.helpers.signing_key import signing_key

NOW = 1_800_000_000.0
ADA = "ada@acme.example"
HANK = "hank@globex.example"

STRICT = Project(rotate_refresh=True)
"""Every refresh token is good for one use."""


class AuthHarness:
    """One emulator, a clock that stands still, and every part of the core, each under its own name."""

    def __init__(self, project: Project = STRICT, *, timeout: float = 5.0, refresh_ahead: float = 60) -> None:
        self.emulator = Emulator(project, clock=Clock(lambda: NOW), base_url=IDP, signing_key=signing_key())
        self.clock = self.emulator.clock
        self.told: list[Event] = []
        events = EventBus()
        events.subscribe(self.told.append)
        self.client = DescopeApi(
            base_url=IDP,
            project_id=project.project_id,
            timeout=timeout,
            transport=httpx.ASGITransport(self.emulator),
            monotonic=self.clock,
            events=events,
        )
        self.keys = TokenVerifier(
            self.client.keys,
            policy=TokenPolicy(project.project_id, frozenset({project.project_id})),
            clock=self.clock,
            monotonic=self.clock,
            events=events,
        )
        self.pairs = TokenService(self.client, self.keys, events=events, clock=self.clock)
        self.store = MemoryRefreshStore(self.clock)
        self.refresher = RefreshCoordinator(
            store=self.store,
            exchange=self.pairs.refresh,
            verify=self.pairs.verify,
            events=events,
            clock=self.clock,
        )
        self.resolver = Authenticator(
            verifier=self.keys,
            coordinator=self.refresher,
            events=events,
            clock=self.clock,
            refresh_ahead=refresh_ahead,
        )
        self.authenticator = LoginFlow(
            api=self.client,
            tokens=self.pairs,
            authenticator=self.resolver,
            coordinator=self.refresher,
            events=events,
        )

    def calls(self, endpoint: str) -> int:
        """How many calls of an endpoint reached the emulator."""
        return self.emulator.requests.count(endpoint)

    def recorded_events(self, *kinds: type[Event]) -> list[Event]:
        """The events of these kinds, oldest first."""
        return [event for event in self.told if isinstance(event, kinds)]

    def issue(
        self, user: str = ADA, tenant: str | None = "acme", *, session_seconds: int | None = None
    ) -> JwtPair:
        """A pair that Descope has issued; a session of negative seconds is over."""
        return self.emulator.issue(user, tenant, session_seconds=session_seconds)

    async def held(self, issued: JwtPair) -> RefreshToken:
        """The verified refresh token of a pair."""
        return await self.keys.verify_refresh_token(issued.refresh_jwt)

    async def pair(self, issued: JwtPair) -> TokenPair:
        """The verified pair."""
        return await self.pairs.verify(RefreshResult(issued.session_jwt, issued.refresh_jwt))

    async def resolve(self, issued: JwtPair) -> AuthResult:
        """Who is calling with both cookies of a pair."""
        return await self.resolver.authenticate(cookies(issued))

    def switch(self, tenant: str) -> tuple[Exchange, Verify]:
        """A tenant switch, as ``RefreshCoordinator.replace`` takes it."""
        return self.pairs.select(tenant), self.pairs.in_tenant(tenant)

    async def code(self, login_url: str, user: str = ADA) -> str:
        """The one-time code that a browser brings back from a login."""
        browser = Browser(httpx.AsyncClient(mounts={f"{IDP}/": httpx.ASGITransport(self.emulator)}))
        answer = await browser.choose(await browser.visit(login_url), user)
        return httpx.URL(answer.headers["location"]).params["code"]

    def next_tokens(self, endpoint: str, session_jwt: object, refresh_jwt: object) -> None:
        """Have the next call of an endpoint answered with these tokens, whatever they are."""
        tokens = {"sessionJwt": session_jwt, "refreshJwt": refresh_jwt}
        self.next_answer(endpoint, {name: token for name, token in tokens.items() if token is not None})

    def next_answer(self, endpoint: str, body: Mapping[str, object] | bytes, status: int = 200) -> None:
        """Have the next call of an endpoint answered with this."""
        text = body if isinstance(body, bytes) else json.dumps(dict(body)).encode()
        self.emulator.faults.add(endpoint, status=status, body=text)


async def anybody(pair: TokenPair, profile: UserProfile | None) -> None:
    """An app without a say in who signs in."""


def cookies(issued: JwtPair) -> Credentials:
    """Both cookies of a pair, as a request brings them."""
    return Credentials(session=issued.session_jwt, refresh=issued.refresh_jwt)


def foreign(user: str = ADA) -> JwtPair:
    """A pair of somebody else's project, genuine there."""
    project = replace(Project(), project_id="P2ForeignForeignForeignForei")
    return Emulator(project, clock=Clock(lambda: NOW)).issue(user, "acme")
