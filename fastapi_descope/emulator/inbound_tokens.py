"""The contents of the tokens of inbound apps (wire contract, section 11.3)."""

import hashlib
from dataclasses import dataclass, field

from .directory import SeedUser
from .project import Project
from .tokens import ClaimsBuilder, rfc3339

__all__ = ["InboundClaims", "InboundGrant"]

_ANY_SERVER = "emulator"


@dataclass(frozen=True, slots=True)
class InboundGrant:
    """The access that an inbound app has been granted.

    Attributes:
        client_id: The client id of the app.
        user_id: The user who has consented; None if the app acts for itself.
        scopes: The scopes.
        amr: The authentication methods of the user's sign-in.
        tenant: The tenant for which the app has asked; None for no particular one.
        resources: The audiences that the app has asked for.
        mcp_server: The id of the MCP server through which the app has asked.
        jkt: The thumbprint of the key that its tokens are bound to (RFC 9449).
        nonce: The nonce of the ID token.
    """

    client_id: str
    user_id: str | None
    scopes: tuple[str, ...]
    amr: tuple[str, ...] = ()
    tenant: str | None = None
    resources: tuple[str, ...] = ()
    mcp_server: str = ""
    jkt: str = field(default="", repr=False)
    nonce: str = field(default="", repr=False)

    @property
    def scope(self) -> str:
        """The scopes as OAuth writes them."""
        return " ".join(self.scopes)


class InboundClaims:
    """Builds the claims of tokens of one grant. Times are epoch seconds.

    Args:
        project: The project.
        base_url: The origin in the issuer.
        grant: The grant.
        user: The user as the project has it now; None if the app acts for itself.
    """

    def __init__(self, project: Project, base_url: str, grant: InboundGrant, user: SeedUser | None) -> None:
        self._project = project
        self._base_url = base_url
        self._grant = grant
        self._user = user

    def access_claims(self, *, now: int, exp: int, rexp: int | None) -> dict[str, object]:
        """Return the claims of an access token. ``rexp`` is the expiry of its refresh token, if any."""
        claims = self._common_claims("access_token", now, exp) | self._grant_claims()
        if self._user is not None:
            claims["amr"] = list(self._grant.amr)
        if rexp is not None:
            claims["rexp"] = rfc3339(rexp)
        if self._grant.jkt:
            claims["cnf"] = {"jkt": self._grant.jkt}
        return claims

    def id_claims(self, *, now: int, exp: int) -> dict[str, object]:
        """Return the claims of an ID token."""
        claims = self._common_claims("id_token", now, exp)
        if "email" in claims:
            claims["email_verified"] = True
        return claims | ({"nonce": self._grant.nonce} if self._grant.nonce else {})

    def refresh_claims(self, *, now: int, exp: int, jti: str) -> dict[str, object]:
        """Return the claims of a refresh token. ``jti`` distinguishes two tokens of the same second."""
        return self._common_claims("refresh_token", now, exp) | {"jti": jti}

    def userinfo_claims(self) -> dict[str, object]:
        """Return the claims that the scopes of the grant permit, as userinfo does."""
        claims: dict[str, object] = {"sub": self._subject}
        user, scopes = self._user, self._grant.scopes
        if user is not None and "email" in scopes:
            claims |= {"email": user.email, "email_verified": bool(user.email)}
        if user is not None and "profile" in scopes:
            claims |= {"name": user.name}
        return claims | self._grant_claims()

    def _common_claims(self, token_type: str, now: int, exp: int) -> dict[str, object]:
        grant = self._grant
        claims: dict[str, object] = {
            "aud": self._audience,
            "azp": grant.client_id,
            "exp": exp,
            "iat": now,
            "iss": self._issuer,
            "scope": grant.scope,
            "sub": self._subject,
            "token_type": token_type,
        }
        if self._user is not None and self._user.email:
            claims["email"] = self._user.email
        if self._user is None and self._project.assumptions.client_credentials_subject == "client_id_claim":
            claims["client_id"] = grant.client_id
        return claims | ({"drn": "DS"} if self._project.assumptions.inbound_drn else {})

    @property
    def _tenant(self) -> str | None:
        """The tenant of the grant, else the user's first one."""
        return self._grant.tenant or next(iter(self._user.tenants if self._user else ()), None)

    @property
    def _issuer(self) -> str:
        apps, project_id = f"{self._base_url}/v1/apps", self._project.project_id
        match self._project.assumptions.inbound_issuer:
            case "agentic":
                return f"{apps}/agentic/{project_id}/{self._grant.mcp_server or _ANY_SERVER}"
            case "tenant" if self._tenant is not None:
                return f"{apps}/{project_id}/{self._tenant}"
            case _:
                return f"{apps}/{project_id}"

    @property
    def _audience(self) -> str | list[str]:
        project_id, resources = self._project.project_id, self._resources
        match self._project.assumptions.inbound_audience:
            case "project_and_client":
                return [project_id, self._grant.client_id, *resources]
            case "project":
                return project_id
            case "project_and_resource":
                return [project_id, *resources]
            case _:  # only the resources
                return list(resources) or [project_id]

    @property
    def _resources(self) -> tuple[str, ...]:
        """The requested audiences, and the URL of the MCP server (section 11.3)."""
        server = self._project.find_mcp_server(self._grant.mcp_server)
        urls = (*self._grant.resources, *((server.url,) if server is not None else ()))
        return tuple(dict.fromkeys(urls))

    @property
    def _subject(self) -> str:
        if self._grant.user_id is not None:
            return self._grant.user_id
        derived = hashlib.sha256(self._grant.client_id.encode()).hexdigest()[:26]
        subjects = {"key_id": f"K2{derived}", "app_id": f"TPA2{derived}"}
        return subjects.get(self._project.assumptions.client_credentials_subject, self._grant.client_id)

    def _grant_claims(self) -> dict[str, object]:
        """Return the roles and the tenants of the user, if tokens contain them."""
        choice = self._project.assumptions.inbound_grants
        if self._user is None or choice == "none":
            return {}
        claims = ClaimsBuilder(self._project, self._base_url).grant_claims(self._user, self._tenant)
        return claims | ({"dct": self._tenant} if choice == "tenant" and self._tenant is not None else {})
