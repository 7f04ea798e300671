"""What stands in the tokens (wire contract, sections 3.2 to 3.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .project import Project, User

__all__ = ["Bearer", "TokenWriter", "utc_text"]


def utc_text(epoch: float) -> str:
    """Epoch seconds as RFC 3339 in UTC, whole seconds: the form of ``rexp``."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token pair speaks for: the user, the current tenant, and how they proved it."""

    user: User
    tenant: str | None
    amr: tuple[str, ...]
    su: bool = False
    custom: Mapping[str, object] = field(default_factory=dict[str, object])


def _held(roles: tuple[str, ...], permissions: tuple[str, ...]) -> dict[str, object]:
    """The two lists; an empty one is left out, so that nobody learns to rely on its presence."""
    lists = {"roles": list(roles), "permissions": list(permissions)}
    return {name: held for name, held in lists.items() if held}


class TokenWriter:
    """Turns a bearer into claims, the way one project writes them."""

    def __init__(self, project: Project, base_url: str) -> None:
        self._project = project
        self._issuer = {
            "id": project.project_id,
            "url": f"{base_url}/{project.project_id}",
            "app": f"{base_url}/v1/apps/{project.project_id}",
        }[project.issuer]

    def session(self, bearer: Bearer, *, now: int, exp: int, rexp: int) -> dict[str, object]:
        """The claims of a session JWT. Times are epoch seconds.

        Custom claims go under ``nsec``, the untrusted place; whether Descope lifts those of a trusted
        server to the top is unknown.
        """
        claims = self._shared(bearer, "DS", now, exp)
        claims |= self._held_claims(bearer) | {"rexp": utc_text(rexp)}
        if self._project.template_email:
            claims |= {"email": bearer.user.login_id, "name": bearer.user.name}
        if bearer.su:
            claims["su"] = True
        if bearer.custom:
            claims["nsec"] = dict(bearer.custom)
        return claims

    def refresh(self, bearer: Bearer, *, now: int, exp: int, jti: str) -> dict[str, object]:
        """The claims of a refresh JWT: never ``su``, and no roles, which a refresh looks up anew.

        ``jti`` tells apart two that are made in the same second; Descope's own way is unknown.
        """
        return self._shared(bearer, "DSR", now, exp) | {"jti": jti}

    def _shared(self, bearer: Bearer, drn: str, now: int, exp: int) -> dict[str, object]:
        claims: dict[str, object] = {
            "amr": list(bearer.amr),
            "drn": drn,
            "exp": exp,
            "iat": now,
            "iss": self._issuer,
            "sub": bearer.user.user_id,
        }
        if self._project.audience is not None:
            claims["aud"] = self._project.audience
        if bearer.tenant is not None:
            claims["dct"] = bearer.tenant
        return claims

    def _held_claims(self, bearer: Bearer) -> dict[str, object]:
        """Roles and permissions, where the project's JWT template puts them."""
        user = bearer.user
        if self._project.auth_schema == "none":
            return {}
        if self._project.auth_schema == "tenantOnly":
            grants = user.held_in(bearer.tenant or "")
            return _held(grants.roles, grants.permissions)
        claims = _held(user.roles, user.permissions)
        if user.tenants:
            claims["tenants"] = {
                tenant_id: _held(grants.roles, grants.permissions)
                for tenant_id, grants in user.tenants.items()
            }
        return claims
