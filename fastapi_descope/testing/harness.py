"""An app under test and the emulator behind it: clients, sessions, logins, and the passing of time."""

import inspect
import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Unpack, cast

import httpx
import httpx2
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from .._auth.authenticator import Credentials
from .._encoding import base64url
from .._web.cookies import SessionCookies
from .._web.credentials import CredentialsReader
from .._web.middleware import DescopeMiddleware
from ..emulator import Emulator, JwtPair, Project
from ..errors import ConfigurationError
from ..plugin import Descope
from ..session import AuthSession, Claims, RefreshToken, TokenPair
from .app_emulator import AppEmulator
from .clients import Browser, Client, async_browser, receive, sent
from .login_flow import LoginFlow, login_path
from .sign_in_options import SignInOptions, grants, refuse_unknown, several
from .users import DEFAULT_TENANT, TestUsers

__all__ = ["TestHarness", "emulated_descope"]

_LOOPBACK = "https://127.0.0.1"
"""Where the app is reached unless ``DESCOPE_PUBLIC_URL`` says: https, so that a jar gives back any cookie."""


@contextmanager
def emulated_descope(
    app: ASGIApp, *, descope: Descope | None = None, project: Project | None = None
) -> Generator["TestHarness"]:
    """Put an emulator behind ``app`` for the length of a ``with``; see ``TestHarness``.

    ``descope`` is for an app in which it cannot be found: one that is wrapped in other ASGI middleware,
    or that only mounts the app which has it. ``project`` has tenants, users and settings of your own
    (``fastapi_descope.emulator.Project``); its id, audience and management key become those that the app
    is configured for, and sign-ins may lead back to the app.

    Each time there is a new emulator, so what one test does to it is gone in the next, and its tokens are
    good nowhere else. Costs a few milliseconds, the first time in a process the making of an RSA key as
    well, and no network.

    Raises ``ConfigurationError`` if there is no ``Descope`` to be found.
    """
    found = descope or _installed(app)
    emulator = AppEmulator(found.settings, found.settings.public_url or _LOOPBACK, project)
    transport = httpx.ASGITransport(emulator.on_loopback)
    with found.override_upstream(transport, clock=emulator.clock):
        yield TestHarness(app, found, emulator)


class TestHarness:
    """An app under test, and the emulator behind it.

    Attributes:
        emulator: knows the tenants and users, fails on demand (``emulator.faults``), tells what it was
            asked (``emulator.requests``), and has the time (``emulator.clock.advance(seconds)``).
        origin: where its clients reach the app: ``DESCOPE_PUBLIC_URL`` or a loopback address.
    """

    def __init__(self, app: ASGIApp, descope: Descope, emulator: AppEmulator) -> None:
        self.emulator: Emulator = emulator
        self.origin = descope.settings.public_url or _LOOPBACK
        self._app = app
        self._cookies = SessionCookies(descope.settings)
        self._reader = CredentialsReader(descope.settings)
        self._leeway = descope.settings.leeway
        self._default_tenant = descope.settings.default_tenant
        self._people = TestUsers(emulator)
        self._idp = emulator.on_loopback

    def client(self) -> TestClient:
        """A browser with an empty cookie jar, in which nobody is signed in.

        It is Starlette's test client: blocking, with ``websocket_connect``, and running the lifespan of
        the app if it is used in a ``with``. It stays at the app's origin and does not follow redirects.
        """
        return Browser(self._app, self.origin)

    def async_client(self) -> httpx.AsyncClient:
        """The same for asynchronous tests; it runs the app in the event loop of the test.

        It has neither WebSockets nor a lifespan.
        """
        return async_browser(self._app, self.origin)

    def sign_in(self, user: str | None = None, **holding: Unpack[SignInOptions]) -> TestClient:
        """A ``client`` with the cookies of a new session.

        No sign-in takes place: ``on_login`` hooks do not run, and no time passes. For those there is
        ``log_in``.

        Args:
            user: Login id or user id. One that the emulator does not know joins its project; without
                one, somebody new is made up each time.
            **holding: What the session is to hold:

                * ``tenant``, ``"acme"`` unless said otherwise; None for a session without one.
                * ``roles`` and ``permissions`` in the tenant, or without one in the project. If either
                  is given they replace what the user holds there, from now on and in every session: one
                  that the user has already says so from its next refresh on.
                * ``amr``: further authentication methods, such as ``"mfa"``.
                * ``step_up``: whether the user has just confirmed who they are (until the next refresh).
                * ``claims``: further claims of the session token (until the next refresh). If they make the
                  app refuse the token, such as a wrong ``aud``, the client gets a good one by its refresh
                  token, unnoticed: add ``bearer=True`` to see it refused.
                * ``bearer``: send the session token as ``Authorization: Bearer`` in place of cookies.

                None is the same as nothing for all but ``tenant``.

        Raises LookupError for a known user who is not in the tenant and is given nothing there, TypeError
        for a keyword that is none of these, or a single string where several are expected.
        """
        return self._signed_in(self.client(), user, holding)

    def sign_in_async(self, user: str | None = None, **holding: Unpack[SignInOptions]) -> httpx.AsyncClient:
        """An ``async_client`` with a new session; the rest is as in ``sign_in``. Not a coroutine."""
        return self._signed_in(self.async_client(), user, holding)

    def log_in(
        self,
        client: TestClient,
        user: str | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        return_to: str | None = None,
        refuse: bool = False,
    ) -> httpx2.Response:
        """Sign in as a person does, by way of the app's login, the emulator's page and the app's callback.

        So ``on_login`` hooks run, and the client gets the cookies that the app sets; its headers go along.
        The answer is that of the callback, a redirect if all went well: redirects are not followed. Where
        the app does not send the client to the page, it is the answer that it gave instead.

        Args:
            client: A client of this emulation, signed in or not.
            user: As in ``sign_in``.
            tenant: Whose single sign-on it is, by id or e-mail address; None for ``DESCOPE_DEFAULT_TENANT``.
            return_to: Where in the app to go afterwards.
            refuse: Press *Refuse* on the page.

        Raises LookupError for a known user who is not in the tenant, or an app in which no login route can
        be found, TypeError for a client of the other kind.
        """
        return self._walk(user, tenant, return_to, refuse=refuse).log_in(client)

    async def log_in_async(
        self,
        client: httpx.AsyncClient,
        user: str | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        return_to: str | None = None,
        refuse: bool = False,
    ) -> httpx.Response:
        """The same with an ``async_client``; awaited, other than ``sign_in_async``."""
        return await self._walk(user, tenant, return_to, refuse=refuse).log_in_async(client)

    def expire_session(self, client: TestClient | httpx.AsyncClient) -> None:
        """Let time pass until the session token of ``client`` is over, leeway included.

        It passes for everybody. Refresh tokens live on, so a client with cookies gets a new session with
        its next request, and one with a bearer token is refused.

        Raises LookupError if nobody is signed in.
        """
        ends = self._session(client).expires_at + self._leeway + 1
        self.emulator.clock.advance(max(0, ends - self.emulator.clock()))

    def revoke_session(self, client: TestClient | httpx.AsyncClient) -> None:
        """End the sessions of the client's user at Descope, as an administrator does there.

        Session tokens that are out stay good until they expire, here as in reality: ``expire_session``
        brings that about. Raises LookupError if nobody is signed in.
        """
        self.emulator.revoke(self._session(client).user.id)

    def _signed_in(self, client: Client, user: str | None, holding: SignInOptions) -> Client:
        refuse_unknown(holding)
        tenant = holding.get("tenant", DEFAULT_TENANT)
        person = self._people.get_or_create(user, tenant, grants(holding))
        issued = self.emulator.issue(
            person.login_id,
            tenant,
            amr=several("amr", holding.get("amr")),
            su=holding.get("step_up", False),
            claims=holding.get("claims"),
        )
        if holding.get("bearer"):
            client.headers["Authorization"] = f"Bearer {issued.session_jwt}"
        else:
            receive(client.cookies.jar, self.origin, self._set_cookies(issued))
        return client

    def _walk(
        self, user: str | None, tenant: str | None, return_to: str | None, *, refuse: bool
    ) -> LoginFlow:
        person = self._people.get_or_create(user, self._tenant_id(tenant or self._default_tenant), None)
        asked = {"tenant": tenant, "return_to": return_to}
        query = {name: value for name, value in asked.items() if value is not None}
        return LoginFlow(self._idp, login_path(self._app), query, None if refuse else person.login_id)

    def _tenant_id(self, named: str | None) -> str | None:
        """The id of the tenant that a login names, be it by an e-mail address of its domain."""
        known = self.emulator.project.find_tenant(named) if named else None
        return known.id if known else named

    def _set_cookies(self, issued: JwtPair) -> list[bytes]:
        """The very lines with which the app would set this session."""
        session = AuthSession.from_claims(_claims(issued.session_jwt))
        refresh = RefreshToken.from_claims(issued.refresh_jwt, _claims(issued.refresh_jwt))
        return self._cookies.write(
            TokenPair(issued.session_jwt, session, refresh),
            now=self.emulator.clock(),
            secure=self.origin.startswith("https:"),
            credentials=Credentials(),
        )

    def _session(self, client: TestClient | httpx.AsyncClient) -> AuthSession:
        """What the client's session token says; the app is the one to verify it."""
        bearer = client.headers.get("Authorization", "").removeprefix("Bearer ")
        cookie = sent(client.cookies.jar, self.origin).encode()
        scope = {"type": "http", "method": "GET", "headers": [(b"cookie", cookie)]}
        token = bearer or self._reader.read(scope).session
        if not token:
            raise LookupError("nobody is signed in with this client")
        return AuthSession.from_claims(_claims(token))


def _installed(app: ASGIApp) -> Descope:
    """The ``Descope`` whose middleware is in the app."""
    for each in app.user_middleware if isinstance(app, Starlette) else ():
        descope, kind = each.kwargs.get("descope"), cast("object", each.cls)
        if isinstance(kind, type) and issubclass(kind, DescopeMiddleware) and isinstance(descope, Descope):
            return descope
    raise ConfigurationError(f"No Descope is installed in this {type(app).__name__}. {_likely_cause(app)}")


def _likely_cause(app: object) -> str:
    if inspect.isroutine(app) or inspect.isclass(app):
        return (
            "If it is a factory, call it, and hand over the app that it makes: emulated(create_app()), or in"
            " a fixture descope_app of your own if you use the fixtures."
        )
    if not callable(app):
        return "Hand over the app itself; a factory has to return it, and so has a fixture descope_app."
    return (
        "If it is behind something else, name it: emulated(app, descope=...), in a fixture descope_harness"
        " of your own if you use the fixtures."
    )


def _claims(token: str) -> Claims:
    claims: dict[str, object] = json.loads(base64url.decode(token.split(".")[1].encode()))
    return claims
