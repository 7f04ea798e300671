"""The user object of Descope as a frozen value. Nothing in this module does I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, InstanceOf, StrictBool

from ._descope_json import EpochSeconds, Flags, JsonObject, ObjectParser, PositiveInt, frozen
from ._encoding import FrozenDict, as_objects

__all__ = ["TenantMembership", "UserProfile"]


@dataclass(frozen=True, slots=True)
class TenantMembership:
    """A tenant of a user, as the user object describes it.

    Attributes:
        id: Descope's tenant id.
        name: The display name of the tenant. None if it has none.
        roles: Names of the user's roles in the tenant.
        permissions: Names of the user's permissions in the tenant.
    """

    id: str
    name: str | None = None
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


_MEMBERSHIPS = ObjectParser(TenantMembership, id="tenantId", name="tenantName", roles="roleNames")


def _by_id(value: object) -> object:
    """Return the memberships in a JSON list by tenant id. Entries without a tenant id are skipped."""
    parsed = [_MEMBERSHIPS.parse(entry) for entry in as_objects(value)]
    return {membership.id: membership for membership in parsed if membership is not None}


_Memberships = Annotated[
    Mapping[str, InstanceOf[TenantMembership]],
    BeforeValidator(_by_id),
    AfterValidator(frozen),
]


@dataclass(frozen=True, slots=True)
class UserProfile:
    """The user object of Descope.

    Only ``user_id`` is always present. ``repr`` shows nothing else, to keep personal data out of logs.

    Roles and permissions are those at the time of the response. For authorization use those of the session,
    which are verified: ``CurrentUser`` and ``CurrentTenant``.

    Attributes:
        user_id: Descope's user id.
        login_ids: The identifiers that the user can log in with, such as e-mail addresses.
        name: The display name.
        given_name: The given name.
        middle_name: The middle name.
        family_name: The family name.
        email: The e-mail address.
        verified_email: Whether Descope has verified the e-mail address.
        phone: The phone number.
        verified_phone: Whether Descope has verified the phone number.
        picture: The URL of a picture.
        roles: Names of the project-wide roles. The roles in a tenant are in ``tenants``.
        permissions: Names of the project-wide permissions.
        tenants: Every tenant that the user is a member of, by id.
        status: ``"enabled"``, ``"disabled"`` or ``"invited"``.
        is_test: Whether this is one of the project's test users.
        editable: Whether the user can be edited. False if absent.
        custom_attributes: The custom attributes of the project: JSON values.
        created_at: When the user was created, in epoch seconds.
        consent_expiration: When the user's consent to impersonation expires, as Descope sends it; its unit is
            not documented.
        external_ids: The ids of the user in external systems.
        sso_app_ids: The ids of the SSO applications that the user may use.
        totp: Whether an authenticator app is set up (``TOTP``).
        saml: Whether the user signs in through SAML (``SAML``).
        oidc: Whether the user signs in through OIDC (``OIDC``).
        scim: Whether the user is provisioned through SCIM (``SCIM``).
        oauth: The social login providers, such as ``"google"``, and whether the user has used each
            (``OAuth``).
        webauthn: Whether a passkey is set up.
        password: Whether a password is set.
        push: Whether push notifications are set up.
    """

    # No personal data in repr: LG-06.

    user_id: str
    login_ids: tuple[str, ...] = ()
    name: str | None = None
    given_name: str | None = None
    middle_name: str | None = None
    family_name: str | None = None
    email: str | None = None
    verified_email: StrictBool = False
    phone: str | None = None
    verified_phone: StrictBool = False
    picture: str | None = None
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    tenants: _Memberships = field(default_factory=FrozenDict[str, TenantMembership])
    status: str | None = None
    is_test: StrictBool = False
    editable: StrictBool = False
    custom_attributes: JsonObject = field(default_factory=FrozenDict[str, object])
    created_at: EpochSeconds | None = None
    consent_expiration: PositiveInt | None = None
    external_ids: tuple[str, ...] = ()
    sso_app_ids: tuple[str, ...] = ()
    totp: StrictBool = False
    saml: StrictBool = False
    oidc: StrictBool = False
    scim: StrictBool = False
    oauth: Flags = field(default_factory=FrozenDict[str, bool])
    webauthn: StrictBool = False
    password: StrictBool = False
    push: StrictBool = False

    def __repr__(self) -> str:
        return f"UserProfile(user_id={self.user_id!r})"

    @staticmethod
    def from_json(user: Mapping[str, object]) -> "UserProfile | None":
        """Create the profile from a user object in JSON. Returns None if it has no user id.

        A field of the wrong type counts as absent, as do null and ``""``.
        """
        return _PROFILES.parse(user)


_PROFILES = ObjectParser(
    UserProfile,
    roles="roleNames",
    tenants="userTenants",
    is_test="test",
    created_at="createdTime",
    totp="TOTP",
    saml="SAML",
    oidc="OIDC",
    scim="SCIM",
    oauth="OAuth",
)
