"""The key set and the tokens of a run: one user, one key, and for each library the claims that it expects.

Every token has two tenants with roles and permissions, and about 1,200 characters.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi_descope.emulator import Emulator, Grants, Project, SeedUser, SigningKey

__all__ = [
    "AUTH0_DOMAIN",
    "AUTH0_ISSUER",
    "ENTRA_ISSUER",
    "ENTRA_TENANT",
    "PROJECT",
    "Tokens",
    "issue_tokens",
    "tampered",
]

PROJECT = Project().project_id
"""The project id, which is the audience of every token."""

AUTH0_DOMAIN = "bench.auth0.example"
AUTH0_ISSUER = f"https://{AUTH0_DOMAIN}/"
ENTRA_TENANT = "11111111-2222-3333-4444-555555555555"
ENTRA_ISSUER = f"https://login.microsoftonline.com/{ENTRA_TENANT}/v2.0"
_LIFETIME_SECONDS = 3600
_GRANTS = {
    "acme": Grants(
        ("admin", "auditor"),
        ("reports.read", "reports.write", "users.manage", "billing.read", "billing.write", "exports.create"),
    ),
    "globex": Grants(
        ("viewer", "support"), ("reports.read", "tickets.read", "tickets.write", "audit.read", "exports.read")
    ),
}
_USER = SeedUser("ada@acme.example", "Ada Lovelace", _GRANTS)


@dataclass(frozen=True)
class Tokens:
    """The published keys and the tokens that they verify.

    Attributes:
        keys: The key set as JWKs.
        session: Descope's session JWT.
        refresh: Descope's refresh JWT.
        auth0: An access token with the issuer of an Auth0 tenant.
        entra: An access token as Entra ID issues it for an app.
    """

    keys: tuple[Mapping[str, str], ...]
    session: str = field(repr=False)
    refresh: str = field(repr=False)
    auth0: str = field(repr=False)
    entra: str = field(repr=False)

    def tampered(self) -> "Tokens":
        """Return the same tokens with changed signatures."""
        return Tokens(
            self.keys, *(tampered(each) for each in (self.session, self.refresh, self.auth0, self.entra))
        )


def issue_tokens() -> Tokens:
    """Generate a key and sign the tokens, which are valid for an hour."""
    key = SigningKey.generate()
    project = Project(users=(_USER,), audience=PROJECT, template_email=True)
    pair = Emulator(project, signing_key=key).issue(_USER.login_id, "acme", session_seconds=_LIFETIME_SECONDS)
    return Tokens(
        (key.public,),
        pair.session_jwt,
        pair.refresh_jwt,
        key.sign(_claims(AUTH0_ISSUER) | {"azp": "bench", "scope": "openid profile email"}),
        key.sign(_claims(ENTRA_ISSUER) | {"ver": "2.0", "scp": "access"}),
    )


def _claims(issuer: str) -> dict[str, object]:
    now = int(time.time())
    tenants = {
        tenant: {"roles": grants.roles, "permissions": grants.permissions}
        for tenant, grants in _GRANTS.items()
    }
    return {
        "iss": issuer,
        "aud": PROJECT,
        "sub": _USER.user_id,
        "iat": now,
        "nbf": now,
        "exp": now + _LIFETIME_SECONDS,
        "email": _USER.email,
        "name": _USER.name,
        "tenants": tenants,
    }


def tampered(token: str) -> str:
    """Return the token with one character in the middle of its signature changed."""
    head, _, signature = token.rpartition(".")
    middle = len(signature) // 2
    other = "A" if signature[middle] != "A" else "B"
    return f"{head}.{signature[:middle]}{other}{signature[middle + 1 :]}"
