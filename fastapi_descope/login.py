"""A login, with everything that Descope sends with its tokens, as frozen values. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Self

from pydantic import StringConstraints

from ._descope_json import EpochSeconds, JsonObject, ObjectParser, PositiveInt, usable_fields
from ._encoding import FrozenDict, as_mapping, as_text
from .profile import UserProfile
from .session import AuthSession, Claims

__all__ = ["IdpResponse", "Login", "ProjectCookies"]

_NO_FIELDS: Mapping[str, object] = FrozenDict()

_CookieName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")]
_Domain = Annotated[str, StringConstraints(pattern=r"^[.0-9A-Za-z-]{1,253}$")]
_Path = Annotated[str, StringConstraints(pattern=r"^/[!-:<-~]{0,255}$")]


@dataclass(frozen=True, slots=True, repr=False)
class IdpResponse:
    """The response of the organisation's identity provider to a login (``idpResponse``).

    It is personal data, so ``repr`` shows none of it.

    Attributes:
        groups: Names of the groups that the identity provider says the user is in.
        saml_attributes: The attributes of the SAML assertion.
        oidc_claims: The claims of the OIDC id token.
        saml_response: The SAML response.
        saml_generated_user: The user that Descope derived from the SAML response.
        saml_generated_roles: The roles that Descope derived from the SAML response.
        oidc_response: The OIDC response.
        oidc_generated_user: The user that Descope derived from the OIDC response.
        oidc_generated_roles: The roles that Descope derived from the OIDC response.
    """

    groups: tuple[str, ...] = ()
    saml_attributes: JsonObject = field(default_factory=FrozenDict[str, object])
    oidc_claims: JsonObject = field(default_factory=FrozenDict[str, object])
    saml_response: str | None = None
    saml_generated_user: str | None = None
    saml_generated_roles: str | None = None
    oidc_response: str | None = None
    oidc_generated_user: str | None = None
    oidc_generated_roles: str | None = None

    @staticmethod
    def from_json(value: Mapping[str, object]) -> "IdpResponse":
        """Create it from an ``idpResponse`` in JSON. A field of the wrong type counts as absent."""
        return _IDP_RESPONSES.parse(value) or IdpResponse()


_IDP_RESPONSES = ObjectParser(
    IdpResponse, groups="idpGroups", saml_attributes="idpSAMLAttributes", oidc_claims="idpOIDCClaims"
)


@dataclass(frozen=True, slots=True)
class ProjectCookies:
    """The cookies of the project, by its settings at Descope. A field is None if Descope does not send it.

    The plugin's cookies follow the app's settings alone (``DESCOPE_COOKIE_*``).

    Attributes:
        session_name: The name of the session cookie.
        refresh_name: The name of the refresh cookie.
        session_domain: The domain of the session cookie.
        refresh_domain: The domain of the refresh cookie.
        path: The path of the refresh cookie.
        max_age: The lifetime of the refresh cookie in seconds.
        expires_at: When the refresh cookie expires, in epoch seconds.
    """

    # CK-06

    session_name: _CookieName | None = None
    refresh_name: _CookieName | None = None
    session_domain: _Domain | None = None
    refresh_domain: _Domain | None = None
    path: _Path | None = None
    max_age: PositiveInt | None = None
    expires_at: EpochSeconds | None = None

    @staticmethod
    def from_json(response: Mapping[str, object]) -> "ProjectCookies":
        """Create it from a token response in JSON. A malformed field counts as absent."""
        return _PROJECT_COOKIES.parse(response) or ProjectCookies()


_PROJECT_COOKIES = ObjectParser(
    ProjectCookies,
    session_name="sessionCookieName",
    refresh_name="cookieName",
    session_domain="sessionCookieDomain",
    refresh_domain="cookieDomain",
    path="cookiePath",
    max_age="cookieMaxAge",
    expires_at="cookieExpiration",
)


@dataclass(frozen=True, slots=True)
class Login:
    """A login, or a tenant switch: the verified session, and what Descope sent with its tokens.

    Only the session is verified by a signature. The other fields are those of the response to the code
    exchange, which came from Descope over TLS. ``repr`` shows no secret and no personal data.

    Attributes:
        session: The verified session.
        user: The user object. It has the user id alone if Descope sent none.
        first_seen: Whether this is the first login of the user in the project.
        idp: The response of the identity provider. It is empty if Descope sent none.
        external_token: The token of another vendor, for session migration.
        tenant_sso_id: The id of the tenant's SSO configuration that was used.
        trusted_device_jwt: The token of a trusted device. It is not verified.
        claims: The field ``claims`` of the response, which is not the claims of a token: JSON values.
        project_cookies: The cookies of the project, by its settings at Descope.
    """

    session: AuthSession
    user: UserProfile
    first_seen: bool = False
    idp: IdpResponse = field(default_factory=IdpResponse, repr=False)
    external_token: str | None = field(default=None, repr=False)
    tenant_sso_id: str | None = None
    trusted_device_jwt: str | None = field(default=None, repr=False)
    claims: Claims = field(default_factory=FrozenDict[str, object], repr=False)
    project_cookies: ProjectCookies = field(default_factory=ProjectCookies, repr=False)

    @classmethod
    def from_response(cls, session: AuthSession, response: Mapping[str, object]) -> Self:
        """Create it from the verified session and the JSON object that came with its tokens.

        Raises nothing: a field of the wrong type counts as absent.
        """
        fields = usable_fields(response)
        user = UserProfile.from_json(as_mapping(response.get("user")) or _NO_FIELDS)
        return cls(
            session=session,
            user=user or UserProfile(user_id=session.user.id),
            first_seen=fields.get("firstSeen") is True,
            idp=IdpResponse.from_json(as_mapping(response.get("idpResponse")) or _NO_FIELDS),
            external_token=as_text(fields.get("externalToken")),
            tenant_sso_id=as_text(fields.get("tenantSSOID")),
            trusted_device_jwt=as_text(fields.get("trustedDeviceJwt")),
            claims=as_mapping(fields.get("claims")) or _NO_FIELDS,
            project_cookies=ProjectCookies.from_json(response),
        )
