"""The identity of a request as frozen values: session, user, tenant and tokens.

Sessions and refresh tokens are created from verified claims. Nothing in this module does I/O.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self, TypeVar

from ._actor import UNKNOWN_ACTOR, actor_of
from ._encoding import FrozenDict, as_mapping, as_names, as_text
from ._validated_claims import ValidatedClaims

__all__ = [
    "UNKNOWN_ACTOR",
    "AuthSession",
    "Claims",
    "RefreshToken",
    "Tenant",
    "TokenPair",
    "User",
    "tenant_id_var",
]

M = TypeVar("M")

Claims = Mapping[str, object]
"""The verified claims of a token, read-only at every depth: objects are mappings, lists are tuples."""

tenant_id_var: ContextVar[str | None] = ContextVar("fastapi_descope.tenant_id", default=None)
"""The id of the current tenant, for code that has no request, such as a data layer or a log filter.

The middleware sets it when the session of a request is read, and restores its former value when the request
ends. A hook that is called with a session runs with the tenant of that session. It is None outside of
requests, without a session, and in a session without a current tenant. Tasks and threads that a handler
starts have the value if they copy the context, as ``asyncio.create_task`` and ``asyncio.to_thread`` do.
"""

_NO_CLAIMS: Claims = FrozenDict()


def _no_claims() -> Claims:
    return _NO_CLAIMS


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer organisation, with the user's roles and permissions in it.

    Attributes:
        id: Descope's tenant id.
        roles: Names of the user's roles in this tenant.
        permissions: Names of the user's permissions in this tenant.
    """

    id: str
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """The user, or the access key, that a session belongs to.

    Attributes:
        id: Descope's user id: the claim ``dsub`` if a JWT template overrides ``sub``, else ``sub``.
        roles: Names of the project-wide roles. The roles inside a tenant are on ``Tenant``.
        permissions: Names of the project-wide permissions.
        claims: The verified claims of the session token, read-only. They are ignored when users are compared.
    """

    id: str
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    claims: Claims = field(default_factory=_no_claims, repr=False, compare=False)

    @property
    def email(self) -> str | None:
        """The claim ``email``, or None if the project's JWT template does not add it.

        Identify users by ``id``: an e-mail address can change owners.
        """
        return as_text(self.claims.get("email"))

    @property
    def name(self) -> str | None:
        """The claim ``name``, or None if the project's JWT template does not add it."""
        return as_text(self.claims.get("name"))

    @classmethod
    def from_claims(cls, claims: Claims) -> Self:
        """Create the user from verified claims.

        If there is a ``dct`` claim but no ``tenants`` claim (Descope's tenant-only template), the top-level
        roles and permissions belong to the current tenant, and the user has no project-wide ones.
        """
        tenant_only = "tenants" not in claims and "dct" in claims
        return cls(
            id=as_text(claims.get("dsub")) or as_text(claims.get("sub")) or "",
            roles=() if tenant_only else as_names(claims.get("roles")),
            permissions=() if tenant_only else as_names(claims.get("permissions")),
            claims=claims,
        )


def _epoch_seconds(value: object) -> int:
    # Verified claims have numbers here. 0 makes any other value expired.
    return int(value) if isinstance(value, (int, float)) else 0


def _tenants(claims: Claims) -> Mapping[str, Tenant]:
    """Return every tenant that the user is a member of, by id."""
    # Wire contract, section 3.4. An empty string is not a tenant id (TN-06).
    if "tenants" not in claims:
        current = as_text(claims.get("dct"))
        return {} if current is None else {current: _tenant(current, claims)}
    tenants: dict[str, Tenant] = {}
    for tenant_id, value in (as_mapping(claims["tenants"]) or _NO_CLAIMS).items():
        grants = _NO_CLAIMS if value is None else as_mapping(value)
        if tenant_id and grants is not None:
            tenants[tenant_id] = _tenant(tenant_id, grants)
    return tenants


def _tenant(tenant_id: str, grants: Mapping[str, object]) -> Tenant:
    return _shared_tenant(tenant_id, as_names(grants.get("roles")), as_names(grants.get("permissions")))


@lru_cache(maxsize=1024)
def _shared_tenant(tenant_id: str, roles: tuple[str, ...], permissions: tuple[str, ...]) -> Tenant:
    """Return one object for all users with the same roles and permissions in a tenant."""
    return Tenant(tenant_id, roles, permissions)


@dataclass(frozen=True, slots=True)
class AuthSession(ValidatedClaims):
    """The verified session of a request.

    It shows the state at the time the session token was issued: changes of membership and roles take effect
    at the next refresh.

    Attributes:
        user: The user or access key.
        tenant: The current tenant (claim ``dct``). None if there is none, or if the user is not a member of
            it; ``tenant_claim`` has the claim in either case.
        tenants: Every tenant that the user is a member of, by id. Read-only.
        issued_at: When the session token was issued, in epoch seconds.
        expires_at: When the session token expires, in epoch seconds.
        amr: The authentication methods of the login (claim ``amr``), such as ``"mfa"``.
        step_up: Whether the session token is the result of a step-up authentication.
        actor: The user id of the person who acts as the user (claim ``act``), such as support staff, or None
            if the user acts. ``UNKNOWN_ACTOR`` if the claim names no user id. In a browser it is also that
            of the refresh token, if the session token has no such claim.
    """

    # The current tenant: TN-01, TN-02. Changes at the next refresh: TN-12.

    user: User
    tenant: Tenant | None
    tenants: Mapping[str, Tenant]
    issued_at: int
    expires_at: int
    amr: tuple[str, ...] = ()
    step_up: bool = False
    actor: str | None = None

    @property
    def claims(self) -> Claims:
        """Every verified claim of the session token, read-only at every depth."""
        return self.user.claims

    def claims_as(self, model: type[M]) -> M:
        """Return the claims as an instance of a Pydantic model, or of another class that Pydantic validates.

        The claims are validated as JSON, once for each session token and model. If the model is frozen and
        its fields are hashable, requests with the token share one object. Otherwise each call returns a copy.

        Args:
            model: A Pydantic model, a dataclass or a ``TypedDict``. It should ignore unknown fields, because
                there are other claims.

        Raises:
            ClaimsInvalid: The claims do not fit the model. The log has the names of the fields, once.
        """
        return self._claims_as(self.claims, model)

    @property
    def tenant_id(self) -> str | None:
        """The id of the current tenant, or None if there is no current tenant."""
        return None if self.tenant is None else self.tenant.id

    @property
    def tenant_claim(self) -> str | None:
        """The claim ``dct``, or None. The user may not be a member of that tenant."""
        return as_text(self.claims.get("dct"))

    @property
    def used_mfa(self) -> bool:
        """Whether the user logged in with a second factor (the claim ``amr`` contains ``mfa``)."""
        return "mfa" in self.amr

    @classmethod
    def from_claims(cls, claims: Claims) -> Self:
        """Create the session from the verified claims of a session token."""
        tenants = FrozenDict(_tenants(claims))
        current = as_text(claims.get("dct"))
        return cls(
            user=User.from_claims(claims),
            tenant=tenants.get(current) if current else None,
            tenants=tenants,
            issued_at=_epoch_seconds(claims.get("iat")),
            expires_at=_epoch_seconds(claims.get("exp")),
            amr=as_names(claims.get("amr")),
            step_up=claims.get("su") is True,
            actor=actor_of(claims),
        )


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A verified refresh token.

    Attributes:
        text: The encoded token. ``repr`` does not show it.
        subject: The user id.
        issued_at: When the token was issued, in epoch seconds.
        expires_at: When the token expires, in epoch seconds.
        actor: The user id of the person who acts as the user, as in ``AuthSession``.
    """

    text: str = field(repr=False)
    subject: str
    issued_at: int
    expires_at: int
    actor: str | None = None

    @classmethod
    def from_claims(cls, text: str, claims: Claims) -> Self:
        """Create the refresh token from its text and its verified claims."""
        return cls(
            text=text,
            subject=User.from_claims(claims).id,
            issued_at=_epoch_seconds(claims.get("iat")),
            expires_at=_epoch_seconds(claims.get("exp")),
            actor=actor_of(claims),
        )


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A session token and a refresh token issued together by Descope, both verified.

    Attributes:
        session_jwt: The encoded session token. ``repr`` does not show it.
        session: The session of the session token.
        refresh: The refresh token.
        refresh_at: When the session must be refreshed because of Descope's inactivity timeout
            (``nextRefreshSeconds``), in epoch seconds. None without such a timeout.
    """

    session_jwt: str = field(repr=False)
    session: AuthSession
    refresh: RefreshToken
    refresh_at: float | None = None
