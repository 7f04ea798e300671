"""What stands in the tokens (wire contract, sections 3.2 to 3.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .directory import AccessKey, SeedUser
from .project import Project

__all__ = ["AccessKeySession", "ClaimsBuilder", "IssuedTokens", "LoginRecord", "Principal", "rfc3339"]


def rfc3339(epoch: float) -> str:
    """Epoch seconds as RFC 3339 in UTC, whole seconds: the form of ``rexp``."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a token pair speaks for: the user, the current tenant, and how they proved it."""

    user: SeedUser
    tenant: str | None
    amr: tuple[str, ...]
    step_up: bool = False
    custom_claims: Mapping[str, object] = field(default_factory=dict[str, object])


class ClaimsBuilder:
    """Turns a bearer into claims, the way one project writes them."""

    def __init__(self, project: Project, base_url: str) -> None:
        self._project = project
        self._issuer = {
            "id": project.project_id,
            "url": f"{base_url}/{project.project_id}",
            "app": f"{base_url}/v1/apps/{project.project_id}",
            "agentic": f"{base_url}/v1/apps/agentic/{project.project_id}/emulator",
        }[project.issuer]

    def session_claims(
        self, bearer: Principal, *, now: int, exp: int, rexp: int, jti: str
    ) -> dict[str, object]:
        """The claims of a session JWT. Times are epoch seconds. ``jti`` is there if the project wants it."""
        claims = self._of_user(bearer, self.session_drn, now, exp)
        claims |= self._held(bearer.user, bearer.tenant) | {"rexp": rfc3339(rexp)}
        if self._project.template_email:
            claims |= {"email": bearer.user.email, "name": bearer.user.name}
        if bearer.step_up:
            claims["su"] = True
        if self._project.session_jti:
            claims["jti"] = jti
        return self._with_custom(claims, bearer.custom_claims)

    def refresh_claims(self, bearer: Principal, *, now: int, exp: int, jti: str) -> dict[str, object]:
        """The claims of a refresh JWT: never ``su``, and no roles, which a refresh looks up anew.

        ``jti`` tells apart two that are made in the same second; Descope's own way is unknown.
        """
        claims = self._of_user(bearer, self._refresh_drn, now, exp) | {"jti": jti}
        if self._project.assumptions.refresh_holds_grants:
            claims |= self._held(bearer.user, bearer.tenant)
        return claims

    def access_key_claims(
        self, key: AccessKey, tenant: str | None, custom: Mapping[str, object], *, now: int, exp: int
    ) -> dict[str, object]:
        """The claims of the session JWT of an access key, whose subject is the key's id (section 2.15).

        ``amr`` and ``rexp`` are left out: which ones Descope writes is unknown.
        """
        claims = {**key.claims, **self._shared(key.id, tenant, self.session_drn, now, exp)}
        return self._with_custom(claims | self._held(key, tenant), custom)

    @property
    def session_drn(self) -> str:
        """The ``drn`` of a session JWT (section 3.2)."""
        named = self._project.assumptions.drn_is_cookie_name
        return self._project.cookies.session_name if named else "DS"

    @property
    def _refresh_drn(self) -> str:
        named = self._project.assumptions.drn_is_cookie_name
        return self._project.cookies.refresh_name if named else "DSR"

    def _of_user(self, bearer: Principal, drn: str, now: int, exp: int) -> dict[str, object]:
        user = bearer.user
        claims = self._shared(user.user_id, bearer.tenant, drn, now, exp) | {"amr": list(bearer.amr)}
        if self._project.override_subject:
            claims |= {"sub": user.login_id, "dsub": user.user_id}
        return claims

    def _shared(self, subject: str, tenant: str | None, drn: str, now: int, exp: int) -> dict[str, object]:
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

    def _held(self, holder: SeedUser | AccessKey, tenant: str | None) -> dict[str, object]:
        """Roles and permissions, where the project's JWT template puts them."""
        if self._project.auth_schema == "none":
            return {}
        if self._project.auth_schema == "tenantOnly":
            grants = holder.grants_in(tenant or "")
            return self._lists(grants.roles, grants.permissions)
        tenants: dict[str, object] = {
            tenant_id: self._lists(grants.roles, grants.permissions)
            for tenant_id, grants in holder.tenants.items()
        }
        return self._lists(holder.roles, holder.permissions) | self._unless_empty({"tenants": tenants})

    def _lists(self, roles: tuple[str, ...], permissions: tuple[str, ...]) -> dict[str, object]:
        lists: dict[str, list[str] | dict[str, object]] = {"roles": list(roles)}
        if not self._project.exclude_permissions:
            lists["permissions"] = list(permissions)
        return self._unless_empty(lists)

    def _unless_empty(self, claims: Mapping[str, list[str] | dict[str, object]]) -> dict[str, object]:
        """What becomes of an empty claim; that the policy also reaches below ``tenants`` is our choice."""
        if self._project.empty_claims == "delete":
            return {name: value for name, value in claims.items() if value}
        if self._project.empty_claims == "nil":
            return {name: value or None for name, value in claims.items()}
        return dict(claims)

    def _with_custom(self, claims: dict[str, object], custom: Mapping[str, object]) -> dict[str, object]:
        """Custom claims go under ``nsec``, the untrusted place.

        Whether Descope lifts those of a trusted server to the top is unknown.
        """
        if not custom:
            return claims
        if self._project.assumptions.custom_claims_at_top:
            return {**custom, **claims}
        return claims | {"nsec": dict(custom)}


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A fresh session and what belongs to it. Times are epoch seconds.

    ``refresh_jwt`` is empty where the presented one stays in use and is not repeated. ``next_refresh`` is
    the number of seconds within which to refresh so as not to count as inactive; 0 if inactivity does not
    matter.
    """

    session_jwt: str = field(repr=False)
    refresh_jwt: str = field(repr=False)
    user: SeedUser
    session_expires_at: int
    refresh_expires_at: int
    next_refresh_seconds: int
    session_id: str
    first_seen: bool = False
    sso_id: str = ""


@dataclass(frozen=True, slots=True)
class AccessKeySession:
    """What an access key was exchanged for. ``ends`` is in epoch seconds."""

    key_id: str
    session_jwt: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class LoginRecord:
    """One sign-in of a user, for the login history."""

    user_id: str
    at: int
    tenant: str | None
