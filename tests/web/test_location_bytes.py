"""The ``Location`` header of the callback, byte by byte."""

from base64 import urlsafe_b64encode

import pytest

from tests.helpers.app_harness import Browser, EnvFactory

pytestmark = pytest.mark.anyio

# Starlette's RedirectResponse sends each of them unchanged.
HOSTILE = [
    "//evil.example",
    "/..//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "/%2f/evil.example",
    "/x\r\nSet-Cookie: DS=evil",
    "/\t/evil.example",
]


def _location(headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [value for name, value in headers if name.lower() == b"location"]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_rt15_location_is_the_landing_path(make_env: EnvFactory, hostile: str) -> None:
    """RT-15: there is one Location, and it contains nothing of the requested target."""
    response = await make_env(post_login_path="/home").browser().sign_in(return_to=hostile)

    assert response.status_code == 303
    assert _location(response.headers.raw) == [b"/home"]


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_cb10_rt15_target_planted_in_the_cookie_is_not_followed(
    make_env: EnvFactory, hostile: str
) -> None:
    """CB-10, RT-15: the stored target is checked again, because the browser had the cookie in between."""
    browser = make_env(post_login_path="/home").browser()
    callback = await browser.open_callback(return_to="/reports")
    _plant(browser, hostile)

    response = await browser.visit(callback)

    assert response.status_code == 303
    assert _location(response.headers.raw) == [b"/home"]


async def test_rt15_safe_path_arrives_byte_for_byte(make_env: EnvFactory) -> None:
    """RT-15: neither the check nor the response rewrites it."""
    target = "/reports/2026;v=1?q=a%20b&next=//x#top"

    response = await make_env().browser().sign_in(return_to=target)

    assert _location(response.headers.raw) == [target.encode()]


def _plant(browser: Browser, target: str) -> None:
    """Put another target into the cookie of the pending login."""
    (cookie,) = [cookie for cookie in browser.http.cookies.jar if cookie.name.startswith("descope_login_")]
    parts = (cookie.value or "").split(".")
    parts[4] = urlsafe_b64encode(target.encode()).rstrip(b"=").decode()
    cookie.value = ".".join(parts)
