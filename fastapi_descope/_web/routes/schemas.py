"""Response models of the session routes. They contain no token and no custom claim."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...profile import TenantMembership, UserProfile
from ...session import AuthSession, Tenant, User

__all__ = [
    "HandoverOut",
    "LinkSentOut",
    "NotpPendingOut",
    "NotpStartOut",
    "ProfileOut",
    "SessionOut",
    "TenantNamesOut",
]


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
    actor: str | None = Field(
        description="The user id of the person who acts as the user, such as support staff, or `unknown`."
    )
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
            actor=session.actor,
            issued_at=session.issued_at,
            expires_at=session.expires_at,
        )


class MembershipOut(_Out):
    """A tenant of the user object, with the roles and permissions of the user in it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str | None
    roles: tuple[str, ...]
    permissions: tuple[str, ...]


class ProfileOut(_Out):
    """The fields of Descope's user object that a front end shows.

    They are the user's own data and the ways to sign in that the user has set up. Fields for back ends are
    left out: status, external ids, ids of SSO applications, and how the account was provisioned.
    """

    model_config = ConfigDict(from_attributes=True)

    user_id: str
    login_ids: tuple[str, ...]
    name: str | None
    given_name: str | None
    middle_name: str | None
    family_name: str | None
    email: str | None
    verified_email: bool
    phone: str | None
    verified_phone: bool
    picture: str | None
    roles: tuple[str, ...] = Field(description="Roles in the project, not in a tenant.")
    permissions: tuple[str, ...] = Field(description="Permissions in the project, not in a tenant.")
    tenants: tuple[MembershipOut, ...]
    custom_attributes: Mapping[str, object]
    created_at: int | None = Field(description="Epoch seconds.")
    totp: bool = Field(description="Whether an authenticator app is set up.")
    webauthn: bool = Field(description="Whether a passkey is set up.")
    password: bool = Field(description="Whether a password is set.")
    push: bool = Field(description="Whether push notifications are set up.")
    oauth: Mapping[str, bool] = Field(description="Social logins that the user has used, by provider.")

    @classmethod
    def from_profile(cls, profile: UserProfile) -> Self:
        """Return the public fields of ``profile``."""
        return cls.model_validate(profile)

    @field_validator("tenants", mode="before")
    @classmethod
    def _list(cls, tenants: Mapping[str, TenantMembership]) -> tuple[TenantMembership, ...]:
        return tuple(tenants.values())


class TenantNamesOut(_Out):
    """Names of the user's tenants, by id."""

    tenants: Mapping[str, str]


class HandoverOut(_Out):
    """A session that has begun with the tokens of a flow."""

    session: SessionOut
    return_to: str = Field(description="The path where the page continues.")


class LinkSentOut(_Out):
    """A link was sent, if the address is known."""

    expires_in: int = Field(description="Seconds within which this browser can use the link.")


class NotpStartOut(_Out):
    """A started nOTP sign-in."""

    state: str = Field(description="Send it to `/login/notp/session`, from the same browser.")
    url: str = Field(description="The link that opens WhatsApp with the prepared message.")
    qr_code: str = Field(description="The same link as a QR code: the source of an image.")
    expires_in: int = Field(description="Seconds in which the sign-in can be completed.")
    poll_interval: int = Field(description="Seconds to wait between two requests for the session.")


class NotpPendingOut(_Out):
    """The user has not sent the message yet."""

    status: Literal["pending"] = "pending"
    retry_after: int = Field(description="Seconds to wait before the next request.")
