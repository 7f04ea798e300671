"""This package, installed as its documentation shows."""

import httpx
from fastapi import Depends, FastAPI

from fastapi_descope import CurrentTenant, CurrentUser, Descope, DescopeSettings, require_roles

from .tokens import PROJECT, Tokens

__all__ = ["current_user", "public_page", "with_role", "without_cache"]


def public_page(tokens: Tokens) -> FastAPI:
    """Return an app with a page that needs no session."""
    app = _app(tokens)

    @app.get("/page")
    async def page() -> dict[str, str]:
        return {"page": "public"}

    return app


def current_user(tokens: Tokens, *, token_cache_size: int = 4096) -> FastAPI:
    """Return an app with a page for signed-in users."""
    app = _app(tokens, token_cache_size)

    @app.get("/page")
    async def page(user: CurrentUser) -> dict[str, str]:
        return {"page": user.id}

    return app


def without_cache(tokens: Tokens) -> FastAPI:
    """Return an app that verifies the token of every request."""
    return current_user(tokens, token_cache_size=0)


def with_role(tokens: Tokens) -> FastAPI:
    """Return an app with a page for the administrators of a tenant."""
    app = _app(tokens)

    @app.get("/page", dependencies=[Depends(require_roles("admin"))])
    async def page(user: CurrentUser, tenant: CurrentTenant) -> dict[str, str]:
        return {"page": user.id, "tenant": tenant.id}

    return app


def _app(tokens: Tokens, token_cache_size: int = 4096) -> FastAPI:
    settings = DescopeSettings(
        project_id=PROJECT,
        base_url="http://127.0.0.1:8787",
        public_url="http://127.0.0.1:8000",
        token_cache_size=token_cache_size,
    )
    key_set = httpx.MockTransport(lambda _: httpx.Response(200, json={"keys": tokens.keys}))
    app = FastAPI(openapi_url=None)
    Descope(app, settings=settings, transport=key_set)
    return app
