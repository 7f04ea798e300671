"""The emulator as one ASGI app: the door, the journal and the faults, and behind them the endpoints."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Literal, Self, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .api.admin import Admin
from .api.auth import AuthApi, SocialApi
from .api.oidc import OidcApi
from .api.pending import PendingApi
from .api.snapshot import Snapshot
from .api_errors import INTERNAL_ERROR, ApiError, error_body
from .auth_server import AuthServer
from .clock import Clock
from .directory import SeedUser
from .faults.queue import Faults
from .journal import Call, Journal, fingerprint
from .logins import LoginStore
from .pages.console import Console, is_console
from .pages.sign_in import SignInPage
from .project import Project
from .security import console_rejection_reason, rejection_reason, with_cors
from .signing import SigningKey
from .tokens import Principal
from .urls import collapse_leading_slashes, route_path

__all__ = ["Emulator", "JwtPair"]

_API = re.compile(r"/(v[0-9]+|oauth2|scim)/")


@dataclass(frozen=True, slots=True)
class JwtPair:
    """A token pair made without a sign-in."""

    session_jwt: str = field(repr=False)
    refresh_jwt: str = field(repr=False)

    def __iter__(self) -> Iterator[str]:
        return iter((self.session_jwt, self.refresh_jwt))


class Emulator:
    """A Descope for development and tests: an ASGI app with its own project, clock and signing key.

    Serve it in-process through ``httpx.ASGITransport(emulator)``, or on a socket with ``server.running``.
    It answers only requests whose ``Host`` is the loopback (EM-03), so point clients at a loopback URL in
    both cases. Mounted in another app, it gives out URLs with the prefix. Costs the making of one RSA key,
    unless it is given a ``signing_key``.

    ``base_url`` matters for a project whose issuer has the URL form; ``server`` sets it. ``pause`` is how
    a delayed fault passes its seconds. ``console`` opens ``/console``: to look, or to break things, too.

    As a context manager it gives itself, and when left it clears the faults, so that no call stays held.

    Attributes:
        clock: the time of everything issued here; ``clock.advance(seconds)`` moves it.
        faults: failures to come (``faults.add``).
        requests: the journal of what was asked.
    """

    def __init__(
        self,
        project: Project | None = None,
        *,
        clock: Clock | None = None,
        base_url: str = "http://127.0.0.1",
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
        signing_key: SigningKey | None = None,
        console: Literal["view", "faults"] | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.requests = Journal()
        self._auth_server = AuthServer(project or Project(), self.clock, base_url, signing_key)
        logins = LoginStore(self.clock)
        self._routes: list[Route] = [
            *AuthApi(self._auth_server, logins, self.clock).routes,
            *SocialApi(self._auth_server, logins).routes,
            *PendingApi(self._auth_server, logins, self.clock).routes,
            *OidcApi(self._auth_server, logins, self.clock).routes,
            *SignInPage(self._auth_server, logins).routes,
        ]
        self.faults = Faults({route.name for route in self._routes}, pause)
        self._app = Starlette(
            routes=[*self._routes, *self._console_routes(console)],
            exception_handlers={
                ApiError: _refused,
                HTTPException: _no_such_thing,
                Exception: _failed,  # which is raised all the same: a server logs it, a test sees it
            },
        )
        self._app.router.redirect_slashes = False

    async def __aenter__(self) -> Self:
        """Give the emulator; it needs no start."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let everybody go on who waits in a fault."""
        self.faults.clear()

    @property
    def project(self) -> Project:
        """The project as it is now."""
        return self._auth_server.project

    @project.setter
    def project(self, project: Project) -> None:
        """Change roles or settings while it runs; what is out already stays as it is."""
        self._auth_server.project = project

    @property
    def project_id(self) -> str:
        """The project id to configure a client with."""
        return self.project.project_id

    @property
    def base_url(self) -> str:
        """The origin in issuers of URL form."""
        return self._auth_server.base_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        """Say where clients reach it; ``server`` does."""
        self._auth_server.base_url = base_url

    @property
    def public_keys(self) -> tuple[dict[str, str], ...]:
        """The published keys as JWKs, newest first."""
        return self._auth_server.keys.public_keys

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on; without ``keep_old``, what older keys signed is void."""
        self._auth_server.keys.rotate(keep_old=keep_old)

    def drop_old_keys(self) -> None:
        """Void what any key but the newest signed."""
        self._auth_server.keys.drop_old()

    def revoke(self, user: str) -> None:
        """End every session of a user (login id or user id). Raises LookupError for an unknown one."""
        self._auth_server.revoke_user(self._user(user))

    def issue(
        self,
        user: str,
        tenant: str | None = None,
        *,
        session_seconds: int | None = None,
        amr: tuple[str, ...] = (),
        su: bool = False,
        claims: Mapping[str, object] | None = None,
    ) -> JwtPair:
        """A pair for a user (login id or user id) as if signed in, without HTTP.

        ``session_seconds`` replaces the project's; a negative number makes a session JWT that is over.
        ``amr`` is added to the user's own. ``su`` and ``claims`` go into the session JWT alone, and
        ``claims`` win. Without ``tenant``, a project with ``auto_tenant`` picks a user's only one.

        Raises LookupError for an unknown user, or a tenant that the user is not in.
        """
        person = self._user(user)
        if tenant is not None and tenant not in person.tenants:
            raise LookupError(f"{person.user_id} is not a member of tenant {tenant!r}")
        if tenant is None and self.project.auto_tenant and len(person.tenants) == 1:
            tenant = next(iter(person.tenants))
        bearer = Principal(person, tenant, (*person.amr, *amr), step_up=su)
        issued = self._auth_server.start_session(bearer, session_seconds=session_seconds, overrides=claims)
        return JwtPair(issued.session_jwt, issued.refresh_jwt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = collapse_leading_slashes(scope)
        if is_console(route_path(scope)):
            await self._console(scope)(scope, receive, send)
            return
        call = self._call(scope)
        self.requests.record(call)
        send = _noting(call, send)
        answer = self._answer(scope, call.endpoint)
        with suppress(ClientDisconnect):  # nobody is left to be answered
            await with_cors(answer, scope)(scope, receive, send)

    def _answer(self, scope: Scope, endpoint: str) -> ASGIApp:
        """What answers a request: the door, a fault, or the endpoint."""
        shut = rejection_reason(scope)
        if shut:
            return _closed(shut)
        fault = self.faults.pop(endpoint) if endpoint else None  # a preflight, say, is no call of the API
        return self._app if fault is None else self.faults.wrap(fault, self._app)

    def _console(self, scope: Scope) -> ASGIApp:
        """What answers at the console: no fault happens to it, and no journal has it."""
        shut = console_rejection_reason(scope)
        return _closed(shut) if shut else self._app

    def _console_routes(self, console: Literal["view", "faults"] | None) -> list[Route]:
        if console is None:
            return []
        snapshot = Snapshot(self._auth_server, self.faults, self.requests, self.clock)
        admin = Admin(self._auth_server, self.faults, self.clock)
        return Console(snapshot, admin if console == "faults" else None).routes

    def _user(self, reference: str) -> SeedUser:
        user = self.project.find_user(reference)
        if user is None:
            raise LookupError("the project has no such user")
        return user

    def _call(self, scope: Scope) -> Call:
        request = Request(scope)
        endpoint = next((r.name for r in self._routes if r.matches(scope)[0] is Match.FULL), "")
        return Call(
            method=request.method,
            path="/signin/…" if endpoint == "signin" else route_path(scope),
            query=dict(request.query_params),
            endpoint=endpoint,
            caller=fingerprint(request.headers.get("authorization", "")),
            at=self.clock(),
        )


def _closed(reason: str) -> Response:
    return JSONResponse(error_body("E011001", reason), 403)


def _noting(call: Call, send: Send) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            call.status = message["status"]
        await send(message)

    return noting


def _refused(_: Request, error: Exception) -> Response:
    refusal = cast("ApiError", error)
    return JSONResponse(refusal.body, refusal.status)


def _no_such_thing(request: Request, error: Exception) -> Response:
    refusal = cast("HTTPException", error)
    is_descopes = refusal.status_code == HTTPStatus.NOT_FOUND and _API.match(route_path(request.scope))
    message = "The emulator does not play this endpoint" if is_descopes else refusal.detail
    body = error_body("E011001", message)
    return JSONResponse(body, refusal.status_code, refusal.headers)


def _failed(_: Request, __: Exception) -> Response:
    return JSONResponse(error_body(INTERNAL_ERROR, "The emulator failed: its log says why"), 500)
