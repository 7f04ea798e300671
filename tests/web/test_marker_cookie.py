"""The cookie that marks a browser for a minute."""

import pytest

from fastapi_descope import DescopeSettings
from fastapi_descope._web.cookies import SessionCookies
from fastapi_descope._web.marker_cookie import MarkerCookie
from tests.helpers.scopes import scope_of

PROJECT = "P2" + "m" * 26
PAST = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"


@pytest.fixture
def marker() -> MarkerCookie:
    """A marker of an app without a public URL, where the scheme of each request decides."""
    return MarkerCookie("mark", SessionCookies(DescopeSettings(project_id=PROJECT)))


def test_ck01_marker_is_a_host_cookie_over_https(marker: MarkerCookie) -> None:
    """A sibling domain cannot set it."""
    scope = scope_of("app.example.com", cookie="mark=plain; __Host-mark=prefixed")

    assert marker.values(scope) == [b"prefixed"]
    assert marker.set(scope, "value") == [
        b"__Host-mark=value; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"
    ]
    assert marker.delete(scope) == [f"__Host-mark=; {PAST}; Secure".encode()]


def test_ck01_marker_has_no_prefix_over_plain_http(marker: MarkerCookie) -> None:
    """A browser would reject a prefix without ``Secure``."""
    scope = scope_of("127.0.0.1:8000", scheme="http", cookie="mark=plain; __Host-mark=prefixed")

    assert marker.values(scope) == [b"plain"]
    assert marker.set(scope, "value") == [b"mark=value; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"]
    assert marker.delete(scope) == [f"mark=; {PAST}".encode()]
