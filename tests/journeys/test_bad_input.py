"""What users meet when things are wrong: each gets its own answer, and nothing is a 500."""

import pytest

from fastapi_descope import ConfigurationError, Descope
from fastapi_descope.events import LoginFailed
from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio


def test_without_a_project_id_construction_fails_naming_the_variable() -> None:
    """The first thing a newcomer gets wrong says what to set."""
    with pytest.raises(ConfigurationError, match="DESCOPE_PROJECT_ID"):
        Descope()


@pytest.mark.parametrize(
    "query",
    ["", "?code=good", "?code=good&state=", "?code=good&state=x", "?code=good&state=" + "A" * 43],
)
async def test_cb01_a_callback_without_its_own_state_is_refused(make_env: EnvFactory, query: str) -> None:
    """400 with a page that offers a new start; Descope is not called, and no cookie is set."""
    env = make_env()

    response = await env.browser().visit("/callback" + query)

    assert response.status_code == 400
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="/login/sso">Sign in again</a>' in response.text
    assert "set-cookie" not in response.headers
    assert list(env.emulator.requests) == []
    assert env.events[-1] == LoginFailed("state")


async def test_cb02_a_callback_begun_in_another_browser_is_refused(make_env: EnvFactory) -> None:
    """An attacker's code and state do not sign a victim in (CB-02)."""
    env = make_env()
    callback = await env.browser().open_callback()

    response = await env.browser().visit(callback)

    assert response.status_code == 400
    assert "set-cookie" not in response.headers
    assert env.calls("exchange") == 0


async def test_upstream_down_at_login_is_503_with_a_page(make_env: EnvFactory) -> None:
    """The page says that it is nobody's fault, and when to come back."""
    env = make_env()
    env.emulator.faults.add("authorize", status=500)

    response = await env.browser().visit("/login/sso?tenant=acme")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["cache-control"] == "no-store"
    assert "cannot be reached" in response.text
    assert '<a href="">Try again</a>' in response.text
    assert "set-cookie" not in response.headers


async def test_an_expired_session_and_upstream_down_is_503_and_keeps_the_cookies(
    make_env: EnvFactory,
) -> None:
    """An outage never logs anyone out: when Descope is back, so is the user."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", status=503)

    down = await browser.get("/session-of")
    up = await browser.get("/session-of")

    assert down.status_code == 503
    assert down.json()["code"] == "upstream_unavailable"
    assert down.headers["retry-after"] == "5"
    assert "set-cookie" not in down.headers
    assert up.status_code == 200


async def test_kd01_a_refresh_jwt_in_the_session_cookie_is_401(make_env: EnvFactory) -> None:
    """A token that lives for weeks is not taken for a session."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example", tenant="acme")

    response = await env.browser().get("/me", cookie=f"DS={pair.refresh_jwt}")

    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("where", ["cookie", "authorization"])
async def test_a_tampered_token_is_401(make_env: EnvFactory, where: str) -> None:
    """One changed character of the payload, by cookie or by bearer."""
    env = make_env()
    header, payload, signature = env.emulator.issue("ada@acme.example", tenant="acme").session_jwt.split(".")
    forged = f"{header}.{payload[:-4]}{'A' if payload[-4] != 'A' else 'B'}{payload[-3:]}.{signature}"
    headers = {"cookie": f"DS={forged}"} if where == "cookie" else {"authorization": f"Bearer {forged}"}

    response = await env.browser().get("/me", **headers)

    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    challenge = 'Bearer error="invalid_token"' if where == "authorization" else "Bearer"
    assert response.headers["www-authenticate"] == challenge


async def test_tn01_a_user_without_tenant_gets_403_no_tenant(make_env: EnvFactory) -> None:
    """Signed in, but a route that works in a tenant has none to work in."""
    env = make_env()
    pair = env.emulator.issue("nomad@example.org")

    response = await env.browser().get("/me", authorization=f"Bearer {pair.session_jwt}")

    assert response.status_code == 403
    assert response.json()["code"] == "no_tenant"


async def test_cb06_a_refused_sign_in_shows_a_page_and_reflects_nothing(make_env: EnvFactory) -> None:
    """The user changed their mind at the identity provider: a page with a way to start again (CB-06)."""
    env = make_env()
    browser = env.browser()
    page = await browser.visit((await browser.visit("/login/sso?tenant=acme")).headers["location"])
    back = (await browser.refuse(page)).headers["location"]

    response = await browser.visit(back + "&error_description=<script>alert(1)</script>")

    assert response.status_code == 400
    assert "<script>" not in response.text
    assert "Sign in again" in response.text
    assert env.calls("exchange") == 0
    assert not [name for name in browser.names() if name.startswith("descope_login")]
