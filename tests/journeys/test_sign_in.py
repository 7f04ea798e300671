"""The main job, end to end: sign in, come back, stay signed in, switch tenant, sign out."""

import pytest

from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio


async def test_a_user_signs_in_and_reaches_a_protected_endpoint(make_env: EnvFactory) -> None:
    """After the callback both cookies are there, and the endpoint knows user, tenant and roles."""
    browser = make_env().browser()

    response = await browser.sign_in(return_to="/me")

    assert response.status_code == 303
    assert response.headers["location"] == "/me"
    me = await browser.get("/me")
    assert me.status_code == 200
    assert me.json() == {"user": "U22a1322415fff1b1aceaebe7855", "tenant": "acme", "roles": ["admin"]}
    assert {"DS", "DSR"} <= browser.names()


async def test_a_session_renews_itself_when_it_has_expired(make_env: EnvFactory) -> None:
    """One call upstream; the handler sees the new session, and the browser gets new cookies."""
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


async def test_switching_the_tenant_changes_dct_and_roles(make_env: EnvFactory) -> None:
    """The same user is an admin in one tenant and a viewer in the other."""
    browser = make_env().browser()
    await browser.sign_in()

    switched = await browser.post("/tenant/select", {"tenant": "globex"})

    assert switched.status_code == 200
    assert switched.json()["tenant"]["id"] == "globex"
    assert (await browser.get("/me")).json()["roles"] == ["viewer"]


async def test_signing_out_ends_the_session_here_and_upstream(make_env: EnvFactory) -> None:
    """The cookies are gone, the refresh token is revoked, and the endpoint asks for a sign-in."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()

    response = await browser.post("/logout")

    assert response.status_code == 204
    assert {"DS", "DSR"}.isdisjoint(browser.names())
    assert env.calls("logout") == 1
    assert (await browser.get("/me")).status_code == 401
