"""The whole truth table of cross-site requests, for the rule alone and in an app (requirements 2.7).

In the app the session token has expired and the refresh token is valid, so an allowed request causes a
refresh, and a rejected one must not.
"""

from collections.abc import Callable
from itertools import count

import pytest

from fastapi_descope._web.csrf import CrossOriginProtection
from fastapi_descope.settings import DescopeSettings
from tests.helpers.asgi_client import WireResponse
from tests.helpers.attack_target_app import AttackTargetApp, bearer, cookie, token_response
from tests.helpers.tampering import NOW, PROJECT, Forge
from tests.hostile.tables.cross_site import CASES, SAFE_METHODS, UNSAFE_METHODS, Case
from tests.hostile.tables.redirect_targets import OWN, TRUSTED
from tests.hostile.tables.tokens import valid_token

pytestmark = pytest.mark.anyio

MakeTarget = Callable[..., AttackTargetApp]
Cookies = Callable[[], tuple[bytes, bytes]]

REFUSED = (403, "cross_site_request", "no-store", 0)
FORM = (b"content-type", b"application/x-www-form-urlencoded")


@pytest.fixture(scope="module")
def cookies(forge: Forge) -> Cookies:
    """Return a function that returns the cookies of an expired session with a new refresh token."""
    ended, numbers = valid_token(forge, iat=NOW - 600, exp=NOW - 60), count()

    def build() -> tuple[bytes, bytes]:
        refresh = valid_token(forge, "DSR", exp=NOW + 86_400, jti=str(next(numbers)))
        return cookie(f"DS={ended}".encode(), f"DSR={refresh}".encode())

    return build


@pytest.fixture
def env(make_target: MakeTarget, forge: Forge) -> AttackTargetApp:
    """Return an app whose Descope refreshes, switches tenants and logs out."""
    env = make_target()
    env.scripts = dict.fromkeys(("/v1/auth/refresh", "/v1/auth/tenant/select"), token_response(forge))
    env.scripts |= {path: lambda _request: {} for path in ("/v1/auth/logout", "/v1/auth/logoutall")}
    return env


def summary(response: WireResponse) -> tuple[int, str | None, str | None, int]:
    """Return status, code, Cache-Control and the number of cookies of a response."""
    return response.status, response.code, response.one("cache-control"), len(response.all("set-cookie"))


def take_effects(env: AttackTargetApp) -> tuple[object, list[str]]:
    """Return the users of the handlers that ran, or "not run", and the calls to Descope; clear both."""
    ran, calls = [user for _, user in env.ran] or "not run", list(env.calls)
    env.ran.clear()
    env.calls.clear()
    return ran, calls


@pytest.mark.parametrize("method", [*UNSAFE_METHODS, "post", *SAFE_METHODS])
def test_cs01_cs04_the_rule(method: str) -> None:
    """Own and trusted origins, clients other than browsers, and safe methods are allowed."""
    settings = DescopeSettings(project_id=PROJECT, public_url=OWN, trusted_origins=(TRUSTED,))
    protection, host = CrossOriginProtection(settings), (b"host", b"app.example.com")
    scope = {"type": "http", "scheme": "https", "method": method}
    results = {case: protection.is_allowed({**scope, "headers": [host, *case.headers]}) for case in CASES}
    assert results == {case: case.is_allowed or method in SAFE_METHODS for case in CASES}


@pytest.mark.parametrize("method", UNSAFE_METHODS)
async def test_cs01_cs09_an_unsafe_request_with_cookies(
    env: AttackTargetApp, cookies: Cookies, method: str
) -> None:
    """A rejected request is 403, without handler and refresh. An allowed one causes both, once."""
    results: dict[Case, object] = {}
    for case in CASES:
        response = await env.request("/maybe", *case.headers, cookies(), method=method)
        results[case] = (summary(response), *take_effects(env))

    allowed = ((200, None, "private, no-store", 2), ["U2forge"], ["/v1/auth/refresh"])
    assert results == {case: allowed if case.is_allowed else (REFUSED, "not run", []) for case in CASES}


@pytest.mark.parametrize(("method", "cookies_set"), [("GET", 2), ("HEAD", 2), ("OPTIONS", 0)])
async def test_cs10_a_safe_request_with_cookies(
    env: AttackTargetApp, cookies: Cookies, method: str, cookies_set: int
) -> None:
    """It is allowed from every origin. A preflight causes no refresh."""
    renewed, anonymous = (["U2forge"], ["/v1/auth/refresh"]), ([None], list[str]())
    for case in CASES:
        response = await env.request("/maybe", *case.headers, cookies(), method=method)
        assert (response.status, len(response.all("set-cookie"))) == (200, cookies_set), case
        assert take_effects(env) == (renewed if cookies_set else anonymous), case


@pytest.mark.parametrize("method", [*UNSAFE_METHODS, *SAFE_METHODS])
async def test_cs05_a_bearer_token_is_exempt(
    env: AttackTargetApp, forge: Forge, cookies: Cookies, method: str
) -> None:
    """No browser sends it automatically. With an invalid bearer token the cookies do not count."""
    authentic, forged = bearer(valid_token(forge).encode()), bearer(b"a.b.c")
    for case in CASES:
        for headers, user in (
            ((authentic,), "U2forge"),
            ((authentic, cookies()), "U2forge"),
            ((forged, cookies()), None),
            ((), None),
        ):
            response = await env.request("/maybe", *case.headers, *headers, method=method)
            assert (response.status, response.all("set-cookie")) == (200, []), case
            assert take_effects(env) == ([user], []), case


@pytest.mark.parametrize(
    ("path", "call", "status"),
    [
        ("/logout", "/v1/auth/logout", 204),
        ("/logout/all", "/v1/auth/logoutall", 204),
        ("/tenant/select", "/v1/auth/tenant/select", 200),
    ],
)
async def test_cs01_cs08_the_plugins_own_routes(
    env: AttackTargetApp, cookies: Cookies, path: str, call: str, status: int
) -> None:
    """Logout and tenant switch are rejected before any call to Descope."""
    results: dict[Case, object] = {}
    for case in CASES:
        response = await env.request(path, *case.headers, cookies(), FORM, method="POST", body=b"tenant=T1")
        results[case] = (summary(response), env.calls.copy())
        env.calls.clear()

    allowed = ((status, None, "private, no-store", 2), [call])
    assert results == {case: allowed if case.is_allowed else (REFUSED, []) for case in CASES}


@pytest.mark.parametrize(
    ("path", "by_bearer", "anonymous"), [("/logout", 400, 204), ("/tenant/select", 400, 401)]
)
async def test_cs01_the_plugins_own_routes_check_the_origin_first(
    env: AttackTargetApp, forge: Forge, path: str, by_bearer: int, anonymous: int
) -> None:
    """A foreign page does not learn whether the user is signed in."""
    for headers, status in (((bearer(valid_token(forge).encode()),), by_bearer), ((), anonymous)):
        for case in CASES:
            response = await env.request(
                path, *case.headers, *headers, FORM, method="POST", body=b"tenant=T1"
            )
            assert response.status == (status if case.is_allowed else 403), case
    assert env.calls == []


@pytest.mark.parametrize("path", ["/logout", "/logout/all", "/tenant/select"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_cs08_only_post_has_effects(
    env: AttackTargetApp, cookies: Cookies, path: str, method: str
) -> None:
    """Other methods are 405, also from the app's own pages."""
    response = await env.request(path, (b"sec-fetch-site", b"same-origin"), cookies(), method=method)
    assert (response.status, response.all("set-cookie"), env.calls) == (405, [], [])
