"""The seed of an emulator: a Descope project with its settings, tenants and users. All frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

from .assumptions import Assumptions
from .directory import AccessKey, Grants, SeedTenant, SeedUser
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

DEFAULT_PROJECT_ID = "P2EMULATORforDevelopmentOnly"
"""Well-formed (28 characters, so no region) and recognisably nobody's real project (EM-04)."""

_FOUR_WEEKS = 28 * 24 * 3600
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
    """Names and attributes of the two cookies. They are always HttpOnly and Secure.

    An empty domain makes a cookie of the host alone. The two tokens may have separate domains.

    Raises ValueError for what cannot stand in a cookie.
    """

    session_name: str = "DS"
    refresh_name: str = "DSR"
    session_domain: str = ""
    domain: str = ""
    path: str = "/"
    same_site: Literal["none", "lax", "strict"] = "none"

    def __post_init__(self) -> None:
        if self.session_name == self.refresh_name:
            raise ValueError("the session and the refresh cookie need different names")
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
    """One key for trying; in no tenant, so that it fits whatever tenants there are."""
    key = AccessKey("K2EMULATORnightlyReports0001", "emulator-access-key", "Nightly reports")
    return (replace(key, roles=("reporter",), permissions=("reports.read",)),)


@dataclass(frozen=True, slots=True)
class Project:
    """A Descope project. Times are seconds; the defaults are Descope's (wire contract, section 3.5).

    ``rotate_refresh``: every refresh replaces the refresh token, and presenting a replaced one more than
    ``reuse_grace`` seconds later ends the whole family. Descope's own grace is unknown, so it is none.

    ``inactivity_seconds``: refused unless refreshed that often; 0 is off. Descope is known to look at it
    when a session is refreshed; that an idle one opens nothing else either, such as ``/me``, is our choice,
    the stricter one. ``step_up_seconds``: how long a session JWT with ``su`` may live.

    ``session_token_in`` and ``refresh_token_in``: a token in a cookie is in no body; ``cookies`` says
    which cookie (section 4).

    ``issuer``: the ``iss`` claim is the bare project id, or ``{base}/{id}``, or ``{base}/v1/apps/{id}``,
    or ``{base}/v1/apps/agentic/{id}/emulator``. ``audience`` is one text, or a list of several.

    ``auth_schema``: where a session JWT says what the user holds (section 3.4): under ``tenants``; at the
    top level for the current tenant only; or nowhere. ``empty_claims``: a list without entries is there,
    or is null, or is left out. ``exclude_permissions`` leaves out the one of the permissions.

    ``auto_tenant``: a user with one tenant gets it as ``dct`` without choosing it. ``template_email``:
    session JWTs hold ``email`` and ``name``. ``override_subject``: ``sub`` is the login id, and the user
    id is in ``dsub``. ``session_jti``: session JWTs have an id.

    ``approved_redirects``: hosts or URL prefixes that a sign-in may return to; none at all approves every
    http(s) URL, as in Descope. ``social_providers`` are
    those of the OAuth endpoints. ``federated_apps``: ids of OIDC clients besides the project's own id.

    ``open_sign_up``: whoever types an unknown login id on the sign-in page joins the tenant.

    ``auth_management_key``, if set, must end every bearer; if not set, no bearer may hold one.
    ``management_key`` opens the management API.

    ``guesses``: what nobody outside Descope knows.

    Raises ValueError if the parts do not fit each other.
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
    approved_redirects: tuple[str, ...] = LOOPBACK_HOSTS
    auth_management_key: str | None = field(default=None, repr=False)
    management_key: str | None = field(default=None, repr=False)
    access_keys: tuple[AccessKey, ...] = field(default_factory=_default_access_keys)
    access_key_seconds: int = 600
    step_up_seconds: int = 600
    session_token_in: Literal["body", "cookie"] = "body"  # noqa: S105 - a place
    refresh_token_in: Literal["body", "cookie"] = "body"  # noqa: S105 - a place
    cookies: CookieSettings = field(default_factory=CookieSettings)
    empty_claims: Literal["none", "nil", "delete"] = "delete"
    exclude_permissions: bool = False
    override_subject: bool = False
    session_jti: bool = False
    social_providers: tuple[str, ...] = _SOCIAL_PROVIDERS
    federated_apps: tuple[str, ...] = ()
    open_sign_up: bool = False
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

    def _check_times(self) -> None:
        lives = ("session_seconds", "refresh_seconds", "access_key_seconds", "step_up_seconds")
        check_seconds({name: getattr(self, name) for name in lives}, least=1)
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

    def _check_memberships(self, who: str, tenants: Mapping[str, Grants]) -> None:
        strangers = sorted(set(tenants) - {tenant.id for tenant in self.tenants})
        if strangers:
            raise ValueError(f"{who} is in tenants the project lacks: {strangers}")

    def find_user(self, reference: str) -> SeedUser | None:
        """The user with this login id (in any case), user id or phone number."""
        login_id = reference.lower()
        for user in self.users:
            if login_id == user.login_id.lower() or (reference and reference in (user.user_id, user.phone)):
                return user
        return None

    def find_tenant(self, reference: str) -> SeedTenant | None:
        """The tenant with this id or name, or whose domain this e-mail address is in."""
        domain = reference.rpartition("@")[2] if "@" in reference else ""
        for tenant in self.tenants:
            if reference in {tenant.id, tenant.name} or (domain and tenant.has_domain(domain)):
                return tenant
        return None

    def tenant_by_id(self, tenant_id: str | None) -> SeedTenant | None:
        """The tenant with exactly this id."""
        return next((tenant for tenant in self.tenants if tenant.id == tenant_id), None)

    def default_tenant(self, user: SeedUser) -> str | None:
        """The current tenant of a user who chose none: their only one, if the project says so."""
        return next(iter(user.tenants)) if self.auto_tenant and len(user.tenants) == 1 else None

    def tenants_of(self, user: SeedUser) -> tuple[SeedTenant, ...]:
        """The tenants of a user, in the project's order."""
        return tuple(tenant for tenant in self.tenants if tenant.id in user.tenants)

    def members(self, tenant_id: str) -> tuple[SeedUser, ...]:
        """The users of a tenant, in the project's order."""
        return tuple(user for user in self.users if tenant_id in user.tenants)
