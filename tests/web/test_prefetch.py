"""Prefetched pages: never for another state of the session than the real one (F-5, CA-06)."""

import pytest

from tests.helpers.app_harness import AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

CLEARED = '"prefetchCache", "prerenderCache"'
PURPOSES = [
    {"sec_purpose": "prefetch"},
    {"sec_purpose": "prefetch;prerender"},
    {"sec_purpose": "Prefetch;anonymous-client-ip"},
    {"purpose": "prefetch"},
]


async def _expired(env: AppHarness) -> Browser:
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)
    return browser


@pytest.mark.parametrize("purpose", PURPOSES, ids=str)
@pytest.mark.parametrize("path", ["/maybe", "/me"])
async def test_ca06_prefetch_that_would_need_a_refresh_is_503(
    make_env: EnvFactory, path: str, purpose: dict[str, str]
) -> None:
    """Chromium discards it, and the click of the user fetches the page again."""
    env = make_env()
    browser = await _expired(env)

    response = await browser.visit(path, **purpose)

    assert response.status_code == 503
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers
    assert env.calls("refresh") == 0
    assert (await browser.visit(path)).status_code == 200


async def test_ca06_prefetch_without_the_session_cookie_is_503_too(make_env: EnvFactory) -> None:
    """Browsers delete the session cookie when it expires."""
    env = make_env()
    refresh = env.emulator.issue("ada@acme.example", "acme").refresh_jwt

    response = await env.browser().visit("/maybe", sec_purpose="prefetch", cookie=f"DSR={refresh}")

    assert response.status_code == 503


async def test_ca06_only_the_headers_of_a_prefetch_count(make_env: EnvFactory) -> None:
    """Another header may have the word in its value."""
    browser = await _expired(make_env())

    assert (await browser.visit("/me", x_note="prefetch")).status_code == 200


async def test_ca06_prefetch_with_a_known_answer_is_served(make_env: EnvFactory) -> None:
    """A live session, no session, and a page that does not use it."""
    env = make_env()
    live, anonymous = await env.signed_in_browser(), env.browser()

    assert (await live.visit("/maybe", sec_purpose="prefetch")).json()["user"] is not None
    assert (await anonymous.visit("/maybe", sec_purpose="prefetch")).json()["user"] is None
    env.emulator.clock.advance(660)
    assert (await live.visit("/public", sec_purpose="prefetch")).status_code == 200


@pytest.mark.parametrize("path", ["/logout", "/logout/all"])
async def test_ca06_lo05_logout_discards_prefetched_pages_and_nothing_else(
    make_env: EnvFactory, path: str
) -> None:
    """They show the user who was signed in. Data of other apps on the host stay (LO-05)."""
    browser = await make_env().signed_in_browser()

    assert (await browser.post(path)).headers["clear-site-data"] == CLEARED


async def test_ca06_login_and_tenant_switch_discard_prefetched_pages(make_env: EnvFactory) -> None:
    """They show a signed-out user, or another tenant. Other responses keep them."""
    env = make_env()
    browser = env.browser()
    callback = await browser.sign_in()
    switch = await browser.post("/tenant/select", {"tenant": "acme"})
    env.emulator.clock.advance(660)
    refresh = await browser.get("/me")

    assert callback.headers["clear-site-data"] == CLEARED
    assert switch.headers["clear-site-data"] == CLEARED
    assert "set-cookie" in refresh.headers
    assert "clear-site-data" not in refresh.headers
