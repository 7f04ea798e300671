"""Token contents (wire contract, sections 3.2 to 3.4) and the records of issued tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .directory import AccessKey, SeedIdp, SeedUser
from .project import Project

__all__ = [
    "AccessKeySession",
    "ClaimsBuilder",
    "IssuedTokens",
    "LoginRecord",
    "Principal",
    "SignIn",
    "rfc3339",
]


def rfc3339(epoch: float) -> str:
    """Return epoch seconds as RFC 3339 text in UTC with whole seconds, the form of ``rexp``."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Principal:
    """The subject of a token pair: the user, the current tenant and the authentication methods.

    ``actor`` is the user id of the impersonator, or None.
    """

    user: SeedUser
    tenant: str | None
    amr: tuple[str, ...]
    step_up: bool = False
    custom_claims: Mapping[str, object] = field(default_factory=dict[str, object])
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """The facts of a sign-in that only its response has.

    Attributes:
        first_seen: Whether this is the first sign-in of the user.
        sso_id: The SSO configuration of the sign-in.
        idp: What the identity provider sent; None if the sign-in has no ``idpResponse``.
    """

    first_seen: bool = False
    sso_id: str = ""
    idp: SeedIdp | None = None


class ClaimsBuilder:
    """Builds the claims of tokens according to the settings of a project."""

    def __init__(self, project: Project, base_url: str) -> None:
        self._project = project
        self._issuer = {
            "id": project.project_id,
            "url": f"{base_url}/{project.project_id}",
            "app": f"{base_url}/v1/apps/{project.project_id}",
            "agentic": f"{base_url}/v1/apps/agentic/{project.project_id}/emulator",
        }[project.issuer]

    def session_claims(
        self, principal: Principal, *, now: int, exp: int, rexp: int, jti: str
    ) -> dict[str, object]:
        """Return the claims of a session JWT. Times are epoch seconds. ``jti`` needs ``session_jti``."""
        claims = self._user_claims(principal, self.session_drn, now, exp)
        claims |= self.grant_claims(principal.user, principal.tenant) | {"rexp": rfc3339(rexp)}
        if self._project.template_email:
            claims |= {"email": principal.user.email, "name": principal.user.name}
        if principal.step_up:
            claims["su"] = True
        if self._project.session_jti:
            claims["jti"] = jti
        if self._project.assumptions.actor_claim != "refresh_only":
            claims |= self._actor_claims(principal)
        return self._add_custom_claims(claims, principal.custom_claims)

    def refresh_claims(self, principal: Principal, *, now: int, exp: int, jti: str) -> dict[str, object]:
        """Return the claims of a refresh JWT: without ``su``, and by default without roles.

        ``jti`` distinguishes two tokens of the same second; how Descope does this is unknown.
        """
        claims = self._user_claims(principal, self._refresh_drn, now, exp) | {"jti": jti}
        if self._project.assumptions.refresh_holds_grants:
            claims |= self.grant_claims(principal.user, principal.tenant)
        return claims | self._actor_claims(principal)

    def trusted_device_claims(self, user: SeedUser, *, now: int) -> dict[str, object]:
        """Return the claims of the token of a trusted device. Only its ``drn`` is known."""
        return self._common_claims(user.user_id, None, "DTD", now, now + self._project.trusted_device_seconds)

    def access_key_claims(
        self,
        key: AccessKey,
        bound_user: SeedUser | None,
        tenant: str | None,
        custom: Mapping[str, object],
        *,
        now: int,
        exp: int,
    ) -> dict[str, object]:
        """Return the claims of an access key's session JWT, whose subject is the key's id (section 2.15).

        A key that is bound to a user has the user's roles. ``amr`` and ``rexp`` are left out: it is unknown
        what Descope writes.
        """
        form = self._project.assumptions.access_key_jwt
        subject = bound_user.user_id if bound_user and form == "bound_user" else key.id
        claims = {**key.claims, **self._common_claims(subject, tenant, self.session_drn, now, exp)}
        if form == "without_drn":
            del claims["drn"]
        return self._add_custom_claims(claims | self.grant_claims(bound_user or key, tenant), custom)

    @property
    def session_drn(self) -> str:
        """The ``drn`` of a session JWT (section 3.2)."""
        is_renamed = self._project.assumptions.drn_is_cookie_name
        return self._project.cookies.session_name if is_renamed else "DS"

    @property
    def _refresh_drn(self) -> str:
        is_renamed = self._project.assumptions.drn_is_cookie_name
        return self._project.cookies.refresh_name if is_renamed else "DSR"

    def _user_claims(self, principal: Principal, drn: str, now: int, exp: int) -> dict[str, object]:
        user = principal.user
        claims = self._common_claims(user.user_id, principal.tenant, drn, now, exp) | {
            "amr": list(principal.amr)
        }
        if self._project.override_subject:
            claims |= {"sub": user.login_id, "dsub": user.user_id}
        return claims

    def _actor_claims(self, principal: Principal) -> dict[str, object]:
        actor = principal.actor
        if actor is None:
            return {}
        return {"act": actor if self._project.assumptions.actor_claim == "string" else {"sub": actor}}

    def _common_claims(
        self, subject: str, tenant: str | None, drn: str, now: int, exp: int
    ) -> dict[str, object]:
        claims: dict[str, object] = {
            "drn": drn,
            "exp": exp,
            "iat": now,
            "iss": self._issuer,
            "sub": subject,
        }
        audience = self._project.audience
        if audience is not None:
            claims["aud"] = audience if isinstance(audience, str) else list(audience)
        if tenant is not None:
            claims["dct"] = tenant
        return claims

    def grant_claims(self, holder: SeedUser | AccessKey, tenant: str | None) -> dict[str, object]:
        """Return roles and permissions where the project's JWT template puts them."""
        if self._project.auth_schema == "none":
            return {}
        if self._project.auth_schema == "tenantOnly":
            grants = holder.grants_in(tenant or "")
            return self._role_claims(grants.roles, grants.permissions)
        tenants: dict[str, object] = {
            tenant_id: self._role_claims(grants.roles, grants.permissions)
            for tenant_id, grants in holder.tenants.items()
        }
        return self._role_claims(holder.roles, holder.permissions) | self._apply_empty_policy(
            {"tenants": tenants}
        )

    def _role_claims(self, roles: tuple[str, ...], permissions: tuple[str, ...]) -> dict[str, object]:
        lists: dict[str, list[str] | dict[str, object]] = {"roles": list(roles)}
        if not self._project.exclude_permissions:
            lists["permissions"] = list(permissions)
        return self._apply_empty_policy(lists)

    def _apply_empty_policy(self, claims: Mapping[str, list[str] | dict[str, object]]) -> dict[str, object]:
        """Apply the policy for empty claims. Applying it below ``tenants`` too is our choice."""
        if self._project.empty_claims == "delete":
            return {name: value for name, value in claims.items() if value}
        if self._project.empty_claims == "nil":
            return {name: value or None for name, value in claims.items()}
        return dict(claims)

    def _add_custom_claims(
        self, claims: dict[str, object], custom: Mapping[str, object]
    ) -> dict[str, object]:
        """Add custom claims under ``nsec``, where untrusted claims go.

        Whether Descope moves those of a trusted server to the top level is unknown.
        """
        if not custom:
            return claims
        if self._project.assumptions.custom_claims_at_top:
            return {**custom, **claims}
        return claims | {"nsec": dict(custom)}


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A new session and its metadata. Times are epoch seconds.

    Attributes:
        session_jwt: The session JWT.
        refresh_jwt: The refresh JWT; empty if the client keeps using the one that it sent.
        user: The user.
        session_expires_at: The expiry of the session JWT.
        refresh_expires_at: The expiry of the refresh JWT.
        next_refresh_seconds: Seconds within which the client should refresh so as not to count as inactive;
            0 if inactivity does not matter.
        session_id: The id of the token family.
        trusted_device_jwt: The token of the user's device; empty unless the seed says that it is trusted.
        sign_in: The facts of the sign-in that the response contains.
    """

    session_jwt: str = field(repr=False)
    refresh_jwt: str = field(repr=False)
    user: SeedUser
    session_expires_at: int
    refresh_expires_at: int
    next_refresh_seconds: int
    session_id: str
    trusted_device_jwt: str = field(default="", repr=False)
    sign_in: SignIn = field(default_factory=SignIn)


@dataclass(frozen=True, slots=True)
class AccessKeySession:
    """The session JWT of an access key. ``expires_at`` is in epoch seconds."""

    key_id: str
    session_jwt: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """One sign-in of a user, for the login history."""

    user_id: str
    at: int
    tenant: str | None
