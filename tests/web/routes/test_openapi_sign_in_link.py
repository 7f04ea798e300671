"""The link to the login in the OpenAPI document, which leads back to the docs."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from fastapi_descope import DescopeMiddleware, require_mfa
from tests.helpers.app_harness import APP, EnvFactory
from tests.helpers.openapi_document import bare_app, new_descope, nothing

Get = Callable[[str], Any]


async def _link(get: Get, path: str = "/openapi.json") -> str | None:
    """Return the target of the link in the description of the session scheme."""
    document = (await get(path)).json()
    description: str = document["components"]["securitySchemes"]["DescopeSession"]["description"]
    if not description.startswith("[Sign in](<"):
        return None
    return description.removeprefix("[Sign in](<").partition(">")[0]


@pytest.mark.anyio
async def test_the_session_scheme_links_to_the_login_and_back_to_the_docs(make_env: EnvFactory) -> None:
    """Swagger UI shows the description in its Authorize dialog."""
    env = make_env(prefix="/auth")

    assert await _link(env.browser().get) == "/auth/login/sso?return_to=/docs"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"docs_url": "/internal/docs"}, "/login/sso?return_to=/internal/docs"),
        ({"docs_url": None}, "/login/sso?return_to=/redoc"),
        ({"docs_url": None, "redoc_url": None}, "/login/sso"),
        ({"openapi_url": "/internal/openapi.json"}, "/login/sso?return_to=/docs"),
    ],
)
@pytest.mark.anyio
async def test_the_link_follows_the_app(make_env: EnvFactory, options: dict[str, Any], expected: str) -> None:
    """Other paths of the docs, and apps without docs."""
    env = make_env(app=FastAPI(**options))

    assert await _link(env.browser().get, options.get("openapi_url", "/openapi.json")) == expected


@pytest.mark.anyio
async def test_the_link_follows_a_root_path_of_the_server(make_env: EnvFactory) -> None:
    """Known from the request only; another request has another link."""
    env = make_env()
    behind_proxy = httpx.AsyncClient(transport=httpx.ASGITransport(env.app, root_path="/app"), base_url=APP)

    assert await _link(behind_proxy.get, "/app/openapi.json") == "/app/login/sso?return_to=/app/docs"
    assert await _link(env.browser().get) == "/login/sso?return_to=/docs"


@pytest.mark.anyio
async def test_a_mounted_app_links_to_the_outer_login_and_its_own_docs(make_env: EnvFactory) -> None:
    """Its document is another one, served below the mount."""
    env, mounted = make_env(prefix="/auth"), FastAPI()
    mounted.get("/me", dependencies=[Depends(require_mfa())])(nothing)
    env.descope.add_openapi_security(mounted)
    env.app.mount("/api", mounted)

    assert await _link(env.browser().get, "/api/openapi.json") == "/auth/login/sso?return_to=/api/docs"
    assert "signs out" not in str(mounted.openapi())


@pytest.mark.anyio
async def test_there_is_no_link_without_a_login() -> None:
    """The app has no middleware, or none of the plugin's routes, or no request is there."""
    descope = new_descope()
    without_middleware, without_routes = bare_app(descope), bare_app(descope)
    without_routes.add_middleware(DescopeMiddleware, descope=descope)
    for app in (without_middleware, without_routes):
        app.get("/me", dependencies=[Depends(require_mfa())])(nothing)
        browser = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP)

        assert await _link(browser.get) is None
        assert "[Sign in]" not in str(app.openapi())


@pytest.mark.anyio
async def test_an_app_without_guarded_routes_needs_no_link() -> None:
    """There is no scheme to describe."""
    app, descope = FastAPI(), new_descope()
    descope.add_openapi_security(app)
    app.add_middleware(DescopeMiddleware, descope=descope)
    browser = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP)

    assert "components" not in (await browser.get("/openapi.json")).json()


@pytest.mark.anyio
async def test_the_link_returns_to_the_docs(make_env: EnvFactory) -> None:
    """The login accepts the way back."""
    env = make_env(default_tenant="acme")
    browser = env.browser()
    link = await _link(browser.get)
    assert link is not None

    started = await browser.visit(link)
    callback = await browser.choose(await browser.visit(started.headers["location"]), "ada@acme.example")
    done = await browser.visit(callback.headers["location"])

    assert done.headers["location"] == "/docs"
