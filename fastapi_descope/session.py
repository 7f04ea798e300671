"""Who is calling: frozen values, and the questions one may ask them.

Everything here is made from claims whose signature and checks have already passed. Nothing here does I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from ._encoding import json_fields
from ._encoding.frozen_dict import FrozenDict

__all__ = ["AuthSession", "Claims", "RefreshToken", "Tenant", "TokenPair", "User", "UserProfile"]

Claims = Mapping[str, object]
"""The verified claims of a token, read-only at every depth: objects are mappings, lists are tuples."""

_NO_CLAIMS: Claims = FrozenDict()


def _no_claims() -> Claims:
    return _NO_CLAIMS


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer organisation, and what the user may do in it."""

    id: str
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """The person, or the access key, that a session speaks for.

    ``id`` is Descope's user id: the claim ``dsub`` where a JWT template overrides ``sub``. ``roles``
    and ``permissions`` are the project-wide ones; what holds inside a tenant is on ``Tenant``.
    """

    id: str
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    claims: Claims = field(default_factory=_no_claims, repr=False, compare=False)

    @property
    def email(self) -> str | None:
        """The e-mail address, if the project's JWT template puts it into the token; never an identity."""
        return json_fields.text(self.claims.get("email"))

    @property
    def name(self) -> str | None:
        """The display name, if the project's JWT template puts it into the token."""
        return json_fields.text(self.claims.get("name"))

    @classmethod
    def from_claims(cls, claims: Claims) -> Self:
        """The user of verified claims.

        Without a ``tenants`` claim and with ``dct``, the top-level lists are the current tenant's
        (Descope's tenant-only template), so they do not count for the project.
        """
        tenant_only = "tenants" not in claims and "dct" in claims
        return cls(
            id=json_fields.text(claims.get("dsub")) or json_fields.text(claims.get("sub")) or "",
            roles=() if tenant_only else json_fields.names(claims.get("roles")),
            permissions=() if tenant_only else json_fields.names(claims.get("permissions")),
            claims=claims,
        )


def _tenants(claims: Claims) -> Mapping[str, Tenant]:
    """Every tenant the user is a member of, by id, any text but "" (TN-06; wire contract, section 3.4)."""
    listed = claims.get("tenants")
    if "tenants" not in claims:
        current = json_fields.text(claims.get("dct"))
        if current is None:
            return {}
        roles, permissions = (
            json_fields.names(claims.get("roles")),
            json_fields.names(claims.get("permissions")),
        )
        return {current: Tenant(current, roles, permissions)}
    return {
        tenant_id: Tenant(
            tenant_id,
            json_fields.names((grants or _NO_CLAIMS).get("roles")),
            json_fields.names((grants or _NO_CLAIMS).get("permissions")),
        )
        for tenant_id, value in (json_fields.mapping(listed) or _NO_CLAIMS).items()
        if tenant_id and (value is None or json_fields.mapping(value) is not None)
        for grants in (json_fields.mapping(value),)
    }


@dataclass(frozen=True, slots=True)
class AuthSession:
    """A verified session: who, in which tenant, until when. Times are epoch seconds.

    ``tenant`` is the current tenant (claim ``dct``), or None: also when ``dct`` names a tenant that the
    user is not a member of, in which case ``tenant_claim`` still says what was claimed (TN-02). All of it
    is as it was when the token was issued: whoever leaves a tenant is out with the next refresh (TN-12).
    """

    user: User
    tenant: Tenant | None
    tenants: Mapping[str, Tenant]
    issued_at: int
    expires_at: int
    amr: tuple[str, ...] = ()
    step_up: bool = False

    @property
    def claims(self) -> Claims:
        """Every verified claim of the session token, read-only."""
        return self.user.claims

    @property
    def tenant_id(self) -> str | None:
        """The current tenant's id, or None."""
        return None if self.tenant is None else self.tenant.id

    @property
    def tenant_claim(self) -> str | None:
        """The raw ``dct`` claim, whether or not the user is a member of that tenant."""
        return json_fields.text(self.claims.get("dct"))

    @property
    def used_mfa(self) -> bool:
        """Whether a second factor was part of the sign-in (claim ``amr`` holds ``mfa``)."""
        return "mfa" in self.amr

    @classmethod
    def from_claims(cls, claims: Claims) -> Self:
        """The session of verified claims: ``iat`` and ``exp`` are known to be numbers by then."""
        tenants = FrozenDict(_tenants(claims))
        current = json_fields.text(claims.get("dct"))
        return cls(
            user=User.from_claims(claims),
            tenant=tenants.get(current) if current else None,
            tenants=tenants,
            issued_at=_seconds(claims.get("iat")),
            expires_at=_seconds(claims.get("exp")),
            amr=json_fields.names(claims.get("amr")),
            step_up=claims.get("su") is True,
        )


def _seconds(value: object) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A verified refresh token. Times are epoch seconds; the text stays out of ``repr``."""

    text: str = field(repr=False)
    subject: str
    issued_at: int
    expires_at: int

    @classmethod
    def from_claims(cls, text: str, claims: Claims) -> Self:
        """The refresh token of verified claims."""
        return cls(
            text=text,
            subject=User.from_claims(claims).id,
            issued_at=_seconds(claims.get("iat")),
            expires_at=_seconds(claims.get("exp")),
        )


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What Descope issued, both halves verified: the texts for the cookies, the values for the app.

    ``refresh_at`` (epoch seconds) is when Descope wants the next refresh because of an inactivity
    timeout (``nextRefreshSeconds``), or None.
    """

    session_jwt: str = field(repr=False)
    session: AuthSession
    refresh: RefreshToken
    refresh_at: float | None = None


@dataclass(frozen=True, slots=True)
class UserProfile:
    """Descope's user object (``GET /v1/auth/me``); only ``user_id`` is always there.

    ``repr`` shows the id alone: names and addresses do not belong into logs.
    """

    user_id: str
    login_ids: tuple[str, ...] = field(default=(), repr=False)
    name: str | None = field(default=None, repr=False)
    given_name: str | None = field(default=None, repr=False)
    family_name: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    verified_email: bool = field(default=False, repr=False)
    phone: str | None = field(default=None, repr=False)
    verified_phone: bool = field(default=False, repr=False)
    picture: str | None = field(default=None, repr=False)
    tenants: Mapping[str, Tenant] = field(default_factory=dict[str, Tenant], repr=False)
    tenant_names: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    custom_attributes: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
