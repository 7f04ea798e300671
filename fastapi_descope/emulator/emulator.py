"""The emulator: its project, clock, users, faults and journal, and tokens without a sign-in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

import httpx
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .api.admin import Admin
from .api.auth import AuthApi
from .api.impersonation import ImpersonationApi
from .api.inbound_apps import InboundAppsApi
from .api.inbound_discovery import InboundDiscovery
from .api.magic_link import MagicLinkApi
from .api.oidc import OidcApi
from .api.pending import PendingApi
from .api.snapshot import Snapshot
from .api.user_management import UserManagementApi
from .app import EmulatorApp
from .auth_server import AuthServer
from .clock import Clock
from .directory import SeedUser
from .faults.queue import Faults
from .impersonation import Impersonations
from .inbound_server import InboundServer
from .inbound_tokens import InboundGrant
from .journal import Journal
from .logins import LoginStore
from .outbox import Outbox
from .pages.consent import ConsentPage
from .pages.console import Console
from .pages.sign_in import SignInPage
from .project import Project
from .signing import SigningKey
from .tokens import Principal
from .user_changes import Status, UserChanges
from .webhook import AuditWebhook

__all__ = ["Emulator", "JwtPair"]


@dataclass(frozen=True, slots=True)
class JwtPair:
    """A pair of tokens issued without a sign-in."""

    session_jwt: str = field(repr=False)
    refresh_jwt: str = field(repr=False)

    def __iter__(self) -> Iterator[str]:
        return iter((self.session_jwt, self.refresh_jwt))


# Accepts loopback hosts only (EM-03), and rejects what Descope would reject (EM-07).
class Emulator:
    """A Descope emulator for development and tests: an ASGI app with its own project, clock and signing key.

    Serve it in-process through ``httpx.ASGITransport(emulator)``, or on a socket with ``server.running``. It
    rejects requests whose ``Host`` is not a loopback address, so clients need a loopback URL in both cases.
    Mounted in another app, its URLs contain the prefix of the mount.

    As a context manager it clears the faults on exit, so that no call stays held.

    Args:
        project: The project; the default one without.
        clock: The clock; by default the real time.
        base_url: The origin in issuers of URL form. ``server`` sets it.
        pause: Waits for a number of seconds when a fault delays a call.
        signing_key: The signing key. Without, one is generated, which takes tens of milliseconds.
        webhook_transport: Replaces the connections to the app that gets audit webhooks, to send them within a
            process.
        console: Serve ``/console`` read-only (``"view"``) or with control over faults, sessions, keys and the
            clock (``"faults"``). By default there is no console.

    Attributes:
        clock: The clock of everything that is issued here; ``clock.advance(seconds)`` moves it.
        outbox: The e-mails that Descope would send; ``outbox.last(address).link`` is the newest link.
        faults: The pending faults; ``faults.add`` adds one.
        requests: The journal of the requests.
        webhook: The audit webhook, which ``update_user`` and ``delete_user`` send.
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
        webhook_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.requests = Journal()
        self._auth_server = AuthServer(project or Project(), self.clock, base_url, signing_key)
        self._inbound_server = InboundServer(self._auth_server, self.clock)
        self.webhook = AuditWebhook(lambda: self.project, self.clock, pause, webhook_transport)
        self._user_changes = UserChanges(self._auth_server, self.webhook)
        logins, self.outbox = LoginStore(self.clock), Outbox()
        routes: list[Route] = [
            *AuthApi(self._auth_server, logins, self.clock).routes,
            *PendingApi(self._auth_server, logins, self.clock).routes,
            *MagicLinkApi(self._auth_server, logins, self.outbox, self.clock).routes,
            *OidcApi(self._auth_server, logins, self.clock).routes,
            *InboundDiscovery(self._auth_server).routes,
            *InboundAppsApi(self._auth_server, self._inbound_server, logins, self.clock).routes,
            *ImpersonationApi(self._auth_server, Impersonations(self._auth_server, self.clock)).routes,
            *UserManagementApi(self._auth_server).routes,
            *SignInPage(self._auth_server, logins).routes,
            *ConsentPage(self._auth_server, self._inbound_server, logins).routes,
        ]
        self.faults = Faults({route.name for route in routes}, pause)
        self._app = EmulatorApp(
            routes,
            self._console_routes(console),
            faults=self.faults,
            journal=self.requests,
            clock=self.clock,
        )

    async def __aenter__(self) -> Self:
        """Return the emulator. It needs no start-up."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the faults, so that held calls continue."""
        self.faults.clear()

    @property
    def project(self) -> Project:
        """The project. Assigning a new one changes roles or settings; issued tokens stay as they are."""
        return self._auth_server.project

    @project.setter
    def project(self, project: Project) -> None:
        """Replace the project."""
        self._auth_server.project = project

    @property
    def project_id(self) -> str:
        """The project id."""
        return self.project.project_id

    @property
    def base_url(self) -> str:
        """The origin in issuers of URL form."""
        return self._auth_server.base_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        """Set the origin at which clients reach the emulator."""
        self._auth_server.base_url = base_url

    @property
    def public_keys(self) -> tuple[dict[str, str], ...]:
        """The published keys as JWKs, newest first."""
        return self._auth_server.keys.public_keys

    def rotate_keys(self, *, keep_old: bool = True) -> None:
        """Sign with a new key from now on.

        Args:
            keep_old: Keep accepting tokens that older keys signed.
        """
        self._auth_server.keys.rotate(keep_old=keep_old)

    def drop_old_keys(self) -> None:
        """Invalidate the tokens that older keys signed."""
        self._auth_server.keys.drop_old()

    def revoke_sessions(self, user: str) -> None:
        """End all sessions of a user. Their session JWTs stay valid until they expire, as in Descope.

        Args:
            user: A login id or a user id.

        Raises:
            LookupError: The project has no such user.
        """
        self._auth_server.revoke_user(self._find_user(user))

    async def update_user(
        self,
        user: str,
        *,
        status: Status | None = None,
        tenants: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[int, ...]:
        """Change a user, as an administrator does, and send the audit webhook.

        Session JWTs stay as they are until they expire.

        Args:
            user: A login id or a user id.
            status: The new status: ``enabled``, ``invited``, or ``disabled`` for a user who can neither sign
                in nor refresh.
            tenants: The user's tenants from now on, with the roles in each.

        Returns:
            The HTTP status of each attempt to send the webhook.

        Raises:
            LookupError: The project has no such user.
            ValueError: The project has no such tenant.
        """
        return await self._user_changes.update(self._find_user(user), status=status, tenants=tenants)

    async def delete_user(self, user: str) -> tuple[int, ...]:
        """Delete a user, and send the audit webhook. Returns the HTTP status of each attempt to send it.

        Raises:
            LookupError: The project has no such user.
        """
        return await self._user_changes.delete(self._find_user(user))

    def issue(
        self,
        user: str,
        tenant: str | None = None,
        *,
        session_seconds: int | None = None,
        amr: tuple[str, ...] = (),
        step_up: bool = False,
        claims: Mapping[str, object] | None = None,
        actor: str | None = None,
    ) -> JwtPair:
        """Return tokens for a user as after a sign-in, without HTTP.

        Args:
            user: A login id or a user id.
            tenant: The current tenant. Without, a project with ``auto_tenant`` selects the user's only one.
            session_seconds: The lifetime of the session JWT; negative for one that has expired.
            amr: Authentication methods in addition to the user's own.
            step_up: Add ``su`` to the session JWT.
            claims: Claims of the session JWT that replace the regular ones.
            actor: A login id or a user id of the person who impersonates the user. No permission is needed.

        Raises:
            LookupError: The project has no such user or actor, or the user is not a member of the tenant.
        """
        account = self._find_member(user, tenant)
        if tenant is None:
            tenant = self.project.default_tenant(account)
        actor_id = None if actor is None else self._find_user(actor).user_id
        principal = Principal(account, tenant, (*account.amr, *amr), step_up=step_up, actor=actor_id)
        issued = self._auth_server.start_session(principal, session_seconds=session_seconds, overrides=claims)
        return JwtPair(issued.session_jwt, issued.refresh_jwt)

    def issue_delegate(
        self,
        user: str | None,
        client_id: str,
        scopes: tuple[str, ...] = (),
        *,
        tenant: str | None = None,
        resources: tuple[str, ...] = (),
        mcp_server: str = "",
        jkt: str = "",
        seconds: int | None = None,
        claims: Mapping[str, object] | None = None,
    ) -> str:
        """Return the access token of an inbound app, without HTTP and without the user's consent.

        Its form follows ``Project.assumptions``, as that of tokens from the token endpoint does. The project
        need not have the app, and nothing checks that the app may ask for the scopes and resources.

        Args:
            user: A login id or a user id; None for an app that acts for itself (client credentials).
            client_id: The client id of the app.
            scopes: The granted scopes.
            tenant: The tenant that the app has asked for. Tokens contain it only if ``Assumptions`` say so.
            resources: The audiences that the app has asked for with ``resource``.
            mcp_server: The id of the MCP server through which the app has asked.
            jkt: The thumbprint of the key that the token is bound to (``cnf``).
            seconds: The lifetime of the token, if not the app's; negative for one that has expired.
            claims: Claims that replace the regular ones.

        Raises:
            LookupError: The project has no such user, or the user is not a member of the tenant.
            ValueError: The client id has another form than those of inbound apps.
        """
        account = None if user is None else self._find_member(user, tenant)
        grant = InboundGrant(
            client_id,
            account.user_id if account else None,
            scopes,
            account.amr if account else (),
            tenant,
            resources,
            mcp_server,
            jkt,
        )
        return self._inbound_server.issue_access_token(grant, account, seconds=seconds, overrides=claims)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    def _console_routes(self, console: Literal["view", "faults"] | None) -> list[Route]:
        if console is None:
            return []
        snapshot = Snapshot(
            self._auth_server, self._inbound_server, self.faults, self.requests, self.outbox, self.clock
        )
        admin = Admin(self._auth_server, self._inbound_server, self.faults, self.clock, self._user_changes)
        return Console(snapshot, admin if console == "faults" else None).routes

    def _find_user(self, reference: str) -> SeedUser:
        user = self.project.find_user(reference)
        if user is None:
            raise LookupError("the project has no such user")
        return user

    def _find_member(self, reference: str, tenant: str | None) -> SeedUser:
        user = self._find_user(reference)
        if tenant is not None and tenant not in user.tenants:
            raise LookupError(f"{user.user_id} is not a member of tenant {tenant!r}")
        return user
