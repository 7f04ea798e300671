"""The JSON API."""

import httpx
import pytest

from example_app.tests.app_env import ADA, APP, OpenBrowser, build_app
from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio


async def test_me_returns_user_tenant_and_roles(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """The roles are those in the current tenant."""
    browser = await open_browser(ADA, "globex", accept="application/json")
    response = await browser.get("/api/me")
    assert response.status_code == 200
    assert response.json() == {
        "user": emulator.project.users[0].user_id,
        "tenant": "globex",
        "roles": ["viewer"],
    }


async def test_me_accepts_a_bearer_token(open_browser: OpenBrowser, emulator: Emulator) -> None:
    """The response to a bearer token sets no cookie."""
    browser = await open_browser(accept="application/json")
    token = emulator.issue(ADA, "acme").session_jwt
    response = await browser.get("/api/me", headers={"Authorization": f"Bearer {token}"})
    assert response.json()["roles"] == ["admin"]
    assert "set-cookie" not in response.headers


async def test_me_refuses_unauthenticated_requests(open_browser: OpenBrowser) -> None:
    """With a problem document instead of a redirect, because the client is a script."""
    browser = await open_browser(accept="application/json")
    response = await browser.get("/api/me")
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["code"] == "not_authenticated"
    assert response.json()["login_url"] == "/login"


async def test_pages_are_not_in_the_openapi_schema(open_browser: OpenBrowser) -> None:
    """OpenAPI lists the routes for scripts: the app's and the plugin's."""
    browser = await open_browser()
    paths = (await browser.get("/openapi.json")).json()["paths"]
    assert "/api/me" in paths
    assert "/login/sso" in paths
    assert not {"/", "/reports", "/account", "/admin", "/healthz", "/readyz"} & set(paths)


async def test_app_is_ready_once_it_can_verify_sessions(emulator: Emulator) -> None:
    """Until then a probe gets 503 and the seconds to wait. Health checks do not depend on it."""
    browser = httpx.AsyncClient(transport=httpx.ASGITransport(build_app(emulator)), base_url=APP)
    browser.cookies.set("DS", emulator.issue(ADA, "acme").session_jwt, domain="127.0.0.1")

    waiting = await browser.get("/readyz")
    assert (waiting.status_code, waiting.headers["retry-after"]) == (503, "1")
    assert waiting.json() == {"status": "waiting for keys"}
    assert (await browser.get("/healthz")).json() == {"status": "ok"}

    await browser.get("/account")  # waits for the fetch that the probe has started
    ready = await browser.get("/readyz")
    assert ready.json() == {"status": "ready"}
    assert emulator.requests.count("keys") == 1
