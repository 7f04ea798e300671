"""The directory of an emulated project: tenants, users, their roles, and access keys."""

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
    """Roles and permissions, in one tenant or in the whole project."""

    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


_NO_GRANTS = Grants()


@dataclass(frozen=True, slots=True)
class SeedTenant:
    """A customer organisation with single sign-on.

    Attributes:
        id: The tenant id.
        name: The display name.
        domains: E-mail domains that lead to this tenant; case-insensitive.
        sso_ids: SSO configurations in addition to the default one.
        session_seconds: Lifetime of session JWTs while this is the current tenant; 0 for the project's.
        custom_attributes: Returned by ``/me/tenants``.

    Raises:
        ValueError: The id is empty, or ``session_seconds`` is negative or more than ten years.
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
        """Return whether the tenant has this domain; case-insensitive."""
        return domain.lower() in {each.lower() for each in self.domains}


@dataclass(frozen=True, slots=True)
class SeedUser:
    """A user of the project.

    Attributes:
        login_id: Usually an e-mail address.
        name: The display name; derived from the login id if empty.
        tenants: The roles and permissions in each tenant that the user is a member of.
        roles: Roles in the whole project.
        permissions: Permissions in the whole project.
        amr: The authentication methods of an SSO sign-in.
        user_id: The user id; derived from the login id if empty, and then the same in every run.
        phone: The phone number.
        picture: The URL of a picture.
        custom_attributes: Returned by ``/me``.
        status: A disabled user can neither sign in nor refresh. An invited user can, and stays invited.

    Raises:
        ValueError: The login id is empty.
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
        """The login id if it is an e-mail address, otherwise ""."""
        return self.login_id if "@" in self.login_id else ""

    @property
    def is_disabled(self) -> bool:
        """Whether the user can neither sign in nor refresh."""
        return self.status == "disabled"

    def grants_in(self, tenant_id: str) -> Grants:
        """Return the roles and permissions in a tenant; empty if the user is not a member."""
        return self.tenants.get(tenant_id, _NO_GRANTS)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key of a machine, which it exchanges for a session JWT.

    Attributes:
        id: The subject of the session JWT.
        secret: The key that the machine sends.
        name: The display name.
        tenants: The roles and permissions in each tenant.
        roles: Roles in the whole project.
        permissions: Permissions in the whole project.
        claims: Custom claims of the key, at the top level of the JWT: its creator is trusted.
        expires_at: Epoch seconds; 0 for never.

    Raises:
        ValueError: The secret cannot be sent in an ``Authorization`` header, or ``expires_at`` is negative.
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
        """Return the roles and permissions in a tenant; empty if the key is not a member."""
        return self.tenants.get(tenant_id, _NO_GRANTS)
