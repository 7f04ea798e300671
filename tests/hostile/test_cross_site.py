"""The whole truth table of cross-site requests, by the rule alone and through the app (requirements 2.7).

In the app the session cookie is over and the refresh cookie good, so that a request which passes shows it
by a refresh, and one that is refused must not cause any.
"""

from collections.abc import Callable
from itertools import count

import pytest

from fastapi_descope._web.csrf import CrossOriginProtection
from fastapi_descope.settings import DescopeSettings
from tests.helpers.asgi_client import WireResponse
from tests.helpers.attack_target_app import AttackTargetApp, bearer, cookie, tokens_answer
from tests.helpers.tampering import NOW, PROJECT, Forge
from tests.hostile.tables.cross_site import CASES, SAFE_METHODS, UNSAFE_METHODS, Case
from tests.hostile.tables.redirect_targets import OWN, TRUSTED
from tests.hostile.tables.tokens import good

pytestmark = pytest.mark.anyio

Besieged = Callable[..., AttackTargetApp]
Cookies = Callable[[], tuple[bytes, bytes]]

REFUSED = (403, "cross_site_request", "no-store", 0)
FORM = (b"content-type", b"application/x-www-form-urlencoded")


@pytest.fixture(scope="module")
def cookies(forge: Forge) -> Cookies:
    """Gives the cookies of a session that has ended and of a refresh token that nobody has used yet."""
    ended, numbers = good(forge, iat=NOW - 600, exp=NOW - 60), count()

    def build() -> tuple[bytes, bytes]:
        refresh = good(forge, "DSR", exp=NOW + 86_400, jti=str(next(numbers)))
        return cookie(f"DS={ended}".encode(), f"DSR={refresh}".encode())

    return build


@pytest.fixture
def env(besieged: Besieged, forge: Forge) -> AttackTargetApp:
    """An app whose Descope gives tokens when asked to refresh or to switch, and lets everybody go."""
    env = besieged()
    env.scripts = dict.fromkeys(("/v1/auth/refresh", "/v1/auth/tenant/select"), tokens_answer(forge))
    env.scripts |= {path: lambda _request: {} for path in ("/v1/auth/logout", "/v1/auth/logoutall")}
    return env


def told(response: WireResponse) -> tuple[int, str | None, str | None, int]:
    """Status, code, caching and the number of cookies of an answer."""
    return response.status, response.code, response.one("cache-control"), len(response.all("set-cookie"))


def outcome(env: AttackTargetApp) -> tuple[object, list[str]]:
    """The user that the handler saw, or "not run", and the calls; both forgotten afterwards."""
    ran, calls = [user for _, user in env.ran] or "not run", list(env.calls)
    env.ran.clear()
    env.calls.clear()
    return ran, calls


@pytest.mark.parametrize("method", [*UNSAFE_METHODS, "post", *SAFE_METHODS])
def test_cs01_cs04_the_rule(method: str) -> None:
    """Own pages, trusted origins and no browser at all pass; a safe method always does."""
    settings = DescopeSettings(project_id=PROJECT, public_url=OWN, trusted_origins=(TRUSTED,))
    protection, host = CrossOriginProtection(settings), (b"host", b"app.example.com")
    scope = {"type": "http", "scheme": "https", "method": method}
    verdicts = {case: protection.is_allowed({**scope, "headers": [host, *case.headers]}) for case in CASES}
    assert verdicts == {case: case.passes or method in SAFE_METHODS for case in CASES}


@pytest.mark.parametrize("method", UNSAFE_METHODS)
async def test_cs01_cs09_an_unsafe_request_with_cookies(
    env: AttackTargetApp, cookies: Cookies, method: str
) -> None:
    """Refused: 403, the handler is not run and no refresh is started. Passed: both happen, once."""
    found: dict[Case, object] = {}
    for case in CASES:
        response = await env.ask("/maybe", *case.headers, cookies(), method=method)
        found[case] = (told(response), *outcome(env))

    passed = ((200, None, "private, no-store", 2), ["U2forge"], ["/v1/auth/refresh"])
    assert found == {case: passed if case.passes else (REFUSED, "not run", []) for case in CASES}


@pytest.mark.parametrize(("method", "cookies_set"), [("GET", 2), ("HEAD", 2), ("OPTIONS", 0)])
async def test_cs10_a_safe_request_with_cookies(
    env: AttackTargetApp, cookies: Cookies, method: str, cookies_set: int
) -> None:
    """Wherever it comes from it passes; a preflight moves nothing."""
    renewed, nobody = (["U2forge"], ["/v1/auth/refresh"]), ([None], list[str]())
    for case in CASES:
        response = await env.ask("/maybe", *case.headers, cookies(), method=method)
        assert (response.status, len(response.all("set-cookie"))) == (200, cookies_set), case
        assert outcome(env) == (renewed if cookies_set else nobody), case


@pytest.mark.parametrize("method", [*UNSAFE_METHODS, *SAFE_METHODS])
async def test_cs05_a_bearer_is_exempt_because_no_browser_sends_it_by_itself(
    env: AttackTargetApp, forge: Forge, cookies: Cookies, method: str
) -> None:
    """With cookies beside it or not; and a bad bearer is nobody, whatever the cookies beside it are."""
    authentic, forged = bearer(good(forge).encode()), bearer(b"a.b.c")
    for case in CASES:
        for headers, user in (
            ((authentic,), "U2forge"),
            ((authentic, cookies()), "U2forge"),
            ((forged, cookies()), None),
            ((), None),
        ):
            response = await env.ask("/maybe", *case.headers, *headers, method=method)
            assert (response.status, response.all("set-cookie")) == (200, []), case
            assert outcome(env) == ([user], []), case


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
    """Signing out and switching are effects as well: refused before Descope hears of them."""
    found: dict[Case, object] = {}
    for case in CASES:
        response = await env.ask(path, *case.headers, cookies(), FORM, method="POST", body=b"tenant=T1")
        found[case] = (told(response), env.calls.copy())
        env.calls.clear()

    passed = ((status, None, "private, no-store", 2), [call])
    assert found == {case: passed if case.passes else (REFUSED, []) for case in CASES}


@pytest.mark.parametrize(
    ("path", "by_bearer", "by_nobody"), [("/logout", 400, 204), ("/tenant/select", 400, 401)]
)
async def test_cs01_the_plugins_own_routes_refuse_foreign_pages_first(
    env: AttackTargetApp, forge: Forge, path: str, by_bearer: int, by_nobody: int
) -> None:
    """Whoever asks: a foreign page learns nothing of who is signed in."""
    for headers, status in (((bearer(good(forge).encode()),), by_bearer), ((), by_nobody)):
        for case in CASES:
            response = await env.ask(path, *case.headers, *headers, FORM, method="POST", body=b"tenant=T1")
            assert response.status == (status if case.passes else 403), case
    assert env.calls == []


@pytest.mark.parametrize("path", ["/logout", "/logout/all", "/tenant/select"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_cs08_effects_are_for_post_alone(
    env: AttackTargetApp, cookies: Cookies, path: str, method: str
) -> None:
    """405 without effect, from our own page too."""
    response = await env.ask(path, (b"sec-fetch-site", b"same-origin"), cookies(), method=method)
    assert (response.status, response.all("set-cookie"), env.calls) == (405, [], [])
