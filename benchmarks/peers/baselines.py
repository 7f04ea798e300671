"""Routes without authentication: alone, with dependencies that do nothing, and with unverified cookies."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, FastAPI

from ..floors import cached_session
from .tokens import Tokens

__all__ = ["floor", "no_auth", "no_op", "three_no_ops"]


def no_auth(_: Tokens) -> FastAPI:
    """Return an app with the route alone."""
    app = FastAPI(openapi_url=None)

    @app.get("/page")
    async def page() -> dict[str, str]:
        return {"page": "public"}

    return app


def no_op(_: Tokens) -> FastAPI:
    """Return an app whose route has one dependency."""
    app = FastAPI(openapi_url=None)

    @app.get("/page")
    async def page(user: Annotated[str, Depends(_no_op())]) -> dict[str, str]:
        return {"page": user}

    return app


def three_no_ops(_: Tokens) -> FastAPI:
    """Return an app whose route has three dependencies."""
    app = FastAPI(openapi_url=None)

    @app.get("/page", dependencies=[Depends(_no_op())])
    async def page(
        user: Annotated[str, Depends(_no_op())], tenant: Annotated[str, Depends(_no_op())]
    ) -> dict[str, str]:
        return {"page": user, "tenant": tenant}

    return app


def floor(_: Tokens) -> FastAPI:
    """Return an app that remembers cookies without verifying them: no session can cost less."""
    return cached_session()


def _no_op() -> Callable[[], object]:
    """Return a dependency of its own: FastAPI calls one that is used twice only once."""

    async def no_op() -> str:
        return "anyone"

    return no_op
