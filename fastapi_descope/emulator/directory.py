"""The people and machines of an emulated project: tenants, users, their grants, access keys."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from .validation import (
    check_not_empty,
    check_seconds,
    check_secret,
)

__all__ = ["AccessKey", "Grants", "SeedTenant", "SeedUser"]


@dataclass(frozen=True, slots=True)
class Grants:
    """What a user holds, in one tenant or in the whole project."""

    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


_NO_GRANTS = Grants()


@dataclass(frozen=True, slots=True)
class SeedTenant:
    """A customer organisation with single sign-on.

    ``domains`` route an e-mail to it, in any case. ``sso_ids`` are its SSO configurations besides the
    default one. ``session_seconds`` replaces the project's while it is the current tenant; 0 leaves that
    as it is.
    """

    id: str
    name: str = ""
    domains: tuple[str, ...] = ()
    sso_ids: tuple[str, ...] = ()
    session_seconds: int = 0
    custom_attributes: Mapping[str, object] = field(default_factory=dict[str, object])

    def __post_init__(self) -> None:
        check_not_empty("tenant id", self.id)
        check_seconds({"session_seconds": self.session_seconds}, least=0)
        object.__setattr__(self, "custom_attributes", MappingProxyType(dict(self.custom_attributes)))

    def has_domain(self, domain: str) -> bool:
        """Whether it is one of its domains, in any case."""
        return domain.lower() in {one.lower() for one in self.domains}


@dataclass(frozen=True, slots=True)
class SeedUser:
    """A person. ``login_id`` is an e-mail address, as a rule; ``tenants`` says what is held in which tenant.

    ``user_id`` and ``name``, left empty, are derived from the login id: the same in every run.

    ``status``: who is disabled can neither sign in nor refresh; what Descope answers then is unknown. Who is
    invited can, and stays so (our choice).
    """

    login_id: str
    name: str = ""
    tenants: Mapping[str, Grants] = field(default_factory=dict[str, Grants])
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    amr: tuple[str, ...] = ("fed",)
    user_id: str = ""
    phone: str = ""
    picture: str = ""
    custom_attributes: Mapping[str, object] = field(default_factory=dict[str, object])
    status: Literal["enabled", "disabled", "invited"] = "enabled"

    def __post_init__(self) -> None:
        check_not_empty("login_id", self.login_id)
        derived = hashlib.sha256(self.login_id.encode()).hexdigest()[:26]
        name = self.login_id.partition("@")[0].capitalize()
        object.__setattr__(self, "user_id", self.user_id or f"U2{derived}")
        object.__setattr__(self, "name", self.name or name)
        object.__setattr__(self, "tenants", MappingProxyType(dict(self.tenants)))
        object.__setattr__(self, "custom_attributes", MappingProxyType(dict(self.custom_attributes)))

    @property
    def email(self) -> str:
        """The login id, if it is an e-mail address."""
        return self.login_id if "@" in self.login_id else ""

    @property
    def is_disabled(self) -> bool:
        """Whether the user is kept out."""
        return self.status == "disabled"

    def grants_in(self, tenant_id: str) -> Grants:
        """What the user holds in a tenant; nothing where not a member."""
        return self.tenants.get(tenant_id, _NO_GRANTS)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key for a machine. ``secret`` is what it sends; ``id`` is the subject of the JWT it gets for it.

    ``claims`` were set by whoever made the key, so they stand at the top of the JWT. ``expires_at`` is in
    epoch seconds; 0 is never.

    Raises ValueError for a secret that no bearer can hold.
    """

    id: str
    secret: str = field(repr=False)
    name: str = ""
    tenants: Mapping[str, Grants] = field(default_factory=dict[str, Grants])
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict[str, object])
    expires_at: int = 0

    def __post_init__(self) -> None:
        check_secret("secret", self.secret, ends_bearer=False)
        if self.expires_at < 0:
            raise ValueError("expires_at must not be negative")
        object.__setattr__(self, "tenants", MappingProxyType(dict(self.tenants)))
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))

    def grants_in(self, tenant_id: str) -> Grants:
        """What the key holds in a tenant; nothing where it has none."""
        return self.tenants.get(tenant_id, _NO_GRANTS)
