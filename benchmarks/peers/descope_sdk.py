"""Descope's SDK in a dependency, with the error handling that its README shows."""

from descope import AuthException, DescopeClient, DescopeClientAsync
from fastapi import FastAPI, Request

from .bearer import unauthorized
from .claims_app import claims_app
from .tokens import PROJECT, Tokens

# The SDK uses untyped dicts.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingTypeArgument=false

__all__ = ["async_client", "sync_client"]

_BASE_URL = "http://127.0.0.1:8787"


def sync_client(tokens: Tokens) -> FastAPI:
    """Return an app with a ``def`` dependency, which FastAPI runs in a thread."""
    client = DescopeClient(project_id=PROJECT, public_key=dict(tokens.keys[0]), base_url=_BASE_URL)

    def claims(request: Request) -> dict[str, object]:
        try:
            return client.validate_session(request.cookies.get("DS", ""))
        except AuthException:
            raise unauthorized() from None

    return claims_app(claims)


def async_client(tokens: Tokens) -> FastAPI:
    """Return an app with an ``async def`` dependency."""
    client = DescopeClientAsync(project_id=PROJECT, public_key=dict(tokens.keys[0]), base_url=_BASE_URL)

    async def claims(request: Request) -> dict[str, object]:
        try:
            return await client.validate_session(request.cookies.get("DS", ""))
        except AuthException:
            raise unauthorized() from None

    return claims_app(claims)
