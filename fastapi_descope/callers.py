"""Callers other than user sessions: applications that act for a user, and machines.

Both are created from verified claims. Nothing in this module does I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from ._encoding import as_names, as_text
from .session import AuthSession, Claims, Tenant

__all__ = ["Caller", "Delegate", "Machine"]


@dataclass(frozen=True, slots=True)
class Delegate:
    """An application that acts for a user, with an OAuth access token and its scopes.

    It is an inbound app of the Descope project: another company's software, a script, or an agent. It may do
    what its scopes say, whatever roles the user has.

    Attributes:
        client_id: The client id of the application (claim ``azp``).
        subject: The user id. Of an application that acts for itself (client credentials), its own id.
        scopes: The scopes that the user, or the app's owner, has granted.
        tenant: The current tenant (claim ``dct``), or None. Its roles are those of the user.
        tenants: The tenants in the token, by id. Read-only. Empty unless the inbound app adds them.
        issued_at: When the token was issued, in epoch seconds.
        expires_at: When the token expires, in epoch seconds.
        claims: The verified claims of the token, read-only. They are ignored when delegates are compared.
    """

    client_id: str
    subject: str
    scopes: frozenset[str]
    tenant: Tenant | None
    tenants: Mapping[str, Tenant]
    issued_at: int
    expires_at: int
    claims: Claims = field(repr=False, compare=False)

    @property
    def tenant_id(self) -> str | None:
        """The id of the current tenant, or None if there is no current tenant."""
        return None if self.tenant is None else self.tenant.id

    @property
    def user_id(self) -> str | None:
        """The user id, or None if the application acts for itself: the subject is then its own id."""
        return None if self.subject in (self.client_id, self.claims.get("client_id")) else self.subject

    @classmethod
    def from_claims(cls, claims: Claims) -> Self:
        """Create the delegate from the verified claims of an access token."""
        session = AuthSession.from_claims(claims)
        return cls(
            client_id=as_text(claims.get("azp")) or "",
            subject=session.user.id,
            scopes=_scopes(claims.get("scope")),
            tenant=session.tenant,
            tenants=session.tenants,
            issued_at=session.issued_at,
            expires_at=session.expires_at,
            claims=claims,
        )


def _scopes(value: object) -> frozenset[str]:
    # Text in captured tokens; Descope's FastAPI sample accepts a list too (wire contract 11.3).
    names = value.split(" ") if isinstance(value, str) else as_names(value)
    return frozenset(name for name in names if name)


@dataclass(frozen=True, slots=True)
class Machine:
    """A program that has sent an access key.

    Attributes:
        id: The id of the access key.
        subject: The subject of its session: the key, or the user that the key is bound to.
        tenant: The current tenant (claim ``dct``), or None.
        tenants: The tenants of the key, by id, with its roles and permissions in them. Read-only.
        roles: The names of its project-wide roles.
        permissions: The names of its project-wide permissions.
        issued_at: When its session was issued, in epoch seconds.
        expires_at: When its session expires, in epoch seconds. The key is then exchanged again.
        claims: The verified claims of its session, read-only. They are ignored when machines are compared.
    """

    id: str
    subject: str
    tenant: Tenant | None
    tenants: Mapping[str, Tenant]
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    issued_at: int
    expires_at: int
    claims: Claims = field(repr=False, compare=False)

    @property
    def tenant_id(self) -> str | None:
        """The id of the current tenant, or None if there is no current tenant."""
        return None if self.tenant is None else self.tenant.id

    @classmethod
    def from_claims(cls, key_id: str, claims: Claims) -> Self:
        """Create the machine from the id of its key and the verified claims of its session."""
        session = AuthSession.from_claims(claims)
        user = session.user
        return cls(
            id=key_id or user.id,
            subject=user.id,
            tenant=session.tenant,
            tenants=session.tenants,
            roles=user.roles,
            permissions=user.permissions,
            issued_at=session.issued_at,
            expires_at=session.expires_at,
            claims=claims,
        )


Caller = AuthSession | Delegate | Machine
"""The sender of a request: a user's session, an application that acts for a user, or a machine."""
