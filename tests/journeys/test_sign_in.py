"""The main flow: log in, refresh, switch the tenant, log out."""

import pytest

from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio


async def test_user_logs_in_and_reaches_a_protected_endpoint(make_env: EnvFactory) -> None:
    """The callback sets both cookies. The endpoint gets the user, the tenant and the roles."""
    browser = make_env().browser()

    response = await browser.sign_in(return_to="/me")

    assert response.status_code == 303
    assert response.headers["location"] == "/me"
    me = await browser.get("/me")
    assert me.status_code == 200
    assert me.json() == {"user": "U22a1322415fff1b1aceaebe7855", "tenant": "acme", "roles": ["admin"]}
    assert {"DS", "DSR"} <= browser.names()


async def test_expired_session_is_refreshed(make_env: EnvFactory) -> None:
    """With one call. The handler gets the new session, and the browser the new cookies."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    before = browser.cookie("DS")
    env.emulator.clock.advance(660)

    response = await browser.get("/session-of")

    assert response.status_code == 200
    assert response.json()["expires_at"] > env.emulator.clock()
    assert env.calls("refresh") == 1
    assert browser.cookie("DS") != before
    assert response.headers["cache-control"] == "private, no-store"


async def test_tenant_switch_changes_tenant_and_roles(make_env: EnvFactory) -> None:
    """The same user is an admin in one tenant and a viewer in the other."""
    browser = make_env().browser()
    await browser.sign_in()

    switched = await browser.post("/tenant/select", {"tenant": "globex"})

    assert switched.status_code == 200
    assert switched.json()["tenant"]["id"] == "globex"
    assert (await browser.get("/me")).json()["roles"] == ["viewer"]


async def test_logout_ends_the_session_here_and_at_descope(make_env: EnvFactory) -> None:
    """The cookies are deleted, the refresh token is revoked, and the endpoint responds with a 401."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()

    response = await browser.post("/logout")

    assert response.status_code == 204
    assert {"DS", "DSR"}.isdisjoint(browser.names())
    assert env.calls("logout") == 1
    assert (await browser.get("/me")).status_code == 401
