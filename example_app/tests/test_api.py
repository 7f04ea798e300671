"""The session for scripts."""

import pytest

from example_app.tests.app_env import ADA, Visit
from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio


async def test_me_says_who_is_calling(visit: Visit, emulator: Emulator) -> None:
    """User, tenant and the roles held there."""
    browser = await visit(ADA, "globex", accept="application/json")
    response = await browser.get("/api/me")
    assert response.status_code == 200
    assert response.json() == {
        "user": emulator.project.users[0].user_id,
        "tenant": "globex",
        "roles": ["viewer"],
    }


async def test_me_takes_a_bearer(visit: Visit, emulator: Emulator) -> None:
    """A program without a cookie jar sends the session token, and gets no cookie for it."""
    browser = await visit(accept="application/json")
    token = emulator.issue(ADA, "acme").session_jwt
    response = await browser.get("/api/me", headers={"Authorization": f"Bearer {token}"})
    assert response.json()["roles"] == ["admin"]
    assert "set-cookie" not in response.headers


async def test_me_refuses_strangers(visit: Visit) -> None:
    """With a problem document, and no redirect that a script could not follow."""
    browser = await visit(accept="application/json")
    response = await browser.get("/api/me")
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["code"] == "not_authenticated"
    assert response.json()["login_url"] == "/login/sso"


async def test_pages_stay_out_of_the_api_description(visit: Visit) -> None:
    """OpenAPI lists what scripts call: ours and the plugin's."""
    browser = await visit()
    paths = (await browser.get("/openapi.json")).json()["paths"]
    assert "/api/me" in paths
    assert "/login/sso" in paths
    assert not {"/", "/reports", "/account", "/admin", "/healthz"} & set(paths)
