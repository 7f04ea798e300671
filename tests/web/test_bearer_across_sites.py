"""Cross-site requests with a bearer: the token counts, and the cookies do not."""

import pytest
from httpx import Response

from tests.helpers.app_harness import Browser, EnvFactory

pytestmark = pytest.mark.anyio


async def _cross_site_post(browser: Browser, authorization: str) -> Response:
    """Send a request that a page of another site can cause, with a header that it cannot set."""
    return await browser.post(
        "/session-of",
        authorization=authorization,
        sec_fetch_site="cross-site",
        origin="https://evil.example",
    )


async def test_cs05_bearer_needs_no_origin(make_env: EnvFactory) -> None:
    """CS-05: no browser adds it by itself, so a valid one needs no Origin of ours."""
    env = make_env()
    bearer = f"Bearer {env.emulator.issue('ada@acme.example', tenant='acme').session_jwt}"

    response = await _cross_site_post(env.browser(), bearer)

    assert response.status_code == 200


@pytest.mark.parametrize("authorization", ["Bearer a.b.c", "Bearer", "Basic YTpi", ""])
async def test_cs05_invalid_authorization_does_not_make_cookies_count(
    make_env: EnvFactory, authorization: str
) -> None:
    """CS-05: an Authorization header does not bypass the check, because cookies do not count then."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    response = await _cross_site_post(browser, authorization)

    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert env.calls("refresh") == 0
