"""auth0-fastapi-api: the dependency ``require_auth()``, with discovery and keys in memory."""

from fastapi import FastAPI
from fastapi_plugin import Auth0FastAPI  # type: ignore[import-not-found] # .tools/peers

from .claims_app import claims_app
from .tokens import AUTH0_DOMAIN, AUTH0_ISSUER, PROJECT, Tokens

# auth0-fastapi-api is installed only where the benchmark runs.
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

__all__ = ["require_auth"]

_JWKS_URI = f"{AUTH0_ISSUER}.well-known/jwks.json"


def require_auth(tokens: Tokens) -> FastAPI:
    """Return an app with the package's own dependency."""

    async def fetch(url: str) -> dict[str, object]:
        if url == _JWKS_URI:
            return {"keys": [dict(key) for key in tokens.keys]}
        return {"issuer": AUTH0_ISSUER, "jwks_uri": _JWKS_URI}

    auth0 = Auth0FastAPI(domain=AUTH0_DOMAIN, audience=PROJECT, custom_fetch=fetch)
    return claims_app(auth0.require_auth())
