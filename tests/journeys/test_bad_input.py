"""Invalid requests and configurations: each gets its own response, and none is a 500."""

import httpx
import pytest

from fastapi_descope import ConfigurationError, Descope
from fastapi_descope.events import LoginFailed
from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio


def test_missing_project_id_is_a_configuration_error_that_names_the_variable() -> None:
    """The most common mistake of a first installation."""
    with pytest.raises(ConfigurationError, match="DESCOPE_PROJECT_ID"):
        Descope()


@pytest.mark.parametrize(
    "query",
    ["", "?code=good&state=", "?code=good&state=x", "?code=good&state=" + "A" * 43],
)
async def test_cb01_callback_without_its_state_is_rejected(make_env: EnvFactory, query: str) -> None:
    """A 400 with a page that offers a new login. No call is made, and no cookie is set."""
    env = make_env()

    response = await env.browser().visit("/callback" + query)

    assert response.status_code == 400
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert '<a href="/login/sso">Sign in again</a>' in response.text
    assert "set-cookie" not in response.headers
    assert list(env.emulator.requests) == []
    assert env.events[-1] == LoginFailed("state")


@pytest.mark.parametrize("state", [None, "A" * 43])
async def test_cb01_state_must_be_that_of_a_login_in_progress(
    make_env: EnvFactory, state: str | None
) -> None:
    """A login in progress does not make another callback acceptable."""
    env = make_env()
    browser = env.browser()
    callback = httpx.URL(await browser.open_callback()).copy_remove_param("state")

    response = await browser.visit(str(callback.copy_set_param("state", state) if state else callback))

    assert response.status_code == 400
    assert "DS" not in browser.names()
    assert env.calls("exchange") == 0


async def test_cb02_callback_from_another_browser_is_rejected(make_env: EnvFactory) -> None:
    """The code and state of an attacker do not log a victim in (CB-02)."""
    env = make_env()
    callback = await env.browser().open_callback()

    response = await env.browser().visit(callback)

    assert response.status_code == 400
    assert "set-cookie" not in response.headers
    assert env.calls("exchange") == 0


async def test_login_during_an_outage_is_503_with_a_page(make_env: EnvFactory) -> None:
    """The page gives the reason, and the response a ``Retry-After``."""
    env = make_env()
    env.emulator.faults.add("authorize", status=500)

    response = await env.browser().visit("/login/sso?tenant=acme")

    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["cache-control"] == "no-store"
    assert "cannot be reached" in response.text
    assert '<a href="">Try again</a>' in response.text
    assert "set-cookie" not in response.headers


async def test_expired_session_during_an_outage_is_503_and_keeps_the_cookies(
    make_env: EnvFactory,
) -> None:
    """The session continues when Descope is available again."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", status=503)

    during = await browser.get("/session-of")
    after = await browser.get("/session-of")

    assert during.status_code == 503
    assert during.json()["code"] == "upstream_unavailable"
    assert during.headers["retry-after"] == "5"
    assert "set-cookie" not in during.headers
    assert after.status_code == 200


async def test_kd01_refresh_token_in_the_session_cookie_is_401(make_env: EnvFactory) -> None:
    """A token that is valid for weeks is not accepted as a session token."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example", tenant="acme")

    response = await env.browser().get("/me", cookie=f"DS={pair.refresh_jwt}")

    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("location", ["cookie", "authorization"])
async def test_tampered_token_is_401(make_env: EnvFactory, location: str) -> None:
    """One changed character of the payload, in a cookie or a bearer token."""
    env = make_env()
    header, payload, signature = env.emulator.issue("ada@acme.example", tenant="acme").session_jwt.split(".")
    forged = f"{header}.{payload[:-4]}{'A' if payload[-4] != 'A' else 'B'}{payload[-3:]}.{signature}"
    headers = {"cookie": f"DS={forged}"} if location == "cookie" else {"authorization": f"Bearer {forged}"}

    response = await env.browser().get("/me", **headers)

    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    challenge = 'Bearer error="invalid_token"' if location == "authorization" else "Bearer"
    assert response.headers["www-authenticate"] == challenge


async def test_tn01_user_without_tenant_gets_403_no_tenant(make_env: EnvFactory) -> None:
    """The user is authenticated, but the route needs a current tenant."""
    env = make_env()
    pair = env.emulator.issue("nomad@example.org")

    response = await env.browser().get("/me", authorization=f"Bearer {pair.session_jwt}")

    assert response.status_code == 403
    assert response.json()["code"] == "no_tenant"


@pytest.mark.parametrize(
    ("old", "new"), [("code=", "code=canary%0a"), ("state=", "state=canary"), ("state=", "kanary=")]
)
async def test_cb06_invalid_callback_shows_a_page_and_reflects_nothing(
    make_env: EnvFactory, old: str, new: str
) -> None:
    """Neither its code nor its state is on the page."""
    browser = make_env().browser()
    callback = (await browser.open_callback()).replace(old, new)

    response = await browser.visit(callback)

    assert response.status_code == 400
    assert not [value for value in httpx.URL(callback).params.values() if value in response.text]
    assert "canary" not in response.text


async def test_cb06_rejected_login_shows_a_page_and_reflects_nothing(make_env: EnvFactory) -> None:
    """The user cancelled at the identity provider. The page offers a new login (CB-06)."""
    env = make_env()
    browser = env.browser()
    page = await browser.visit((await browser.visit("/login/sso?tenant=acme")).headers["location"])
    callback = (await browser.refuse(page)).headers["location"]

    response = await browser.visit(callback + "&error_description=<script>canary</script>")

    assert response.status_code == 400
    assert "canary" not in response.text
    assert "Sign in again" in response.text
    assert env.calls("exchange") == 0
    assert not [name for name in browser.names() if name.startswith("descope_login")]
