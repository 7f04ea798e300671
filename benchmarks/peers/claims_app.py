"""An app whose page depends on the claims of a token."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, FastAPI

__all__ = ["claims_app"]


def claims_app(dependency: Callable[..., object]) -> FastAPI:
    """Return an app with one route, whose dependency returns the verified claims."""
    app = FastAPI(openapi_url=None)

    @app.get("/page")
    async def page(claims: Annotated[dict[str, object], Depends(dependency)]) -> dict[str, str]:
        return {"page": str(claims["sub"])}

    return app
