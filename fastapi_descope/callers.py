"""Callers other than user sessions: applications that act for a user, and machines.

Both are created from verified claims. Nothing in this module does I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ._encoding import as_names, as_text
from .session import AuthSession, Claims, Tenant

__all__ = ["Caller", "Delegate", "Machine"]


_APPLICATION = "TPA"
"""The beginning of the ids of applications (wire contract, section 11.3; CL-09)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _TokenCaller:
    """A caller that is known by its token, which is not that of a user's session."""

    subject: str
    """The id in the token: the user that the caller acts for or is bound to, or the caller itself."""

    tenant: Tenant | None
    """The current tenant (claim ``dct``), or None. Its roles are those that the token has in it."""

    tenants: Mapping[str, Tenant]
    """The tenants in the token, by id. Read-only."""

    issued_at: int
    """When the token was issued, in epoch seconds."""

    expires_at: int
    """When the token expires, in epoch seconds."""

    actor: str | None
    """The user id of the person who acts as the subject (claim ``act``), as in ``AuthSession``."""

    claims: Claims = field(repr=False, compare=False)
    """The verified claims of the token, read-only. They are ignored when callers are compared."""

    @property
    def tenant_id(self) -> str | None:
        """The id of the current tenant, or None if there is no current tenant."""
        return None if self.tenant is None else self.tenant.id

    @classmethod
    def _from_session(cls, session: AuthSession, **own: Any) -> Self:
        """Create the caller with the values that its token shares with that of a session."""
        return cls(
            subject=session.user.id,
            tenant=session.tenant,
            tenants=session.tenants,
            issued_at=session.issued_at,
            expires_at=session.expires_at,
            actor=session.actor,
            claims=session.claims,
            **own,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate(_TokenCaller):
    """An application that acts for a user, with an OAuth access token and its scopes.

    It is an inbound app of the Descope project: another company's software, a script, or an agent. It may do
    what its scopes say, whatever roles the user has.
    """

    client_id: str
    """The client id of the application (claim ``azp``)."""

    scopes: frozenset[str]
    """The scopes that the user, or the app's owner, has granted."""

    @property
    def user_id(self) -> str | None:
        """The user id, or None if the application acts for itself: the subject is then its own id."""
        is_own = self.subject in (self.client_id, self.claims.get("client_id"))
        return None if is_own or self.subject.startswith(_APPLICATION) else self.subject

    @classmethod
    def from_claims(cls, claims: Claims) -> Self:
        """Create the delegate from the verified claims of an access token."""
        return cls._from_session(
            AuthSession.from_claims(claims),
            client_id=as_text(claims.get("azp")) or "",
            scopes=_scopes(claims.get("scope")),
        )


def _scopes(value: object) -> frozenset[str]:
    # Text in captured tokens; Descope's FastAPI sample accepts a list too (wire contract 11.3).
    names = value.split(" ") if isinstance(value, str) else as_names(value)
    return frozenset(name for name in names if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine(_TokenCaller):
    """A program that has sent an access key. When its session expires, the key is exchanged again."""

    id: str
    """The id of the access key."""

    roles: tuple[str, ...]
    """The names of its project-wide roles."""

    permissions: tuple[str, ...]
    """The names of its project-wide permissions."""

    @classmethod
    def from_claims(cls, key_id: str, claims: Claims) -> Self:
        """Create the machine from the id of its key and the verified claims of its session."""
        session = AuthSession.from_claims(claims)
        user = session.user
        return cls._from_session(
            session, id=key_id or user.id, roles=user.roles, permissions=user.permissions
        )


Caller = AuthSession | Delegate | Machine
"""The sender of a request: a user's session, an application that acts for a user, or a machine."""
