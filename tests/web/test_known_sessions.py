"""Known sessions: which requests are looked up, and for how long a result counts (TV-20)."""

import asyncio

import httpx
import pytest
from starlette.types import Scope

from fastapi_descope import AuthSession, Forbidden
from fastapi_descope._web.credentials import TokenCookie
from fastapi_descope._web.known_sessions import KnownSessions
from fastapi_descope.emulator import Clock, Emulator, JwtPair, SigningKey
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.emulator import signing_key
from tests.helpers.event_loop import in_virtual_time
from tests.web.conftest import NOW

pytestmark = pytest.mark.anyio


@pytest.fixture
async def env(make_env: EnvFactory) -> AppHarness:
    """Build an app with room for two sessions. Its clock stands still until a test moves it."""
    return await _start(make_env, token_cache_size=2)


async def _start(make_env: EnvFactory, **settings: object) -> AppHarness:
    emulator = Emulator(clock=Clock(lambda: NOW), signing_key=signing_key())
    env = make_env(emulator=emulator, **settings)
    token = emulator.issue("hank@globex.example", tenant="globex").session_jwt
    await env.browser().get("/session-of", authorization=f"Bearer {token}")  # fetches the keys
    return env


def _known(env: AppHarness) -> KnownSessions:
    return env.descope.middleware_parts.request_auth.known_sessions


def _scope(*headers: tuple[str, str]) -> Scope:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return {"type": "http", "method": "GET", "headers": raw}


def _cookie(pair: JwtPair) -> str:
    return f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}"


async def _visit(env: AppHarness, cookie: str, status: int = 200, **headers: str) -> None:
    response = await env.browser().get("/session-of", cookie=cookie, **headers)
    assert response.status_code == status


async def _issue(env: AppHarness, session_seconds: int | None = None) -> JwtPair:
    """Return the tokens of a new session whose cookies the app has seen."""
    pair = env.emulator.issue("ada@acme.example", tenant="acme", session_seconds=session_seconds)
    await _visit(env, _cookie(pair))
    return pair


async def test_a_session_is_known_after_its_first_request(env: AppHarness) -> None:
    """The look-up returns the session of a request with the same credentials, byte by byte."""
    pair = env.emulator.issue("ada@acme.example", tenant="acme")
    jar = f"theme=dark; {_cookie(pair)} ;DSX=1"
    assert _known(env).find(_scope(("cookie", jar))) is None

    await _visit(env, jar)

    result = _known(env).find(_scope(("accept", "*/*"), ("cookie", jar)))
    assert result is not None
    assert result.session is not None
    assert result.session.tenant_id == "acme"


async def test_cookies_in_several_headers_are_known_too(env: AppHarness) -> None:
    """HTTP/2 splits them. The reader joins them with a semicolon."""
    pair = await _issue(env)
    split = _scope(("cookie", f"DS={pair.session_jwt}"), ("cookie", f" DSR={pair.refresh_jwt}"))

    assert _known(env).find(split) is not None


async def test_bearer_is_known_until_it_expires(env: AppHarness) -> None:
    """The cookies that come with it do not count, and are part of the key."""
    token = env.emulator.issue("ada@acme.example", tenant="acme", session_seconds=300).session_jwt
    bearer = ("authorization", f"Bearer {token}")
    response = await env.browser().get("/session-of", authorization=bearer[1])
    assert response.status_code == 200

    assert _known(env).find(_scope(bearer)) is not None
    assert _known(env).find(_scope(bearer, ("cookie", "a=b"))) is None
    assert _known(env).find(_scope(bearer, bearer)) is None
    assert _known(env).find(_scope(("cookie", bearer[1]))) is None
    env.emulator.clock.advance(300)
    assert _known(env).find(_scope(bearer)) is None


async def test_session_in_chunks_is_known(env: AppHarness) -> None:
    """Large tokens cost the most to read."""
    pair = env.emulator.issue("ada@acme.example", tenant="acme", claims={"bulk": "x" * 3_000})
    chunks = TokenCookie("DS").split(pair.session_jwt)
    jar = "; ".join(f"{name}={value}" for name, value in chunks.items())
    await _visit(env, jar)

    assert len(chunks) == 2
    assert _known(env).find(_scope(("cookie", jar))) is not None


async def test_tv20_stray_chunk_and_marker_of_a_login_are_not_remembered(env: AppHarness) -> None:
    """The former is reported each time, and the latter is deleted by the response."""
    pair = env.emulator.issue("ada@acme.example", tenant="acme")
    for other in ("DS.3=x", "descope_asked=x"):
        jar = f"{_cookie(pair)}; {other}"
        await _visit(env, jar)
        assert _known(env).find(_scope(("cookie", jar))) is None


async def test_tv20_hashing_is_bounded(env: AppHarness) -> None:
    """More bytes than most servers accept take the full path, which is cheaper for them."""
    jar = _cookie(env.emulator.issue("ada@acme.example", tenant="acme")) + "; a="
    largest = jar + "b" * (16_384 - len(jar))
    for each in (largest, largest + "b"):
        await _visit(env, each)

    assert _known(env).find(_scope(("cookie", largest))) is not None
    assert _known(env).find(_scope(("cookie", largest + "b"))) is None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("cookie", "DS={session}")], id="without the refresh cookie"),
        pytest.param([("cookie", "DSR={refresh}")], id="without the session cookie"),
        pytest.param([("cookie", "DS={refresh}; DSR={session}")], id="exchanged"),
        pytest.param([("cookie", "{both}; DS={session}")], id="one of them twice"),
        pytest.param([("cookie", "{both}; DS=")], id="and an empty one"),
        pytest.param([("cookie", "{both}"), ("cookie", "DSR={refresh}")], id="twice in two headers"),
        pytest.param([("cookie", "{both}; DS.0=x")], id="and a chunk"),
        pytest.param([("cookie", "{both}; DSR.3=x")], id="and a chunk of the refresh token"),
        pytest.param([("cookie", "{both}; descope_asked=x")], id="and the marker of a login"),
        pytest.param([("cookie", "{both}; __Host-descope_asked=x")], id="and the marker over https"),
        pytest.param([("cookie", "{both}x")], id="with another byte"),
        pytest.param([("cookie", "{both}"), ("authorization", "")], id="with an Authorization header"),
        pytest.param([("cookie", "{both}"), ("purpose", "prefetch")], id="prefetch"),
        pytest.param([("cookie", "{both}"), ("sec-purpose", "prefetch")], id="prefetch of a browser"),
        pytest.param([("cookie", "{both}"), ("x-sec-purpose", "prefetch")], id="prefetch of Turbo"),
        pytest.param([("cookie", "{both}; a=" + "a" * 65_536)], id="too long"),
        pytest.param([("cookie", "{both}" + ";" * 1_000)], id="too many"),
        pytest.param([], id="no cookies"),
    ],
)
async def test_tv20_any_other_request_is_not_looked_up(
    env: AppHarness, headers: list[tuple[str, str]]
) -> None:
    """One other byte in the credentials is enough, and so is a header that authentication looks at."""
    pair = await _issue(env)
    values = {"session": pair.session_jwt, "refresh": pair.refresh_jwt, "both": _cookie(pair)}
    scope = _scope(*[(name, value.format(**values)) for name, value in headers])

    assert _known(env).find(_scope(("cookie", _cookie(pair)))) is not None
    assert _known(env).find(scope) is None


async def test_tv20_session_cookie_alone_is_known_until_it_expires(env: AppHarness) -> None:
    """The leeway is left to the full authentication."""
    pair = env.emulator.issue("ada@acme.example", tenant="acme", session_seconds=300)
    await _visit(env, f"DS={pair.session_jwt}")
    scope = _scope(("cookie", f"DS={pair.session_jwt}"))

    env.emulator.clock.advance(299)
    assert _known(env).find(scope) is not None
    env.emulator.clock.advance(1)
    assert _known(env).find(scope) is None


async def test_rf10_session_is_unknown_when_its_refresh_is_due(env: AppHarness) -> None:
    """About a minute before the expiry. The request that comes then refreshes."""
    pair = await _issue(env, session_seconds=600)
    scope = _scope(("cookie", _cookie(pair)))

    env.emulator.clock.advance(530)
    assert _known(env).find(scope) is not None
    env.emulator.clock.advance(20)
    assert _known(env).find(scope) is None
    await _visit(env, _cookie(pair))
    assert env.calls("refresh") == 1


async def test_jw01_no_session_is_known_after_a_change_of_the_keys(env: AppHarness) -> None:
    """The key that signed the token is withdrawn: the next request after the fetch is refused."""
    pair = await _issue(env, session_seconds=3_600)
    env.emulator.rotate_keys(keep_old=False)
    env.emulator.clock.advance(601)
    assert _known(env).find(_scope(("cookie", _cookie(pair)))) is None, "a fetch is due"
    await _visit(env, _cookie(pair))
    other = env.emulator.issue("hank@globex.example", tenant="globex")
    await _visit(env, _cookie(other))

    assert _known(env).find(_scope(("cookie", _cookie(pair)))) is None
    await _visit(env, f"DS={pair.session_jwt}", status=401)


@in_virtual_time
async def test_jw01_session_verified_under_former_keys_does_not_become_known(env: AppHarness) -> None:
    """The keys change while a hook decides about the session."""
    called, decided = asyncio.Event(), asyncio.Event()

    @env.descope.on_session
    async def admit(session: AuthSession) -> None:
        if session.tenant_id == "acme":
            called.set()
            await decided.wait()

    pair = env.emulator.issue("ada@acme.example", tenant="acme", session_seconds=3_600)
    visit = asyncio.create_task(_visit(env, _cookie(pair)))
    await called.wait()
    env.emulator.rotate_keys(keep_old=False)
    env.emulator.clock.advance(30)
    await _visit(env, f"DS={env.emulator.issue('hank@globex.example', tenant='globex').session_jwt}")
    decided.set()
    await visit

    assert _known(env).find(_scope(("cookie", _cookie(pair)))) is None


async def test_sg01_no_session_is_known_to_a_new_hook(env: AppHarness) -> None:
    """The hook decides about each session, whenever the app adds it."""
    pair = await _issue(env)

    @env.descope.on_session
    async def suspend(session: AuthSession) -> None:
        raise Forbidden

    await _visit(env, _cookie(pair), status=403)


async def test_sg01_refused_session_does_not_become_known(env: AppHarness) -> None:
    """Each request gets the verdict of the hooks."""

    @env.descope.on_session
    async def suspend(session: AuthSession) -> None:
        raise Forbidden

    pair = env.emulator.issue("ada@acme.example", tenant="acme")
    await _visit(env, _cookie(pair), status=403)

    assert _known(env).find(_scope(("cookie", _cookie(pair)))) is None
    await _visit(env, _cookie(pair), status=403)


async def test_tv20_failed_check_of_a_bearer_is_not_remembered(env: AppHarness) -> None:
    """The next request runs the hook again."""
    failures = [RuntimeError()]

    @env.descope.on_session
    async def fail_once(session: AuthSession) -> None:
        if failures:
            raise failures.pop()

    bearer = f"Bearer {env.emulator.issue('ada@acme.example', tenant='acme').session_jwt}"

    statuses = [(await env.browser().get("/session-of", authorization=bearer)).status_code for _ in range(2)]

    assert statuses == [503, 200]


async def test_tv18_the_least_recently_used_session_becomes_unknown(env: AppHarness) -> None:
    """There is room for two."""
    first, second = await _issue(env), await _issue(env)
    assert _known(env).find(_scope(("cookie", _cookie(first)))) is not None
    third = await _issue(env)

    unknown = [_known(env).find(_scope(("cookie", _cookie(each)))) is None for each in (first, second, third)]
    assert unknown == [False, True, False]


async def test_malformed_refresh_cookie_does_not_become_known(env: AppHarness) -> None:
    """Each response deletes it."""
    pair = env.emulator.issue("ada@acme.example", tenant="acme")
    jar = f"DS={pair.session_jwt}; DSR={pair.session_jwt}"
    await _visit(env, jar)

    assert _known(env).find(_scope(("cookie", jar))) is None


async def test_tv20_cross_site_request_of_a_known_session_is_refused(env: AppHarness) -> None:
    """The check of the origin comes before the known session."""
    pair = await _issue(env)

    response = await env.browser().post("/session-of", cookie=_cookie(pair), sec_fetch_site="cross-site")

    assert response.status_code == 403
    assert response.json()["code"] == "cross_site_request"
    assert "Cookie" in response.headers["vary"]


async def test_session_known_under_one_emulator_is_unknown_under_another(env: AppHarness) -> None:
    """``override_upstream`` replaces the keys, and restores them afterwards."""
    cookie = f"DS={env.emulator.issue('ada@acme.example').session_jwt}"
    await _visit(env, cookie)
    other = Emulator(signing_key=SigningKey.generate())

    with env.descope.override_upstream(httpx.ASGITransport(other), clock=other.clock):
        await _visit(env, cookie, 401)

    await _visit(env, cookie)
