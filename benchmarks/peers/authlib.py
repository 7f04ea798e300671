"""joserfc in a dependency: the successor of ``authlib.jose``, which Authlib has deprecated."""

from typing import cast

from fastapi import FastAPI, Request
from joserfc import jwt  # type: ignore[import-not-found] # .tools/peers
from joserfc.errors import JoseError  # type: ignore[import-not-found] # .tools/peers
from joserfc.jwk import KeySet  # type: ignore[import-not-found] # .tools/peers

from .bearer import bearer_token, unauthorized
from .claims_app import claims_app
from .tokens import PROJECT, Tokens

# joserfc is installed only where the benchmark runs.
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false

__all__ = ["joserfc"]


def joserfc(tokens: Tokens) -> FastAPI:
    """Return an app that decodes with the key set and validates the claims."""
    key_set = KeySet.import_key_set({"keys": [dict(key) for key in tokens.keys]})
    exactly = {"essential": True, "value": PROJECT}
    present = {"essential": True}
    registry = jwt.JWTClaimsRegistry(iss=exactly, aud=exactly, exp=present, iat=present, sub=present)

    async def claims(request: Request) -> dict[str, object]:
        token = bearer_token(request)
        try:
            decoded = jwt.decode(token, key_set, algorithms=["RS256"])
            registry.validate(decoded.claims)
        except (JoseError, ValueError):
            raise unauthorized() from None
        return cast("dict[str, object]", decoded.claims)

    return claims_app(claims)
