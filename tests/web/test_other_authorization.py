"""Authorization headers without a bearer, such as those of HTTP Basic for the whole app (KD-08)."""

import logging
from collections.abc import Callable

import pytest

from fastapi_descope._auth.credentials import Credentials
from tests.helpers.app_harness import EnvFactory

pytestmark = pytest.mark.anyio

BASIC = "Basic c3RhZ2U6Y2FuYXJ5"


async def test_browser_with_http_basic_gets_a_page_and_no_redirect(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The browser sends the header after every login too, so a redirect would loop."""
    env = make_env()
    browser = await env.signed_in_browser()

    with caplog.at_level(logging.WARNING, "fastapi_descope.events"):
        response = await browser.visit("/me", authorization=BASIC)

    assert response.status_code == 401
    assert "Authorization header (scheme: basic)" in response.text
    assert "configure the proxy to remove it" in response.text
    assert "Sign in again" not in response.text
    assert "token_rejected reason=malformed source=bearer scheme=basic" in caplog.text
    assert "c3RhZ2U6Y2FuYXJ5" not in response.text + caplog.text


async def test_script_with_http_basic_gets_a_problem_document(make_env: EnvFactory) -> None:
    """The code is that of any invalid token; the detail names the scheme."""
    response = await make_env().browser().get("/me", authorization=BASIC)

    assert response.json()["code"] == "invalid_token"
    assert "scheme: basic" in response.json()["detail"]
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_page_requested_with_an_expired_bearer_is_not_redirected(
    make_env: EnvFactory,
) -> None:
    """A login changes the cookies, which do not count with a bearer."""
    response = await make_env().browser().visit("/me", authorization="Bearer a.b.c")

    assert response.status_code == 401
    assert "Authorization header (scheme: bearer)" in response.text
    assert "Sign in again" not in response.text


async def test_public_page_ignores_the_header(make_env: EnvFactory) -> None:
    """It does not ask for the session."""
    assert (await make_env().browser().visit("/public", authorization=BASIC)).status_code == 200
    assert (await make_env().browser().visit("/maybe", authorization=BASIC)).json() == {"user": None}


@pytest.mark.parametrize("path", ["/logout", "/logout/all", "/tenant/select"])
async def test_lo06_error_of_routes_that_need_cookies_names_the_header(
    make_env: EnvFactory, path: str
) -> None:
    """It does not mention a bearer that was not sent (LO-06)."""
    browser = await make_env().signed_in_browser()

    response = await browser.post(path, {"tenant": "acme"}, authorization=BASIC)

    assert response.status_code == 400
    assert "without an Authorization header" in response.json()["detail"]
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        (b"Basic abc", "basic"),
        (b"Custom abc", "other"),
        (b"Bearer a b", "bearer"),
        (b"Bearer  a", "bearer"),
        (b"Bearer a,b", "bearer"),
        (b"Bearer a\t", "bearer"),
        (b"Bearer \xe9", "bearer"),
        (b"Bearer", "bearer"),
    ],
)
def test_kd08_malformed_bearer_is_no_token(
    read_cookies: Callable[..., Credentials], value: bytes, scheme: str
) -> None:
    """Nothing of the header is verified."""
    credentials = read_cookies([(b"authorization", value)])

    assert (credentials.bearer, credentials.scheme) == ("", scheme)


def test_kd08_two_headers_are_no_token(read_cookies: Callable[..., Credentials]) -> None:
    """Proxies and servers may differ in which of them counts."""
    assert read_cookies([(b"authorization", b"Bearer a")] * 2).bearer == ""
