"""The directory of an emulated project: tenants, users, their roles, and access keys."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Literal

from .validation import (
    check_networks,
    check_not_empty,
    check_seconds,
    check_secret,
)

__all__ = ["AccessKey", "Grants", "SeedAccount", "SeedIdp", "SeedLogin", "SeedTenant", "SeedUser"]

_CREATED = 1_700_000_000  # a fixed value for every user, recognisably not a real one

Method = Literal["TOTP", "SAML", "SCIM", "OIDC", "webauthn", "password", "push"]


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
        default_sso_id: The id of the default SSO configuration, which a sign-in without ``ssoId`` returns as
            ``tenantSSOID``.
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
    default_sso_id: str = ""

    def __post_init__(self) -> None:
        check_not_empty("tenant id", self.id)
        check_seconds({"session_seconds": self.session_seconds}, least=0)
        object.__setattr__(self, "custom_attributes", MappingProxyType(dict(self.custom_attributes)))

    def has_domain(self, domain: str) -> bool:
        """Return whether the tenant has this domain; case-insensitive."""
        return domain.lower() in {each.lower() for each in self.domains}


@dataclass(frozen=True, slots=True)
class SeedAccount:
    """The state of a user's account, as the user object shows it.

    Attributes:
        verified_email: Whether the e-mail address is verified; None if there is one.
        verified_phone: Whether the phone number is verified; None if there is one.
        external_ids: Ids of the user in other systems.
        created_time: When the user was created, in epoch seconds.
        test: Whether it is a test user.
        editable: Whether the user may change the profile.
        consent_expiration: When the consent to impersonation ends; its unit is unknown.
        sso_app_ids: Federated apps that the user may use.
        methods: Sign-in methods that the user has, in the spelling of the user object. None is ``SAML`` for
            a user with ``fed`` in ``amr``.
        oauth: For each social provider, whether the user has signed in with it.
    """

    verified_email: bool | None = None
    verified_phone: bool | None = None
    external_ids: tuple[str, ...] = ()
    created_time: int = _CREATED
    test: bool = False
    editable: bool = True
    consent_expiration: int = 0
    sso_app_ids: tuple[str, ...] = ()
    methods: tuple[Method, ...] | None = None
    oauth: Mapping[str, bool] = field(default_factory=dict[str, bool])

    def __post_init__(self) -> None:
        object.__setattr__(self, "oauth", MappingProxyType(dict(self.oauth)))


@dataclass(frozen=True, slots=True)
class SeedIdp:
    """The data that the identity provider sends for a user: the ``idpResponse`` of an SSO sign-in.

    Attributes:
        groups: The groups of the user.
        saml_attributes: The attributes of the SAML assertion.
        oidc_claims: The claims of the OIDC provider.
        saml_response: The SAML response as text.
        saml_generated_user: The user that Descope generated from the SAML response, as JSON text.
        saml_generated_roles: The roles that Descope generated from the SAML response, as JSON text.
        oidc_response: The response of the OIDC provider as text.
        oidc_generated_user: The user that Descope generated from the OIDC response, as JSON text.
        oidc_generated_roles: The roles that Descope generated from the OIDC response, as JSON text.
    """

    groups: tuple[str, ...] = ()
    saml_attributes: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    oidc_claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    saml_response: str = field(default="", repr=False)
    saml_generated_user: str = field(default="", repr=False)
    saml_generated_roles: str = field(default="", repr=False)
    oidc_response: str = field(default="", repr=False)
    oidc_generated_user: str = field(default="", repr=False)
    oidc_generated_roles: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("saml_attributes", "oidc_claims"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))


@dataclass(frozen=True, slots=True)
class SeedLogin:
    """Further fields of the responses that contain tokens of a user.

    Attributes:
        external_token: The token of a session at another vendor (``externalToken``).
        trusted_device: Return the token of a trusted device (``trustedDeviceJwt``).
        claims: The field ``claims`` of the response. It is not in any token.
    """

    external_token: str = field(default="", repr=False)
    trusted_device: bool = False
    claims: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))


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
        given_name: The given name; the first word of ``name`` if empty.
        middle_name: The middle name.
        family_name: The family name; the rest of ``name`` if empty.
        account: Further fields of the user object.
        idp: What the identity provider sends when the user signs in.
        login: Further fields of the responses that contain tokens of the user.

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
    given_name: str = ""
    middle_name: str = ""
    family_name: str = ""
    account: SeedAccount = field(default_factory=SeedAccount)
    idp: SeedIdp = field(default_factory=SeedIdp)
    login: SeedLogin = field(default_factory=SeedLogin)

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
    def methods(self) -> tuple[str, ...]:
        """The sign-in methods that the user has."""
        default = ("SAML",) if "fed" in self.amr else ()
        return default if self.account.methods is None else self.account.methods

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
        status: An inactive key is refused. Sessions that have been issued stay valid.
        bound_user: The login id or user id of the user to whom the key is bound, or "". Such a key has the
            tenants, roles and permissions of the user instead of its own.
        permitted_ips: Addresses and networks from which the key may be exchanged; empty for all.

    Raises:
        ValueError: The secret cannot be sent in an ``Authorization`` header, ``expires_at`` is negative, or a
            permitted address is neither an address nor a network.
    """

    id: str
    secret: str = field(repr=False)
    name: str = ""
    tenants: Mapping[str, Grants] = field(default_factory=dict[str, Grants])
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict[str, object])
    expires_at: int = 0
    status: Literal["active", "inactive"] = "active"
    bound_user: str = ""
    permitted_ips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_secret("secret", self.secret, ends_bearer=False)
        if self.expires_at < 0:
            raise ValueError("expires_at must not be negative")
        check_networks("permitted_ips", self.permitted_ips)
        object.__setattr__(self, "tenants", MappingProxyType(dict(self.tenants)))
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))

    def permits(self, address: str) -> bool:
        """Return whether the key may be exchanged from this address."""
        networks = [ip_network(each, strict=False) for each in self.permitted_ips]
        return not networks or any(ip_address(address) in network for network in networks)

    def grants_in(self, tenant_id: str) -> Grants:
        """Return the roles and permissions in a tenant; empty if the key is not a member."""
        return self.tenants.get(tenant_id, _NO_GRANTS)
