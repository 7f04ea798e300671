"""Requests of foreign pages that carry a bearer: the token counts, and the cookies beside it do not."""

import pytest
from httpx import Response

from tests.helpers.app_harness import Browser, EnvFactory

pytestmark = pytest.mark.anyio


async def _post_from_afar(browser: Browser, authorization: str) -> Response:
    """What a page of another site can make a browser send, and a header that it cannot."""
    return await browser.post(
        "/session-of",
        authorization=authorization,
        sec_fetch_site="cross-site",
        origin="https://evil.example",
    )


async def test_cs05_a_bearer_is_sent_by_nobody_but_the_caller(make_env: EnvFactory) -> None:
    """CS-05: no browser adds it by itself, so a good one needs no Origin of ours."""
    env = make_env()
    bearer = f"Bearer {env.emulator.issue('ada@acme.example', tenant='acme').session_jwt}"

    response = await _post_from_afar(env.browser(), bearer)

    assert response.status_code == 200


@pytest.mark.parametrize("authorization", ["Bearer a.b.c", "Bearer", "Basic YTpi", ""])
async def test_cs05_a_header_that_authenticates_nobody_frees_no_cookie(
    make_env: EnvFactory, authorization: str
) -> None:
    """CS-05: an Authorization header is no way around the check: the cookies are not looked at then."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)

    response = await _post_from_afar(browser, authorization)

    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert env.calls("refresh") == 0
