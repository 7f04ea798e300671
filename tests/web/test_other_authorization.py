"""HTTP Basic in front of the app, and whatever else is an Authorization header without a bearer (KD-08)."""

import logging

import pytest

from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio

BASIC = "Basic c3RhZ2U6Y2FuYXJ5"


async def test_a_person_behind_a_password_reads_why_and_is_not_sent_around(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The header comes along after every sign-in: a redirect to it would never end."""
    env = make_env()
    browser = await env.signed_in_browser()

    with caplog.at_level(logging.WARNING, "fastapi_descope.events"):
        response = await browser.visit("/me", authorization=BASIC)

    assert response.status_code == 401
    assert "Authorization header (scheme: basic)" in response.text
    assert "configure the proxy to remove it" in response.text
    assert "token_rejected reason=malformed source=bearer scheme=basic" in caplog.text
    assert "c3RhZ2U6Y2FuYXJ5" not in response.text + caplog.text


async def test_a_program_reads_it_too(make_env: EnvFactory) -> None:
    """The code is that of any bad token; the detail tells it apart."""
    response = await make_env().browser().get("/me", authorization=BASIC)

    assert response.json()["code"] == "invalid_token"
    assert "scheme: basic" in response.json()["detail"]
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_a_page_that_is_asked_for_with_a_dead_bearer_is_not_sent_around(
    make_env: EnvFactory,
) -> None:
    """The same holds for a bearer: a sign-in changes the cookies, which do not count beside it."""
    response = await make_env().browser().visit("/me", authorization="Bearer a.b.c")

    assert response.status_code == 401


async def test_a_public_page_stays_public(make_env: EnvFactory) -> None:
    """Where nobody asks who is there, nobody minds the header."""
    assert (await make_env().browser().visit("/public", authorization=BASIC)).status_code == 200
    assert (await make_env().browser().visit("/maybe", authorization=BASIC)).json() == {"user": None}


@pytest.mark.parametrize("path", ["/logout", "/logout/all", "/tenant/select"])
async def test_lo06_what_needs_the_cookies_says_so(make_env: EnvFactory, path: str) -> None:
    """It speaks of the header that is there, not of a bearer that nobody sent (LO-06)."""
    browser = await make_env().signed_in_browser()

    response = await browser.post(path, {"tenant": "acme"}, authorization=BASIC)

    assert response.status_code == 400
    assert "without an Authorization header" in response.json()["detail"]
    assert "set-cookie" not in response.headers
