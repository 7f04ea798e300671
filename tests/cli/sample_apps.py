"""Apps that the CLI tests load by name."""

from fastapi import Depends, FastAPI

from fastapi_descope import Descope, DescopeSettings, public, require_roles

PROJECT = "P2" + "s" * 26

shop = FastAPI(openapi_url=None)
Descope(shop, settings=DescopeSettings(project_id=PROJECT, public_url="https://shop.example"))


@shop.get("/about")
async def about() -> None:
    """A public route."""


@shop.get("/admin", dependencies=[Depends(require_roles("admin"))])
async def admin() -> None:
    """A protected route."""


documented = FastAPI()


@documented.get("/about")
@public
async def public_about() -> None:
    """A route that is public on purpose."""


bare = FastAPI(openapi_url=None)

not_an_app = 7
