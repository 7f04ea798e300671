"""An app without DESCOPE_PUBLIC_URL behind nginx on the same host (ST-03, CK-05)."""

import logging
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running
from tests.helpers.app_harness import add_routes
from tests.helpers.emulator import signing_key
from tests.helpers.live_server import listening, serve_app
from tests.helpers.nginx import nginx_in_front_of

NGINX = {
    "bare proxy_pass": (),
    "X-Forwarded-Proto": ("proxy_http_version 1.1;", "proxy_set_header X-Forwarded-Proto https;"),
    "X-Real-IP": ("proxy_http_version 1.1;", "proxy_set_header X-Real-IP $remote_addr;"),
    "Host": ("proxy_http_version 1.1;", "proxy_set_header Host app.example.com;"),
}
"""Directives of nginx. Without any, it sends HTTP/1.0 and the Host of the app's own address."""


@pytest.fixture
def served() -> Generator[tuple[str, Emulator]]:
    """Serve an app without a public URL, and its emulator."""
    with ExitStack() as stack:
        emulator = Emulator(signing_key=signing_key())
        base_url = stack.enter_context(running(emulator))
        listener, url = stack.enter_context(listening())
        app = FastAPI()
        settings = DescopeSettings(project_id=emulator.project_id, base_url=base_url)
        Descope(app, settings=settings, clock=emulator.clock)
        add_routes(app)
        stack.enter_context(serve_app(app, listener))
        yield url, emulator


@pytest.fixture(params=NGINX.values(), ids=list(NGINX))
def proxied(
    served: tuple[str, Emulator], request: pytest.FixtureRequest, tmp_path: Path
) -> Generator[tuple[str, Emulator]]:
    """Serve the same app behind nginx."""
    url, emulator = served
    directives: tuple[str, ...] = request.param
    with nginx_in_front_of(url, tmp_path, *directives) as proxy:
        yield proxy, emulator


def _refreshed_cookies(url: str, emulator: Emulator) -> list[str]:
    """Return the ``Set-Cookie`` values of a request whose session has expired."""
    pair = emulator.issue("ada@acme.example", tenant="acme", session_seconds=-60)
    header = f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"
    response = httpx.get(f"{url}/me", headers={"cookie": header})
    assert response.status_code == 200
    return response.headers.get_list("set-cookie")


def test_ck05_cookies_are_secure_behind_nginx(proxied: tuple[str, Emulator]) -> None:
    """The browser may have reached nginx over https, and the app cannot know it."""
    cookies = _refreshed_cookies(*proxied)
    assert len(cookies) == 2
    assert all(cookie.endswith("; Secure") for cookie in cookies)


def test_st03_login_behind_nginx_needs_the_public_url(
    proxied: tuple[str, Emulator], caplog: pytest.LogCaptureFixture
) -> None:
    """The callback URL would be an address of this machine. The log names the variable, the page does not."""
    caplog.set_level(logging.ERROR)
    url, emulator = proxied

    response = httpx.get(f"{url}/login/sso?tenant=acme", headers={"sec-fetch-mode": "navigate"})

    assert response.status_code == 500
    assert "DESCOPE_PUBLIC_URL" not in response.text
    assert "Set DESCOPE_PUBLIC_URL" in caplog.text
    assert emulator.requests.count("authorize") == 0


def test_direct_requests_need_no_public_url(served: tuple[str, Emulator]) -> None:
    """A developer on this machine signs in over http, with cookies that are not Secure."""
    url, emulator = served

    login = httpx.get(f"{url}/login/sso?tenant=acme", headers={"sec-fetch-mode": "navigate"})

    assert login.status_code == 303
    assert not any("Secure" in cookie for cookie in _refreshed_cookies(url, emulator))
