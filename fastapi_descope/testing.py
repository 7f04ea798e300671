"""For the tests of an app: the app as it is, with an emulator in the place of Descope.

    with emulated(app) as emulation:
        assert emulation.sign_in(roles=["viewer"]).get("/reports").status_code == 403

The app keeps its settings, cookies and middleware. Its calls to Descope go to an emulator in the same
process, which plays the app's own project, and both go by the emulator's clock. The tokens are signed by
the emulator's key and verified by the app: nothing of security is switched off.

Needs the extra ``testing``. With pytest, the fixtures of ``pytest_plugin`` say the same in fewer words.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from email.message import Message
from functools import cache
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from io import BytesIO
from typing import Any, TypedDict, TypeVar, Unpack, cast
from urllib.parse import urljoin
from urllib.request import Request
from urllib.response import addinfourl

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import override

try:
    from starlette.testclient import TestClient, WebSocketTestSession

    from .emulator import Emulator, Grants, Issued, Project, SigningKey, Tenant, User
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"fastapi_descope.testing needs {missing.name}: pip install 'fastapi-descope[testing]'",
        name=missing.name,
    ) from None

from .core import base64url
from .core.session import Claims, RefreshToken, Session, TokenPair
from .errors import ConfigurationError
from .plugin import Descope
from .settings import DescopeSettings
from .web.cookies import PresentedTokens
from .web.middleware import DescopeMiddleware

__all__ = ["Emulation", "Holding", "emulated"]

_LOOPBACK = "https://127.0.0.1"
"""Where the app is reached unless ``DESCOPE_PUBLIC_URL`` says: https, so that a jar gives back any cookie."""

_EMULATOR_HOST = b"127.0.0.1:8787"

Client = TypeVar("Client", TestClient, httpx.AsyncClient)


class Holding(TypedDict, total=False):
    """What a session is to hold, for ``Emulation.sign_in``."""

    tenant: str | None
    roles: Sequence[str]
    permissions: Sequence[str]
    amr: Sequence[str]
    step_up: bool
    claims: Mapping[str, object]
    bearer: bool


@contextmanager
def emulated(app: ASGIApp, *, descope: Descope | None = None) -> Generator["Emulation"]:
    """Put an emulator behind ``app`` for the length of a ``with``; see ``Emulation``.

    ``descope`` is for an app in which it cannot be found: one that is wrapped in other ASGI middleware,
    or that only mounts the app which has it. Each time there is a new emulator, so what one test does to
    it is gone in the next, and its tokens are good nowhere else. Costs a few milliseconds, the first time in
    a process the making of an RSA key as well, and no network.

    Raises ``ConfigurationError`` if there is no ``Descope`` to be found.
    """
    found = descope or _installed(app)
    emulator = Emulator(_project(found.settings), signing_key=_signing_key().under_another_id())
    transport = httpx.ASGITransport(_on_loopback(emulator))
    with found.connected_to(transport, clock=emulator.clock):
        yield Emulation(app, found, emulator)


class Emulation:
    """An app under test, and the emulator behind it.

    Attributes:
        emulator: knows the tenants and users, fails on demand (``emulator.faults``), tells what it was
            asked (``emulator.requests``), and has the time (``emulator.clock.advance(seconds)``).
        origin: where its clients reach the app: ``DESCOPE_PUBLIC_URL`` or a loopback address.
    """

    def __init__(self, app: ASGIApp, descope: Descope, emulator: Emulator) -> None:
        self.emulator = emulator
        self.origin = descope.settings.public_url or _LOOPBACK
        self._app = app
        self._cookies = descope.sessions.cookies
        self._leeway = descope.settings.leeway
        self._made_up = 0

    def client(self) -> TestClient:
        """A browser with an empty cookie jar, in which nobody is signed in.

        It is Starlette's test client: blocking, with ``websocket_connect``, and running the lifespan of
        the app if it is used in a ``with``. It stays at the app's origin and does not follow redirects.
        """
        return _Browser(self._app, self.origin)

    def async_client(self) -> httpx.AsyncClient:
        """The same for asynchronous tests; it runs the app in the event loop of the test.

        It has neither WebSockets nor a lifespan.
        """
        return httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url=self.origin)

    def sign_in(self, user: str | None = None, **holding: Unpack[Holding]) -> TestClient:
        """A ``client`` with the cookies of a new session.

        No sign-in takes place: ``on_login`` hooks do not run, and no time passes.

        Args:
            user: Login id or user id. One that the emulator does not know joins its project; without
                one, somebody new is made up each time.
            **holding: What the session is to hold:

                * ``tenant``, ``"acme"`` unless said otherwise; None for a session without one.
                * ``roles`` and ``permissions`` in the tenant, or without one in the project. If either
                  is given they replace what the user holds there, for this session and its refreshes.
                * ``amr``: further authentication methods, such as ``"mfa"``.
                * ``step_up``: whether the user has just confirmed who they are (until the next refresh).
                * ``claims``: further claims of the session token (until the next refresh).
                * ``bearer``: send the session token as ``Authorization: Bearer`` in place of cookies.

        Raises LookupError for a known user who is not in the tenant and is given nothing there, TypeError
        for a keyword that is none of these, or a single string where several are expected.
        """
        return self._signed_in(self.client(), user, holding)

    def sign_in_async(self, user: str | None = None, **holding: Unpack[Holding]) -> httpx.AsyncClient:
        """An ``async_client`` with a new session; the rest is as in ``sign_in``. Not a coroutine."""
        return self._signed_in(self.async_client(), user, holding)

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

    def _signed_in(self, client: Client, user: str | None, holding: Holding) -> Client:
        _refuse_unknown(holding)
        tenant = holding.get("tenant", "acme")
        person = self._person(user, tenant, _grants(holding))
        issued = self.emulator.issue(
            person.login_id,
            tenant,
            amr=_several("amr", holding.get("amr", ())),
            su=holding.get("step_up", False),
            claims=holding.get("claims"),
        )
        if holding.get("bearer"):
            client.headers["Authorization"] = f"Bearer {issued.session_jwt}"
        else:
            _receive(client.cookies.jar, self.origin, self._set_cookies(issued))
        return client

    def _person(self, user: str | None, tenant: str | None, grants: Grants | None) -> User:
        """The user, with these grants in the tenant from now on."""
        known = self.emulator.project.user(user) if user else None
        if known is not None and grants is None:
            return known
        person = known or User(user or self._new_login_id())
        held = grants or Grants()
        if tenant is None:
            person = replace(person, roles=held.roles, permissions=held.permissions)
        else:
            person = replace(person, tenants={**person.tenants, tenant: held})
        self._admit(person, tenant)
        return person

    def _new_login_id(self) -> str:
        self._made_up += 1
        return f"user{self._made_up}@made-up.example"

    def _admit(self, person: User, tenant: str | None) -> None:
        """Have the emulator's project hold the person as they are, and their tenant."""
        project = self.emulator.project
        others = tuple(each for each in project.users if each.user_id != person.user_id)
        is_known = tenant is None or tenant in {each.id for each in project.tenants}
        founded = () if is_known else (Tenant(str(tenant)),)
        self.emulator.project = replace(
            project, tenants=(*project.tenants, *founded), users=(*others, person)
        )

    def _set_cookies(self, issued: Issued) -> list[bytes]:
        """The very lines with which the app would set this session."""
        session = Session.from_claims(_claims(issued.session_jwt))
        refresh = RefreshToken.from_claims(issued.refresh_jwt, _claims(issued.refresh_jwt))
        return self._cookies.write(
            TokenPair(issued.session_jwt, session, refresh),
            now=self.emulator.clock(),
            secure=self.origin.startswith("https:"),
            presented=PresentedTokens(),
        )

    def _session(self, client: TestClient | httpx.AsyncClient) -> Session:
        """What the client's session token says; the app is the one to verify it."""
        bearer = client.headers.get("Authorization", "").removeprefix("Bearer ")
        cookie = _sent(client.cookies.jar, self.origin).encode()
        token = bearer or self._cookies.read([(b"cookie", cookie)]).session
        if not token:
            raise LookupError("nobody is signed in with this client")
        return Session.from_claims(_claims(token))


class _Browser(TestClient):
    """A test client that opens WebSockets where it sends its requests, as a page of the app would.

    Starlette's own opens them at ``ws://testserver``, where no cookie of the app's origin goes.
    """

    def __init__(self, app: ASGIApp, origin: str) -> None:
        super().__init__(app, base_url=origin, follow_redirects=False)
        self._origin = origin

    @override
    def websocket_connect(
        self,
        url: str,
        subprotocols: Sequence[str] | None = None,
        **kwargs: Any,  # as Starlette has it
    ) -> WebSocketTestSession:
        headers = {"origin": self._origin, **kwargs.pop("headers", {})}
        url = urljoin(f"ws{self._origin.removeprefix('http')}", url)
        return super().websocket_connect(url, subprotocols, headers=headers, **kwargs)


def _installed(app: ASGIApp) -> Descope:
    """The ``Descope`` whose middleware is in the app."""
    for each in app.user_middleware if isinstance(app, Starlette) else ():
        descope = each.kwargs.get("descope")
        if cast("object", each.cls) is DescopeMiddleware and isinstance(descope, Descope):
            return descope
    raise ConfigurationError(
        f"No Descope is installed in this {type(app).__name__}. If it is behind something else, name it:"
        " emulated(app, descope=...), in a fixture descope_emulation of your own if you use the fixtures."
    )


@cache
def _signing_key() -> SigningKey:
    """One for all emulators of a process, under another id in each: to make it takes longer than a test."""
    return SigningKey.fresh()


def _project(settings: DescopeSettings) -> Project:
    """The project that the app expects, with the emulator's tenants and users."""
    key = settings.auth_management_key
    return Project(
        settings.project_id,
        audience=settings.audience,
        auth_management_key=key.get_secret_value() if key else None,
        approved_redirects=(settings.public_url or _LOOPBACK,),
    )


def _on_loopback(emulator: Emulator) -> ASGIApp:
    """The emulator under whichever address the app has for Descope: it answers to the loopback alone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        await emulator({**scope, "headers": [(b"host", _EMULATOR_HOST), *others]}, receive, send)

    return app


def _refuse_unknown(holding: Holding) -> None:
    """A misspelt keyword would sign in somebody who lacks what the test is about, and prove nothing."""
    for name in holding.keys() - Holding.__annotations__.keys():
        raise TypeError(f"sign_in has no {name!r}; there are user, {', '.join(Holding.__annotations__)}")


def _grants(holding: Holding) -> Grants | None:
    """The roles and permissions that are given; None if neither is."""
    if "roles" not in holding and "permissions" not in holding:
        return None
    return Grants(
        _several("roles", holding.get("roles", ())), _several("permissions", holding.get("permissions", ()))
    )


def _several(name: str, values: Sequence[str]) -> tuple[str, ...]:
    """A string is a sequence of strings too, and never meant as one."""
    if isinstance(values, str):
        raise TypeError(f"{name}: expected several names, such as [{values!r}]")
    return tuple(values)


def _claims(token: str) -> Claims:
    claims: dict[str, object] = json.loads(base64url.decode(token.split(".")[1].encode()))
    return claims


def _receive(jar: CookieJar, origin: str, lines: list[bytes]) -> None:
    """Have the jar take ``Set-Cookie`` values as from an answer of the app, domain and all."""
    message = Message()
    for line in lines:
        message["Set-Cookie"] = line.decode("ascii")
    answer = cast("HTTPResponse", addinfourl(BytesIO(), message, origin))
    jar.extract_cookies(answer, Request(origin))  # noqa: S310 - nothing is opened


def _sent(jar: CookieJar, origin: str) -> str:
    """The ``Cookie`` header of the next request to the app."""
    request = Request(origin)  # noqa: S310 - nothing is opened
    jar.add_cookie_header(request)
    return request.get_header("Cookie", "")
