"""The seed of an emulator: a Descope project with its settings, tenants and users. All frozen."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .redirects import LOOPBACK_HOSTS

__all__ = ["DEFAULT_PROJECT_ID", "Grants", "Project", "Tenant", "User"]

DEFAULT_PROJECT_ID = "P2EMULATORforDevelopmentOnly"
"""Well-formed (28 characters, so no region) and recognisably nobody's real project (EM-04)."""

_FOUR_WEEKS = 28 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Grants:
    """What a user holds, in one tenant or in the whole project."""

    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


_NO_GRANTS = Grants()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer organisation with single sign-on.

    ``domains`` route an e-mail to it. ``sso_ids`` are its SSO configurations besides the default one.
    """

    id: str
    name: str = ""
    domains: tuple[str, ...] = ()
    sso_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """A person. ``login_id`` is an e-mail address; ``tenants`` maps tenant ids to what is held there.

    ``user_id`` and ``name``, left empty, are derived from the login id: the same in every run.
    """

    login_id: str
    name: str = ""
    tenants: Mapping[str, Grants] = field(default_factory=dict[str, Grants])
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    amr: tuple[str, ...] = ("fed",)
    user_id: str = ""

    def __post_init__(self) -> None:
        derived = hashlib.sha256(self.login_id.encode()).hexdigest()[:26]
        name = self.login_id.partition("@")[0].capitalize()
        object.__setattr__(self, "user_id", self.user_id or f"U2{derived}")
        object.__setattr__(self, "name", self.name or name)
        object.__setattr__(self, "tenants", MappingProxyType(dict(self.tenants)))

    def held_in(self, tenant_id: str) -> Grants:
        """What the user holds in a tenant; nothing where not a member."""
        return self.tenants.get(tenant_id, _NO_GRANTS)


def _default_tenants() -> tuple[Tenant, ...]:
    return (
        Tenant("acme", "Acme Corp", ("acme.example",), ("acme-okta",)),
        Tenant("globex", "Globex", ("globex.example",)),
    )


def _default_users() -> tuple[User, ...]:
    admin = Grants(("admin",), ("reports.read", "reports.write", "users.manage"))
    viewer = Grants(("viewer",), ("reports.read",))
    return (
        User("ada@acme.example", "Ada Lovelace", {"acme": admin, "globex": viewer}),
        User("grace@acme.example", "Grace Hopper", {"acme": viewer}),
        User("hank@globex.example", "Hank Scorpio", {"globex": admin}),
        User("nomad@example.org", "Nomad"),
    )


@dataclass(frozen=True, slots=True)
class Project:
    """A Descope project. Times are seconds; the defaults are Descope's (wire contract, section 3.5).

    ``rotate_refresh``: every refresh replaces the refresh token, and presenting a replaced one more than
    ``reuse_grace`` seconds later ends the whole family. Descope's own grace is unknown, so it is none.

    ``issuer``: the ``iss`` claim is the bare project id, or ``{base}/{id}``, or ``{base}/v1/apps/{id}``.

    ``auth_schema``: where a session JWT says what the user holds (section 3.4): under ``tenants``; at the
    top level for the current tenant only; or nowhere.

    ``auto_tenant``: a user with one tenant gets it as ``dct`` without choosing it. ``template_email``:
    session JWTs hold ``email`` and ``name``.

    ``inactivity_seconds``: refused unless refreshed that often; 0 is off.

    ``approved_redirects``: hosts or URL prefixes that a sign-in may return to.

    ``auth_management_key``, if set, must end every bearer; if not set, no bearer may hold one.
    ``management_key`` opens the management API.

    Raises ValueError if the parts do not fit each other.
    """

    project_id: str = DEFAULT_PROJECT_ID
    tenants: tuple[Tenant, ...] = field(default_factory=_default_tenants)
    users: tuple[User, ...] = field(default_factory=_default_users)
    session_seconds: int = 600
    refresh_seconds: int = _FOUR_WEEKS
    rotate_refresh: bool = False
    reuse_grace: int = 0
    inactivity_seconds: int = 0
    issuer: Literal["id", "url", "app"] = "id"
    audience: str | None = None
    auth_schema: Literal["default", "tenantOnly", "none"] = "default"
    auto_tenant: bool = False
    template_email: bool = True
    approved_redirects: tuple[str, ...] = LOOPBACK_HOSTS
    auth_management_key: str | None = field(default=None, repr=False)
    management_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _refuse_twins("tenant id", [tenant.id for tenant in self.tenants])
        _refuse_twins("user id", [user.user_id for user in self.users])
        _refuse_twins("login id", [user.login_id.lower() for user in self.users])
        known = {tenant.id for tenant in self.tenants}
        for user in self.users:
            strangers = sorted(set(user.tenants) - known)
            if strangers:
                raise ValueError(f"user {user.user_id} is in tenants the project lacks: {strangers}")
        if min(self.session_seconds, self.refresh_seconds) <= 0:
            raise ValueError("session_seconds and refresh_seconds must be positive")

    def user(self, reference: str) -> User | None:
        """The user with this login id (in any case) or user id."""
        login_id = reference.lower()
        for user in self.users:
            if user.user_id == reference or user.login_id.lower() == login_id:
                return user
        return None

    def tenant(self, reference: str) -> Tenant | None:
        """The tenant with this id or name, or whose domain this e-mail address is in."""
        domain = reference.rpartition("@")[2].lower() if "@" in reference else None
        for tenant in self.tenants:
            if reference in {tenant.id, tenant.name} or domain in tenant.domains:
                return tenant
        return None

    def tenants_of(self, user: User) -> tuple[Tenant, ...]:
        """The tenants of a user, in the project's order."""
        return tuple(tenant for tenant in self.tenants if tenant.id in user.tenants)

    def members(self, tenant_id: str) -> tuple[User, ...]:
        """The users of a tenant, in the project's order."""
        return tuple(user for user in self.users if tenant_id in user.tenants)


def _refuse_twins(what: str, values: list[str]) -> None:
    if len(set(values)) < len(values):
        raise ValueError(f"every {what} in a project must be unique")
