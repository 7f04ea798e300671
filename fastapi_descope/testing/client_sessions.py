"""The sessions in the clients of an app under test: issued by the emulator, and read back."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

import httpx
from starlette.testclient import TestClient

from .._auth.credentials import Credentials
from .._encoding import base64url_decode
from .._web.cookies import SessionCookies
from .._web.credentials import CredentialsReader
from ..emulator import Emulator, Grants, JwtPair, SeedUser
from ..session import AuthSession, Claims, RefreshToken, TokenPair
from ..settings import DescopeSettings
from .clients import Client, cookie_header, store_cookies
from .users import DEFAULT_TENANT, TestUsers

__all__ = ["ClientSessions", "SignInOptions"]


class SignInOptions(TypedDict, total=False):
    """The keyword arguments of ``TestHarness.sign_in``."""

    tenant: str | None
    roles: Sequence[str] | None
    permissions: Sequence[str] | None
    amr: Sequence[str] | None
    step_up: bool
    claims: Mapping[str, object] | None
    actor: str | None
    bearer: bool


class ClientSessions:
    """Adds sessions to clients without a login, and reads the session that a client has.

    Args:
        settings: The settings of the app, which name the cookies.
        origin: The origin of the app.
        emulator: Issues the tokens.
        users: The users that tests sign in.
    """

    def __init__(self, settings: DescopeSettings, origin: str, emulator: Emulator, users: TestUsers) -> None:
        self._cookies = SessionCookies(settings)
        self._reader = CredentialsReader(settings)
        self._origin = origin
        self._emulator = emulator
        self._users = users

    def add(self, client: Client, user: str | SeedUser | None, options: SignInOptions) -> Client:
        """Add a new session of ``user`` to a client, and return the client.

        Raises:
            LookupError: The user exists but is not in the tenant, and no grants are given.
            TypeError: An option is unknown, or is a single string where a sequence is expected.
        """
        _reject_unknown(options)
        tenant, actor = options.get("tenant", DEFAULT_TENANT), options.get("actor")
        issued = self._emulator.issue(
            self._users.get_or_create(user, tenant, _grants(options)).login_id,
            tenant,
            amr=_as_tuple("amr", options.get("amr")),
            step_up=options.get("step_up", False),
            claims=options.get("claims"),
            actor=None if actor is None else self._users.get_or_create(actor, None, None).login_id,
        )
        if options.get("bearer"):
            client.headers["Authorization"] = f"Bearer {issued.session_jwt}"
        else:
            store_cookies(client.cookies.jar, self._origin, self._set_cookies(issued))
        return client

    def read(self, client: TestClient | httpx.AsyncClient) -> AuthSession:
        """Return the session in the client's session token. Does not verify it; the app does.

        Raises:
            LookupError: The client has no session token.
        """
        bearer = client.headers.get("Authorization", "").removeprefix("Bearer ")
        cookie = cookie_header(client.cookies.jar, self._origin).encode()
        scope = {"type": "http", "method": "GET", "headers": [(b"cookie", cookie)]}
        token = bearer or self._reader.read(scope).session
        if not token:
            raise LookupError("This client has no session token. Sign it in first.")
        return AuthSession.from_claims(_claims(token))

    def _set_cookies(self, issued: JwtPair) -> list[bytes]:
        """Return the ``Set-Cookie`` values with which the app would set this session."""
        session = AuthSession.from_claims(_claims(issued.session_jwt))
        refresh_token = RefreshToken.from_claims(issued.refresh_jwt, _claims(issued.refresh_jwt))
        return self._cookies.write(
            TokenPair(issued.session_jwt, session, refresh_token),
            now=self._emulator.clock(),
            secure=self._origin.startswith("https:"),
            credentials=Credentials(),
        )


def _reject_unknown(options: SignInOptions) -> None:
    # A test with a misspelt option could pass without testing anything.
    known = SignInOptions.__annotations__
    for name in options.keys() - known.keys():
        raise TypeError(f"sign_in has no option {name!r}; the options are {', '.join(known)}")


def _grants(options: SignInOptions) -> Grants | None:
    """Return the roles and permissions of the options; None if neither is given."""
    roles, permissions = options.get("roles"), options.get("permissions")
    if roles is None and permissions is None:
        return None
    return Grants(_as_tuple("roles", roles), _as_tuple("permissions", permissions))


def _as_tuple(name: str, values: Sequence[str] | None) -> tuple[str, ...]:
    # A string is a sequence of strings, but is never meant as one here.
    if isinstance(values, str):
        raise TypeError(f"{name}: expected a sequence of strings, such as [{values!r}]")
    return tuple(values or ())


def _claims(token: str) -> Claims:
    claims: dict[str, object] = json.loads(base64url_decode(token.split(".")[1].encode()))
    return claims
