"""The settings of an emulated Descope project."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

from .assumptions import Assumptions
from .directory import AccessKey, Grants, SeedTenant, SeedUser
from .inbound_apps import InboundApp, McpServer
from .urls import LOOPBACK_HOSTS
from .validation import (
    check_cookie,
    check_project_id,
    check_redirects,
    check_seconds,
    check_secret,
    check_unique,
)

__all__ = ["DEFAULT_PROJECT_ID", "CookieSettings", "Project"]

# Tokens for this id are valid for no real project (EM-04).
DEFAULT_PROJECT_ID = "P2EMULATORforDevelopmentOnly"
"""A well-formed project id that does not belong to a real project. It has 28 characters, so no region."""

_FOUR_WEEKS = 28 * 24 * 3600
_YEAR = 365 * 24 * 3600
_LIFETIMES = (
    "session_seconds",
    "refresh_seconds",
    "access_key_seconds",
    "step_up_seconds",
    "trusted_device_seconds",
)
_SOCIAL_PROVIDERS = (
    "apple",
    "discord",
    "facebook",
    "github",
    "gitlab",
    "google",
    "linkedin",
    "microsoft",
    "slack",
)


@dataclass(frozen=True, slots=True)
class CookieSettings:
    """Names and attributes of the cookies in which a project can send its tokens.

    The cookies are always HttpOnly and Secure.

    Attributes:
        session_name: The name of the session cookie.
        refresh_name: The name of the refresh cookie.
        session_domain: The ``Domain`` of the session cookie; empty for a host-only cookie.
        domain: The ``Domain`` of the refresh cookie; empty for a host-only cookie.
        path: The ``Path`` of both cookies.
        same_site: The ``SameSite`` attribute of both cookies.

    Raises:
        ValueError: A name, path or domain is not valid in a cookie, or both names are equal.
    """

    session_name: str = "DS"
    refresh_name: str = "DSR"
    session_domain: str = ""
    domain: str = ""
    path: str = "/"
    same_site: Literal["none", "lax", "strict"] = "none"

    def __post_init__(self) -> None:
        if self.session_name == self.refresh_name:
            raise ValueError("the session cookie and the refresh cookie must have different names")
        check_cookie(session_name=self.session_name, refresh_name=self.refresh_name, path=self.path)
        check_cookie(session_domain=self.session_domain, domain=self.domain)


def _default_tenants() -> tuple[SeedTenant, ...]:
    return (
        SeedTenant("acme", "Acme Corp", ("acme.example",), ("acme-okta",)),
        SeedTenant("globex", "Globex", ("globex.example",)),
    )


def _default_users() -> tuple[SeedUser, ...]:
    admin = Grants(("admin",), ("reports.read", "reports.write", "users.manage"))
    viewer = Grants(("viewer",), ("reports.read",))
    return (
        SeedUser("ada@acme.example", "Ada Lovelace", {"acme": admin, "globex": viewer}),
        SeedUser("grace@acme.example", "Grace Hopper", {"acme": viewer}),
        SeedUser("hank@globex.example", "Hank Scorpio", {"globex": admin}),
        SeedUser("nomad@example.org", "Nomad"),
    )


def _default_access_keys() -> tuple[AccessKey, ...]:
    """Return one key without a tenant, so that it is valid with any tenants."""
    key = AccessKey("K2EMULATORnightlyReports0001", "emulator-access-key", "Nightly reports")
    return (replace(key, roles=("reporter",), permissions=("reports.read",)),)


def _default_inbound_apps() -> tuple[InboundApp, ...]:
    scopes = {"reports:read": "Read your reports", "reports:write": "Change your reports"}
    uris = ("http://127.0.0.1/callback", "http://localhost/callback")
    return (
        InboundApp("TPA2EMULATORreportReader", "Report Reader", "", uris, scopes),
        InboundApp(
            "TPA2EMULATORreportSync",
            "Report Sync",
            "emulator-client-secret",
            redirect_uris=uris,
            scopes=scopes,
        ),
    )


@dataclass(frozen=True, slots=True)
class Project:
    """A Descope project: settings, tenants, users, access keys and inbound apps. Frozen.

    The defaults are Descope's (wire contract, section 3.5). Times are in seconds.

    Attributes:
        project_id: The project id.
        tenants: The tenants.
        users: The users.
        session_seconds: Lifetime of session JWTs.
        refresh_seconds: Lifetime of sessions from the sign-in; refreshes do not extend it.
        rotate_refresh: Every refresh replaces the refresh token.
        reuse_grace: How long a replaced refresh token stays usable. After that, using it ends the family.
            Descope's own value is unknown.
        inactivity_seconds: Sessions that are not refreshed within this time end; 0 for never. That an idle
            session cannot call ``/me`` either is our choice.
        issuer: The form of the ``iss`` claim: the project id (``id``), ``{base}/{id}`` (``url``),
            ``{base}/v1/apps/{id}`` (``app``) or ``{base}/v1/apps/agentic/{id}/emulator`` (``agentic``).
        audience: The ``aud`` claim: a string, or several as a list.
        auth_schema: Where session JWTs contain roles (section 3.4): under ``tenants`` (``default``), at the
            top level for the current tenant (``tenantOnly``), or nowhere (``none``).
        auto_tenant: A user with exactly one tenant gets it as ``dct`` without selecting it.
        template_email: Session JWTs contain ``email`` and ``name``.
        approved_redirects: Hosts or URL prefixes that a sign-in may return to. An empty tuple approves every
            http(s) URL, as in Descope.
        auth_management_key: If set, every request must send it at the end of the bearer; if None, none may.
        management_key: The key of the management API.
        access_keys: The access keys.
        access_key_seconds: Lifetime of the session JWTs of access keys.
        step_up_seconds: Maximum lifetime of a session JWT with ``su``.
        trusted_device_seconds: Lifetime of the tokens of trusted devices.
        session_token_in: Whether the session JWT is sent in the body or in a cookie (section 4).
        refresh_token_in: Whether the refresh JWT is sent in the body or in a cookie (section 4).
        cookies: The cookies, if one of the two is ``cookie``.
        empty_claims: An empty list of roles or permissions is sent (``none``), null (``nil``) or left out
            (``delete``).
        exclude_permissions: JWTs contain no permissions.
        override_subject: ``sub`` is the login id, and ``dsub`` the user id.
        session_jti: Session JWTs contain ``jti``.
        social_providers: The social providers.
        federated_apps: Client ids of OIDC apps in addition to the project id.
        open_sign_up: An unknown login id that is entered on the sign-in page joins the tenant.
        inbound_apps: OAuth clients that ask users for access. Dynamic registrations are added to them.
        mcp_servers: The MCP servers at which clients can register.
        webhook_url: Where audit events about changed users are sent; empty for nowhere.
        webhook_secret: The HMAC secret of these requests; without one they have no signature.
        assumptions: Undocumented behaviour of Descope.

    Raises:
        ValueError: A value is invalid, ids are not unique, a user or key is in an unknown tenant, a key is
            bound to an unknown user, or an app is at an unknown MCP server.
    """

    project_id: str = DEFAULT_PROJECT_ID
    tenants: tuple[SeedTenant, ...] = field(default_factory=_default_tenants)
    users: tuple[SeedUser, ...] = field(default_factory=_default_users)
    session_seconds: int = 600
    refresh_seconds: int = _FOUR_WEEKS
    rotate_refresh: bool = False
    reuse_grace: int = 0
    inactivity_seconds: int = 0
    issuer: Literal["id", "url", "app", "agentic"] = "id"
    audience: str | tuple[str, ...] | None = None
    auth_schema: Literal["default", "tenantOnly", "none"] = "default"
    auto_tenant: bool = False
    template_email: bool = True
    approved_redirects: tuple[str, ...] = LOOPBACK_HOSTS  # nothing but loopback by default (EM-06)
    auth_management_key: str | None = field(default=None, repr=False)
    management_key: str | None = field(default=None, repr=False)
    access_keys: tuple[AccessKey, ...] = field(default_factory=_default_access_keys)
    access_key_seconds: int = 600
    step_up_seconds: int = 600
    trusted_device_seconds: int = _YEAR
    session_token_in: Literal["body", "cookie"] = "body"  # noqa: S105 - not a password
    refresh_token_in: Literal["body", "cookie"] = "body"  # noqa: S105 - not a password
    cookies: CookieSettings = field(default_factory=CookieSettings)
    empty_claims: Literal["none", "nil", "delete"] = "delete"
    exclude_permissions: bool = False
    override_subject: bool = False
    session_jti: bool = False
    social_providers: tuple[str, ...] = _SOCIAL_PROVIDERS
    federated_apps: tuple[str, ...] = ()
    open_sign_up: bool = False
    inbound_apps: tuple[InboundApp, ...] = field(default_factory=_default_inbound_apps)
    mcp_servers: tuple[McpServer, ...] = ()
    webhook_url: str = ""
    webhook_secret: str | None = field(default=None, repr=False)
    assumptions: Assumptions = field(default_factory=Assumptions)

    def __post_init__(self) -> None:
        check_project_id(self.project_id)
        check_redirects(self.approved_redirects)
        self._check_times()
        for name in ("auth_management_key", "management_key"):
            if (secret := getattr(self, name)) is not None:
                check_secret(name, secret)
        self._check_unique()
        for user in self.users:
            self._check_memberships(f"user {user.login_id}", user.tenants)
        for key in self.access_keys:
            self._check_memberships(f"access key {key.id}", key.tenants)
            if key.bound_user and self.find_user(key.bound_user) is None:
                raise ValueError(f"access key {key.id} is bound to a user the project does not have")
        for app in self.inbound_apps:
            if app.mcp_server and self.find_mcp_server(app.mcp_server) is None:
                raise ValueError(f"inbound app {app.client_id} is at an MCP server the project does not have")

    def _check_times(self) -> None:
        check_seconds({name: getattr(self, name) for name in _LIFETIMES}, least=1)
        check_seconds({name: getattr(self, name) for name in ("inactivity_seconds", "reuse_grace")}, least=0)

    def _check_unique(self) -> None:
        check_unique("tenant id", [tenant.id for tenant in self.tenants])
        domains = [{domain.lower() for domain in tenant.domains} for tenant in self.tenants]
        check_unique("domain of a tenant", chain.from_iterable(domains))
        check_unique("user id", [user.user_id for user in self.users])
        names = [{user.login_id.lower(), user.phone} - {""} for user in self.users]
        check_unique("login id or phone number", chain.from_iterable(names))
        check_unique("access key id", [key.id for key in self.access_keys])
        check_unique("access key secret", [key.secret for key in self.access_keys])
        check_unique("client id", [app.client_id for app in self.inbound_apps])
        check_unique("MCP server id", [server.id for server in self.mcp_servers])

    def _check_memberships(self, member: str, tenants: Mapping[str, Grants]) -> None:
        unknown = sorted(set(tenants) - {tenant.id for tenant in self.tenants})
        if unknown:
            raise ValueError(f"{member} is in tenants the project does not have: {unknown}")

    def find_user(self, reference: str) -> SeedUser | None:
        """Return the user with this login id (case-insensitive), user id or phone number, or None."""
        login_id = reference.lower()
        for user in self.users:
            if login_id == user.login_id.lower() or (reference and reference in (user.user_id, user.phone)):
                return user
        return None

    def with_user(self, user: SeedUser) -> "Project":
        """Return a project in which ``user`` replaces the user with the same user id."""
        users = tuple(user if each.user_id == user.user_id else each for each in self.users)
        return replace(self, users=users)

    def without_user(self, user: SeedUser) -> "Project":
        """Return a project without this user."""
        return replace(self, users=tuple(each for each in self.users if each.user_id != user.user_id))

    def find_access_key(self, secret: str) -> AccessKey | None:
        """Return the access key with this secret, or None. Compares in constant time."""
        sent = secret.encode()
        keys = self.access_keys
        return next((key for key in keys if hmac.compare_digest(key.secret.encode(), sent)), None)

    def find_inbound_app(self, client_id: str) -> InboundApp | None:
        """Return the inbound app with this client id, or None."""
        return next((app for app in self.inbound_apps if app.client_id == client_id), None)

    def find_mcp_server(self, server_id: str) -> McpServer | None:
        """Return the MCP server with this id, or None."""
        return next((server for server in self.mcp_servers if server.id == server_id), None)

    def find_tenant(self, reference: str) -> SeedTenant | None:
        """Return the tenant with this id or name, or with the domain of this e-mail address, or None."""
        domain = reference.rpartition("@")[2] if "@" in reference else ""
        for tenant in self.tenants:
            if reference in {tenant.id, tenant.name} or (domain and tenant.has_domain(domain)):
                return tenant
        return None

    def tenant_by_id(self, tenant_id: str | None) -> SeedTenant | None:
        """Return the tenant with exactly this id, or None."""
        return next((tenant for tenant in self.tenants if tenant.id == tenant_id), None)

    def default_tenant(self, user: SeedUser) -> str | None:
        """Return the user's only tenant if ``auto_tenant`` is set, otherwise None."""
        return next(iter(user.tenants)) if self.auto_tenant and len(user.tenants) == 1 else None

    def session_lifetime(self, tenant_id: str | None, *, step_up: bool) -> int:
        """Return the lifetime of a session JWT: the tenant's, else the project's; step-up may shorten it."""
        tenant = self.tenant_by_id(tenant_id)
        seconds = (tenant and tenant.session_seconds) or self.session_seconds
        return min(seconds, self.step_up_seconds) if step_up else seconds

    def tenants_of(self, user: SeedUser) -> tuple[SeedTenant, ...]:
        """Return the tenants of a user, in the project's order."""
        return tuple(tenant for tenant in self.tenants if tenant.id in user.tenants)

    def members(self, tenant_id: str) -> tuple[SeedUser, ...]:
        """Return the users of a tenant, in the project's order."""
        return tuple(user for user in self.users if tenant_id in user.tenants)
