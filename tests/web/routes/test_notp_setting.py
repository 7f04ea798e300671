"""``notp`` in ``DESCOPE_LOGIN_METHODS`` adds the routes of nOTP, which are public (NP-09)."""

import httpx
import pytest
from fastapi import FastAPI

from fastapi_descope import (
    DescopeMiddleware,
)
from fastapi_descope._web.routes.table import RouteTable
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory
from tests.helpers.notp import attribute, open_page, post_json

pytestmark = pytest.mark.anyio


async def test_np09_without_the_setting_there_is_no_route(make_env: EnvFactory) -> None:
    """An app with single sign-on gets no second way in by default."""
    browser = make_env().browser()

    assert (await browser.visit("/login/notp")).status_code == 404
    for path in ("/login/notp", "/login/notp/session"):
        assert (await browser.post(path)).status_code == 404


async def test_np09_a_sign_in_creates_no_user(notp_env: AppHarness) -> None:
    """The endpoint of Descope is the one for existing users."""
    await open_page(notp_env)

    (call,) = notp_env.emulator.requests.for_endpoint("notp_start")
    assert call.path == "/v1/auth/notp/whatsapp/signin"


@pytest.mark.parametrize("is_protected", [True, False])
async def test_the_routes_need_no_session(make_env: EnvFactory, *, is_protected: bool) -> None:
    """Also if the middleware protects every path."""
    env = make_env(login_methods=["sso", "notp"])
    app = FastAPI()
    app.include_router(env.descope.router)
    app.add_middleware(DescopeMiddleware, descope=env.descope, protect=is_protected)
    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))

    page = await browser.visit("/login/notp")
    started = await post_json(browser, "/login/notp", {})
    poll = await post_json(browser, "/login/notp/session", {"state": attribute(page.text, "state")})

    assert (page.status_code, started.status_code, poll.status_code) == (200, 200, 202)


async def test_openapi_describes_the_routes(notp_env: AppHarness) -> None:
    """Including the response while the sign-in is pending."""
    paths = (await notp_env.browser().get("/openapi.json")).json()["paths"]

    start, session = paths["/login/notp"]["post"], paths["/login/notp/session"]["post"]
    assert sorted(paths["/login/notp"]["get"]["responses"]) == ["200", "400", "403", "502", "503"]
    assert paths["/login/notp"]["get"]["parameters"][0]["name"] == "return_to"
    assert start["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("NotpStartOut")
    assert sorted(session["responses"]) == ["200", "202", "303", "400", "403", "502", "503"]
    schema = session["responses"]["202"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith("NotpPendingOut")
    assert "security" not in session


async def test_the_route_table_knows_the_routes(notp_env: AppHarness) -> None:
    """They have rules of their own, and are no unprotected routes of the app."""
    rows = [row for row in RouteTable(notp_env.app).rows if row.path.startswith("/login/notp")]

    assert [(row.methods, row.path) for row in rows] == [
        (("GET",), "/login/notp"),
        (("POST",), "/login/notp"),
        (("POST",), "/login/notp/session"),
    ]
    assert all(row.is_own for row in rows)
