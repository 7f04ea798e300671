"""Response models of the session routes. They contain no token and no custom claim."""

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from ...session import AuthSession, Tenant, User, UserProfile

__all__ = ["ProfileOut", "SessionOut", "TenantNamesOut"]


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class TenantOut(_Out):
    """A tenant, with the roles and permissions of the user in it."""

    id: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]

    @classmethod
    def from_tenant(cls, tenant: Tenant) -> Self:
        """Return the public fields of ``tenant``."""
        return cls(id=tenant.id, roles=tenant.roles, permissions=tenant.permissions)


class UserOut(_Out):
    """The user. Name and e-mail are set if the project's JWT template contains them."""

    id: str
    name: str | None
    email: str | None
    roles: tuple[str, ...] = Field(description="Roles in the project, not in a tenant.")
    permissions: tuple[str, ...] = Field(description="Permissions in the project, not in a tenant.")

    @classmethod
    def from_user(cls, user: User) -> Self:
        """Return the public fields of ``user``."""
        return cls(
            id=user.id, name=user.name, email=user.email, roles=user.roles, permissions=user.permissions
        )


class SessionOut(_Out):
    """A session. Times are epoch seconds."""

    user: UserOut
    tenant: TenantOut | None
    tenants: tuple[TenantOut, ...]
    amr: tuple[str, ...] = Field(description="How the user signed in, such as fed and mfa (RFC 8176).")
    step_up: bool
    issued_at: int
    expires_at: int

    @classmethod
    def from_session(cls, session: AuthSession) -> Self:
        """Return the public fields of ``session``."""
        return cls(
            user=UserOut.from_user(session.user),
            tenant=TenantOut.from_tenant(session.tenant) if session.tenant else None,
            tenants=tuple(TenantOut.from_tenant(tenant) for tenant in session.tenants.values()),
            amr=session.amr,
            step_up=session.step_up,
            issued_at=session.issued_at,
            expires_at=session.expires_at,
        )


class ProfileOut(_Out):
    """The fields of Descope's user object that a front end shows."""

    user_id: str
    login_ids: tuple[str, ...]
    name: str | None
    given_name: str | None
    family_name: str | None
    email: str | None
    verified_email: bool
    phone: str | None
    verified_phone: bool
    picture: str | None
    tenants: Mapping[str, str] = Field(description="Names of the user's tenants, by id.")

    @classmethod
    def from_profile(cls, profile: UserProfile) -> Self:
        """Return the public fields of ``profile``."""
        return cls(
            user_id=profile.user_id,
            login_ids=profile.login_ids,
            name=profile.name,
            given_name=profile.given_name,
            family_name=profile.family_name,
            email=profile.email,
            verified_email=profile.verified_email,
            phone=profile.phone,
            verified_phone=profile.verified_phone,
            picture=profile.picture,
            tenants={tenant_id: profile.tenant_names.get(tenant_id, "") for tenant_id in profile.tenants},
        )


class TenantNamesOut(_Out):
    """Names of the user's tenants, by id."""

    tenants: Mapping[str, str]
