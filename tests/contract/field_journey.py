"""An app that uses every field of Descope's API, and what it and the emulator saw on the way.

The app is a real one: browsers sign in to it by SSO and by nOTP and switch the tenant, the emulator signs the
tokens, and the plugin verifies them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlsplit

import httpx
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from typing_extensions import override

from fastapi_descope import AuthSession, Login, LoginOptions, get_login
from fastapi_descope.emulator import Clock, Emulator
from tests.helpers.app_harness import APP, AppHarness, Browser, build_app_harness
from tests.helpers.emulator import signing_key
from tests.helpers.full_project import FULL_PROJECT, FULL_USER

__all__ = ["AppSide", "Observation", "WireCall", "run_journey"]

_NOW = 1_800_000_000.0

OPTIONS = LoginOptions(
    custom_claims={"plan": "gold"},
    revoke_other_sessions=True,
    revoke_other_sessions_types=("web",),
    sso_app_id="SA2reports",
    template_id="welcome",
    template_options={"colour": "blue"},
    locale="de",
    pkce_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
)
PARAMS = {
    "tenant": "acme",
    "login_hint": FULL_USER.login_id,
    "sso_id": "acme-okta",
    "prompt": "login",
    "force_authn": "true",
    "step_up": "true",
    "mfa": "true",
}

AppSide = Mapping[str, object]
"""Values on the side of the app, by the place where a developer reads or writes them."""


@dataclass(frozen=True)
class WireCall:
    """A call of the app to Descope. ``request`` and ``response`` are JSON objects."""

    request: Mapping[str, object]
    response: Mapping[str, object]


@dataclass(frozen=True)
class Observation:
    """A call to one endpoint, and the same values on the side of the app."""

    wire: WireCall
    app: AppSide


class _RecordingEmulator(Emulator):
    """An emulator that keeps the last call to each endpoint of the API."""

    def __init__(self) -> None:
        super().__init__(FULL_PROJECT, clock=Clock(lambda: _NOW), signing_key=signing_key())
        self.wire_calls: dict[str, WireCall] = {}

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        bodies = [b"", b""]

        async def recording_receive() -> Message:
            message = await receive()
            bodies[0] += message.get("body", b"")
            return message

        async def recording_send(message: Message) -> None:
            bodies[1] += message.get("body", b"")
            await send(message)

        await super().__call__(scope, recording_receive, recording_send)
        if scope["path"].startswith("/v1/"):
            request = {**_bearer(Request(scope)), **_query(Request(scope)), **_body(bodies[0])}
            self.wire_calls[f"{scope['method']} {scope['path']}"] = WireCall(request, json.loads(bodies[1]))


def _bearer(request: Request) -> dict[str, object]:
    values = request.headers["authorization"].removeprefix("Bearer ").split(":")
    return dict(zip(("bearer.project_id", "bearer.refresh_jwt"), values, strict=False))


def _query(request: Request) -> dict[str, object]:
    return {f"query.{name}": value for name, value in request.query_params.items()}


def _body(body: bytes) -> dict[str, object]:
    return {f"body.{name}": value for name, value in json.loads(body or b"{}").items()}


@dataclass
class _Journey:
    """The app, a browser, and the logins that the app's hooks were called with."""

    env: AppHarness
    emulator: _RecordingEmulator
    browser: Browser
    logins: list[Login | None] = field(default_factory=list[Login | None])

    def observe(self, endpoint: str, app: AppSide) -> Observation:
        """Return the last call to an endpoint with its values on the side of the app."""
        shared = {"DESCOPE_PROJECT_ID": self.env.descope.settings.project_id}
        return Observation(self.emulator.wire_calls[endpoint], {**shared, **app})

    def signed_in(self, response: httpx.Response) -> AppSide:
        """Return the values of a response that set the cookies of a new session."""
        cookies = SimpleCookie()
        for line in response.headers.get_list("set-cookie"):
            cookies.load(line)
        return {
            "login": self.logins[-1],
            "session cookie": cookies["DS"].value,
            "refresh cookie": cookies["DSR"].value,
            "session cookie; Max-Age": int(cookies["DS"]["max-age"]),
        }


async def run_journey() -> Mapping[str, Observation]:
    """Sign in by SSO, switch the tenant, start a step-up, sign in by nOTP; return the calls by endpoint."""
    journey = _build()
    return {
        "POST /v1/auth/sso/exchange": await _sign_in(journey),
        "POST /v1/auth/tenant/select": await _switch_tenant(journey),
        "POST /v1/auth/sso/authorize": await _start_step_up(journey),
        "POST /v1/auth/notp/pending-session": await _sign_in_by_notp(journey),
    }


def _build() -> _Journey:
    emulator = _RecordingEmulator()
    env = build_app_harness(emulator=emulator, login_methods=["sso", "notp"])
    journey = _Journey(env, emulator, env.browser())

    @env.descope.login_options
    async def every_option(request: Request) -> LoginOptions:
        return OPTIONS

    @env.descope.on_login
    async def keep_login(request: Request, login: Login) -> None:
        journey.logins.append(login)

    @env.descope.on_tenant_switch
    async def keep_switch(request: Request, session: AuthSession) -> None:
        journey.logins.append(get_login(request))

    return journey


async def _sign_in(journey: _Journey) -> Observation:
    callback = await journey.browser.open_callback()
    response = await journey.browser.visit(callback)
    app = {
        "GET /callback": response.status_code,
        "GET /callback?code=": dict(parse_qsl(urlsplit(callback).query))["code"],
        **journey.signed_in(response),
    }
    return journey.observe("POST /v1/auth/sso/exchange", app)


async def _switch_tenant(journey: _Journey) -> Observation:
    refresh = journey.browser.cookie("DSR")
    response = await journey.browser.post("/tenant/select", {"tenant": "globex"})
    app = {
        "POST /tenant/select": response.status_code,
        "POST /tenant/select tenant=": "globex",
        "refresh cookie of the request": refresh,
        **journey.signed_in(response),
    }
    return journey.observe("POST /v1/auth/tenant/select", app)


async def _start_step_up(journey: _Journey) -> Observation:
    response = await journey.browser.visit(f"/login/sso?{httpx.QueryParams(PARAMS)}")
    observation = journey.observe("POST /v1/auth/sso/authorize", {})
    redirect_url = str(observation.wire.request["query.redirectURL"])
    app: dict[str, object] = {
        "GET /login/sso": response.status_code,
        "redirect of GET /login/sso": response.headers["location"],
        "DESCOPE_PUBLIC_URL": redirect_url if redirect_url.startswith(f"{APP}/callback?state=") else "",
        **{f"GET /login/sso?{name}=": value for name, value in PARAMS.items()},
        "GET /login/sso?step_up=true": True,
        "GET /login/sso?mfa=true": True,
        "LoginOptions": OPTIONS,
    }
    return Observation(observation.wire, {**observation.app, **app})


async def _sign_in_by_notp(journey: _Journey) -> Observation:
    browser = journey.env.browser(accept="application/json")
    started = (await browser.post("/login/notp")).json()
    start = journey.emulator.wire_calls["POST /v1/auth/notp/whatsapp/signin"]
    page = await journey.env.browser().visit(started["url"])
    await browser.choose(page, FULL_USER.login_id)
    response = await browser.post("/login/notp/session", {"state": started["state"]})
    app = {
        "POST /login/notp/session": response.status_code,
        "POST /login/notp/session state=": start.response["pendingRef"],
        **journey.signed_in(response),
    }
    return journey.observe("POST /v1/auth/notp/pending-session", app)
