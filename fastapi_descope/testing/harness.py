"""An app under test with the emulator it talks to: clients, sessions, logins, and control of the clock."""

import inspect
from collections.abc import Generator
from contextlib import contextmanager
from typing import Unpack, cast

import httpx
import httpx2
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from .._web.app_location import LOGIN, social_route
from .._web.middleware import DescopeMiddleware
from ..emulator import Emulator, Project, SeedUser
from ..errors import ConfigurationError
from ..plugin import Descope
from .app_emulator import AppEmulator
from .client_sessions import ClientSessions, SignInOptions
from .clients import Browser, async_browser
from .login_flow import LoginFlow, link_form, login_path
from .users import DEFAULT_TENANT, TestUsers

__all__ = ["TestHarness", "emulated_descope"]

_LOOPBACK = "https://127.0.0.1"
"""The app's origin without ``DESCOPE_PUBLIC_URL``. It is https so that cookie jars return Secure cookies."""

_NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}


@contextmanager
def emulated_descope(
    app: ASGIApp, *, descope: Descope | None = None, project: Project | None = None
) -> Generator["TestHarness"]:
    """Send the app's calls to Descope to a new emulator while the context is active.

    Costs a few milliseconds and no network call. The first call in a process also generates an RSA key.
    Each call creates its own emulator: changes to it end with the context, and other emulators' apps refuse
    its tokens.

    Args:
        app: The app under test.
        descope: The app's ``Descope``, if it cannot be found in ``app``: because ``app`` is wrapped in
            other ASGI middleware, or only mounts the app that has it.
        project: Tenants, users and options of the emulator (``fastapi_descope.emulator.Project``). Its id,
            audience and management key are replaced by the app's own, and logins may redirect to the app.

    Raises:
        ConfigurationError: No ``Descope`` is installed in ``app``.
    """
    installed = descope or _installed(app)
    emulator = AppEmulator(installed.settings, installed.settings.public_url or _LOOPBACK, project)
    transport = httpx.ASGITransport(emulator.accept_any_host)
    with installed.override_upstream(transport, clock=emulator.clock):
        yield TestHarness(app, installed, emulator)


class TestHarness:
    """An app under test and its emulator. ``emulated_descope`` creates it.

    Attributes:
        emulator: Holds tenants and users, injects faults (``emulator.faults``), records the app's calls
            (``emulator.requests``), and has the clock (``emulator.clock.advance(seconds)``).
        origin: The origin of the app: ``DESCOPE_PUBLIC_URL``, or ``https://127.0.0.1``.
    """

    __test__ = False  # pytest would collect the class for its name

    def __init__(self, app: ASGIApp, descope: Descope, emulator: AppEmulator) -> None:
        self.emulator: Emulator = emulator
        self.origin = descope.settings.public_url or _LOOPBACK
        self._app = app
        self._leeway = descope.settings.leeway
        self._default_tenant = descope.settings.default_tenant
        self._users = TestUsers(emulator)
        self._sessions = ClientSessions(descope.settings, self.origin, emulator, self._users)
        self._idp = emulator.accept_any_host

    def client(self) -> TestClient:
        """Return a client with an empty cookie jar.

        It is Starlette's test client: blocking, with ``websocket_connect``. In a ``with`` statement it runs
        the app's lifespan. It sends its requests to ``origin`` and does not follow redirects.
        """
        return Browser(self._app, self.origin)

    def async_client(self) -> httpx.AsyncClient:
        """Return an asynchronous client with an empty cookie jar.

        It runs the app in the event loop of the test. It supports neither WebSockets nor the lifespan.
        """
        return async_browser(self._app, self.origin)

    def sign_in(self, user: str | SeedUser | None = None, **options: Unpack[SignInOptions]) -> TestClient:
        """Return a ``client`` with the cookies of a new session.

        No login takes place: ``on_login`` hooks do not run, and the clock does not advance. Use ``log_in``
        to run them.

        Args:
            user: A login id or user id. An unknown one is added to the emulator's project. None creates a
                new user with each call. A ``fastapi_descope.emulator.SeedUser``, which can have a profile,
                custom attributes and IdP groups, replaces the user with its id and joins the tenant.
            **options: The content of the session. None means the default, except for ``tenant``:

                * ``tenant``: the current tenant, ``"acme"`` by default; None for a session without a tenant.
                * ``roles`` and ``permissions``: in the tenant, or in the project for a session without one.
                  If either is given, both replace what the user had there. Earlier sessions of the user
                  change with their next refresh.
                * ``amr``: further authentication methods, such as ``"mfa"``.
                * ``step_up``: whether the user has just re-authenticated. Lasts until the next refresh.
                * ``claims``: further claims of the session token, until the next refresh. If the app must
                  refuse the token, for example for a wrong ``aud``, add ``bearer=True``: with cookies, the
                  app would get a new token with the refresh token.
                * ``actor``: the login id or user id of the person who impersonates the user. An unknown one
                  is added to the emulator's project.
                * ``bearer``: send the session token as ``Authorization: Bearer`` instead of cookies.

        Raises:
            LookupError: The user exists but is not in the tenant, and neither ``roles`` nor ``permissions``
                is given.
            TypeError: An option is unknown, or is a single string where a sequence is expected.
        """
        return self._sessions.add(self.client(), user, options)

    def sign_in_async(
        self, user: str | SeedUser | None = None, **options: Unpack[SignInOptions]
    ) -> httpx.AsyncClient:
        """Return an ``async_client`` with a new session. Not a coroutine.

        Args:
            user: As in ``sign_in``.
            **options: As in ``sign_in``.

        Raises:
            LookupError: As in ``sign_in``.
            TypeError: As in ``sign_in``.
        """
        return self._sessions.add(self.async_client(), user, options)

    def log_in(
        self,
        client: TestClient,
        user: str | SeedUser | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        return_to: str | None = None,
        provider: str | None = None,
        refuse: bool = False,
    ) -> httpx2.Response:
        """Log in through the app's login route, the emulator's page and the app's callback.

        ``on_login`` hooks run, and the client gets the cookies that the app sets. The client's own headers
        are sent.

        Args:
            client: A client of this harness, with or without a session.
            user: As in ``sign_in``.
            tenant: The id or an e-mail address of the tenant whose SSO to use; None for
                ``DESCOPE_DEFAULT_TENANT``.
            return_to: The path in the app that the login returns to.
            provider: Log in at this social provider, such as ``"google"``, instead of the tenant's SSO. The
                session then has the tenant only if the project selects one (``Project(auto_tenant=True)``).
            refuse: Press *Refuse* on the emulator's page.

        Returns:
            The response to the callback, a redirect after a successful login. If the app does not redirect
            to the emulator's page, its last response.

        Raises:
            LookupError: The user exists but is not in the tenant, the app has no login route, or the
                emulator's page fails.
            TypeError: The client is asynchronous.
        """
        return self._login_flow(user, tenant, return_to, provider, refuse=refuse).log_in(client)

    async def log_in_async(
        self,
        client: httpx.AsyncClient,
        user: str | SeedUser | None = None,
        *,
        tenant: str | None = DEFAULT_TENANT,
        return_to: str | None = None,
        provider: str | None = None,
        refuse: bool = False,
    ) -> httpx.Response:
        """Log in with an ``async_client``, as ``log_in`` does with a ``client``. A coroutine.

        Args:
            client: An asynchronous client of this harness, with or without a session.
            user: As in ``log_in``.
            tenant: As in ``log_in``.
            return_to: As in ``log_in``.
            provider: As in ``log_in``.
            refuse: As in ``log_in``.

        Returns:
            As ``log_in``.

        Raises:
            LookupError: As in ``log_in``.
            TypeError: The client is not asynchronous.
        """
        return await self._login_flow(user, tenant, return_to, provider, refuse=refuse).log_in_async(client)

    def open_link(self, client: TestClient, email: str) -> httpx2.Response:
        """Open the newest link that was sent to an address, and press its button.

        The app sends the link when a page posts the address to ``/login/magiclink``. With the client that has
        done so, the link ends its login. Any other client stands for another browser.

        Returns:
            The response to the button, a redirect after a successful login. If the link has no button, the
            response to the link.

        Raises:
            LookupError: No link was sent to the address.
        """
        opened = client.get(self.emulator.outbox.last(email).link, headers=_NAVIGATION)
        form = link_form(opened.text)
        if form is None:
            return opened
        return client.post(form.action, data=form.fields, headers=_NAVIGATION | {"Origin": self.origin})

    async def open_link_async(self, client: httpx.AsyncClient, email: str) -> httpx.Response:
        """Open the newest link with an ``async_client``, as ``open_link`` does. A coroutine.

        Returns:
            As ``open_link``.

        Raises:
            LookupError: As in ``open_link``.
        """
        opened = await client.get(self.emulator.outbox.last(email).link, headers=_NAVIGATION)
        form = link_form(opened.text)
        if form is None:
            return opened
        return await client.post(form.action, data=form.fields, headers=_NAVIGATION | {"Origin": self.origin})

    def expire_session(self, client: TestClient | httpx.AsyncClient) -> None:
        """Advance the clock until the client's session token has expired, including the leeway.

        The clock is shared by all clients. Refresh tokens stay valid: a client with cookies gets a new
        session with its next request, a client with a bearer token gets a 401.

        Raises:
            LookupError: The client has no session token.
        """
        expired_at = self._sessions.read(client).expires_at + self._leeway + 1
        self.emulator.clock.advance(max(0, expired_at - self.emulator.clock()))

    def revoke_session(self, client: TestClient | httpx.AsyncClient) -> None:
        """Revoke all sessions of the client's user at Descope, as an administrator would.

        Issued session tokens stay valid until they expire, as with Descope itself; see ``expire_session``.

        Raises:
            LookupError: The client has no session token.
        """
        self.emulator.revoke_sessions(self._sessions.read(client).user.id)

    def _login_flow(
        self,
        user: str | SeedUser | None,
        tenant: str | None,
        return_to: str | None,
        provider: str | None,
        *,
        refuse: bool,
    ) -> LoginFlow:
        tenant_id = self._tenant_id(tenant or self._default_tenant)
        login_id = self._users.get_or_create(user, tenant_id, None).login_id
        parameters = {"tenant": tenant if provider is None else None, "return_to": return_to}
        query = {name: value for name, value in parameters.items() if value is not None}
        path = login_path(self._app, LOGIN if provider is None else social_route(provider))
        return LoginFlow(self._idp, path, query, None if refuse else login_id)

    def _tenant_id(self, tenant: str | None) -> str | None:
        """Return the id of the tenant with this id, or with the domain of this e-mail address."""
        known = self.emulator.project.find_tenant(tenant) if tenant else None
        return known.id if known else tenant


def _installed(app: ASGIApp) -> Descope:
    """Return the ``Descope`` whose middleware is in the app."""
    for middleware in app.user_middleware if isinstance(app, Starlette) else ():
        descope, cls = middleware.kwargs.get("descope"), cast("object", middleware.cls)
        if isinstance(cls, type) and issubclass(cls, DescopeMiddleware) and isinstance(descope, Descope):
            return descope
    raise ConfigurationError(f"No Descope is installed in this {type(app).__name__}. {_likely_cause(app)}")


def _likely_cause(app: object) -> str:
    if inspect.isroutine(app) or inspect.isclass(app):
        return (
            "If this is a factory, call it and pass the app that it returns: emulated_descope(create_app())."
            " With the pytest fixtures, return the app from your own descope_app fixture."
        )
    if not callable(app):
        return "Pass the app itself. A factory, or a descope_app fixture, must return the app."
    return (
        "If other middleware wraps the app, pass its Descope: emulated_descope(app, descope=...)."
        " With the pytest fixtures, do so in your own descope_harness fixture."
    )
