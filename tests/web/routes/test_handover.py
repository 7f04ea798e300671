"""``POST /login/session`` and ``start_session`` turn tokens that others hold into the cookies of a session.

Requirements HO-01, HO-02, HO-03, HO-04 and HO-05.
"""

import asyncio
import json
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI, Request

from fastapi_descope import (
    AuthSession,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    Forbidden,
    Login,
    get_user_profile,
)
from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.emulator import Clock, Emulator, JwtPair, Project
from fastapi_descope.events import CrossSiteRefused, Event, LoginFailed, SignedIn
from tests.helpers.app_harness import APP, AppHarness, Browser, EnvFactory, add_routes
from tests.helpers.emulator import signing_key
from tests.helpers.notp import TRUSTED, post_json

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000
ADA, HANK = "ada@acme.example", "hank@globex.example"
ADA_ID = "U22a1322415fff1b1aceaebe7855"
PATH = "/login/session"


@pytest.fixture
def env(make_env: EnvFactory) -> AppHarness:
    """Build an app that takes the tokens of flows, and trusts another origin. Tokens are rotated."""
    project = Project(rotate_refresh=True)
    emulator = Emulator(project, clock=Clock(lambda: NOW), signing_key=signing_key())
    return make_env(
        emulator=emulator, login_methods=["sso", "flow"], trusted_origins=[TRUSTED], routes=_routes
    )


def _routes(app: FastAPI) -> None:
    add_routes(app)


async def _hand_over(
    browser: Browser, pair: JwtPair, *, return_to: str = "/me", **headers: str
) -> httpx.Response:
    """Send the tokens as the page with the flow does."""
    body = {"sessionJwt": pair.session_jwt, "refreshJwt": pair.refresh_jwt, "return_to": return_to}
    return await post_json(browser, PATH, body, **headers)


def _failures(env: AppHarness) -> list[Event]:
    return [event for event in env.events if isinstance(event, LoginFailed)]


async def test_page_with_a_flow_signs_in(env: AppHarness) -> None:
    """The response has the session and the path, and the cookies cannot be read by scripts."""
    browser, logins = env.browser(), list[Login]()

    @env.descope.on_login
    async def remember(request: Request, login: Login) -> None:
        logins.append(login)

    pair = env.emulator.issue(ADA, "acme")
    response = await _hand_over(browser, pair)

    assert response.status_code == 200
    assert response.json()["return_to"] == "/me"
    assert response.json()["session"]["user"]["email"] == ADA
    assert (await browser.get("/me")).json()["tenant"] == "acme"
    assert response.headers["cache-control"] == "private, no-store"
    assert all("; HttpOnly; SameSite=Lax" in each for each in response.headers.get_list("set-cookie"))
    assert [login.session.user.email for login in logins] == [ADA]
    signed_in = [event for event in env.events if isinstance(event, SignedIn)]
    assert [event.method for event in signed_in] == ["flow"]


async def test_login_hook_of_a_flow_fetches_the_user_object(env: AppHarness) -> None:
    """The refresh that starts the session returns none, so the hook costs one call if it wants one."""
    browser, names = env.browser(), list[str | None]()

    @env.descope.on_login
    async def fetch(request: Request, login: Login) -> None:
        names.append(login.user.name)
        names.append((await get_user_profile(request)).name)

    response = await _hand_over(browser, env.emulator.issue(ADA, "acme"))

    assert response.status_code == 200
    assert names == [None, "Ada Lovelace"]
    assert env.calls("me") == 1


async def test_ho04_response_and_log_have_no_token(env: AppHarness, caplog: pytest.LogCaptureFixture) -> None:
    """Neither those that were sent nor the new ones."""
    caplog.set_level("DEBUG")
    browser, pair = env.browser(), env.emulator.issue(ADA, "acme")
    response = await _hand_over(browser, pair)
    await _hand_over(browser, env.emulator.issue(HANK), sec_fetch_site="cross-site")

    tokens = {pair.session_jwt, pair.refresh_jwt, browser.cookie("DS") or "x", browser.cookie("DSR") or "x"}
    texts = [response.text, *caplog.messages, *map(repr, env.events)]
    assert [text for text in texts for token in tokens if token in text] == []


async def test_ho01_without_the_setting_there_is_no_route(make_env: EnvFactory) -> None:
    """An app with single sign-on takes no tokens from pages."""
    env = make_env()
    assert (await _hand_over(env.browser(), env.emulator.issue(ADA))).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "cross-site", "origin": TRUSTED},
        {"sec_fetch_site": "same-site", "origin": TRUSTED},
        {"sec_fetch_site": "same-origin", "origin": "https://evil.example"},
        {"sec_fetch_site": "same-origin", "origin": "null"},
    ],
)
async def test_ho01_only_the_own_origin_hands_tokens_over(env: AppHarness, headers: dict[str, str]) -> None:
    """Session fixation: another site would sign its visitor in. Trusted origins do not count either."""
    browser = await env.signed_in_browser()
    names, calls = browser.names(), env.calls("refresh")

    response = await _hand_over(browser, env.emulator.issue(HANK), **headers)

    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert browser.names() == names
    assert env.calls("refresh") == calls
    assert env.events[-1] == CrossSiteRefused()


async def test_ho01_old_browser_sends_an_origin(env: AppHarness) -> None:
    """Without Fetch Metadata the Origin header decides."""
    for origin, status in ((APP, 200), (TRUSTED, 403), ("null", 403)):
        pair = env.emulator.issue(ADA)
        body = json.dumps({"sessionJwt": pair.session_jwt, "refreshJwt": pair.refresh_jwt})
        response = await env.browser().http.post(
            APP + PATH, content=body, headers={"content-type": "application/json", "origin": origin}
        )
        assert response.status_code == status


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "", "multipart/form-data"]
)
async def test_ho01_body_of_a_form_is_refused(env: AppHarness, kind: str) -> None:
    """A page of another site can send forms without asking first."""
    pair = env.emulator.issue(ADA)
    body = str(httpx.QueryParams({"sessionJwt": pair.session_jwt, "refreshJwt": pair.refresh_jwt}))
    response = await env.browser().http.post(APP + PATH, content=body, headers={"content-type": kind})

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("size", [20_480, 1_000_000])
async def test_ho01_large_body_is_refused(env: AppHarness, size: int) -> None:
    """Two tokens of the largest size fit."""
    response = await post_json(env.browser(), PATH, {"sessionJwt": "a" * size})

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


def _swap(pair: JwtPair, other: JwtPair) -> dict[str, dict[str, object]]:
    return {
        "nothing": {},
        "no refresh token": {"sessionJwt": pair.session_jwt},
        "no session token": {"refreshJwt": pair.refresh_jwt},
        "swapped": {"sessionJwt": pair.refresh_jwt, "refreshJwt": pair.session_jwt},
        "two session tokens": {"sessionJwt": pair.session_jwt, "refreshJwt": pair.session_jwt},
        "two refresh tokens": {"sessionJwt": pair.refresh_jwt, "refreshJwt": pair.refresh_jwt},
        "two users": {"sessionJwt": pair.session_jwt, "refreshJwt": other.refresh_jwt},
        "signature of the session": {
            "sessionJwt": pair.session_jwt[:-6] + "AAAAAA",
            "refreshJwt": pair.refresh_jwt,
        },
        "signature of the refresh token": {
            "sessionJwt": pair.session_jwt,
            "refreshJwt": pair.refresh_jwt[:-6] + "AAAAAA",
        },
        "junk": {"sessionJwt": "a.b.c", "refreshJwt": "x.y.z"},
        "numbers": {"sessionJwt": 1, "refreshJwt": [pair.refresh_jwt]},
    }


@pytest.mark.parametrize("name", _swap(JwtPair("", ""), JwtPair("", "")))
async def test_ho02_both_tokens_are_verified_as_those_of_one_user(env: AppHarness, name: str) -> None:
    """Before anything is sent to Descope. The session that the browser has stays."""
    browser = await env.signed_in_browser()
    pair, other = env.emulator.issue(ADA), env.emulator.issue(HANK)
    names, calls = browser.names(), env.calls("refresh")

    response = await post_json(browser, PATH, _swap(pair, other)[name])

    assert (response.status_code, response.json()["code"]) == (400, "login_rejected")
    assert "set-cookie" not in response.headers
    assert browser.names() == names
    assert env.calls("refresh") == calls
    assert _failures(env)[-1] == LoginFailed("tokens")
    assert (await browser.get("/me")).status_code == 200


async def test_ho02_tokens_of_another_kind_are_refused(env: AppHarness) -> None:
    """The access token of an application is no session, and neither is that of another project."""
    pair = env.emulator.issue(ADA)
    delegate = env.emulator.issue_delegate(ADA, "TPA2app", ("reports:read",))
    foreign = Emulator(Project(project_id="P2" + "x" * 26)).issue(ADA)
    for session_jwt, refresh_jwt in (
        (delegate, pair.refresh_jwt),
        (pair.session_jwt, delegate),
        (foreign.session_jwt, foreign.refresh_jwt),
    ):
        body = {"sessionJwt": session_jwt, "refreshJwt": refresh_jwt}
        assert (await post_json(env.browser(), PATH, body)).status_code == 400
    assert env.calls("refresh") == 0


async def test_ho02_expired_tokens_are_refused(env: AppHarness) -> None:
    """A page hands tokens over a moment after it got them."""
    pair = env.emulator.issue(ADA)
    env.emulator.clock.advance(700)
    assert (await _hand_over(env.browser(), pair)).status_code == 400
    env.emulator.clock.advance(60 * 86_400)
    assert (await _hand_over(env.browser(), pair)).status_code == 400
    assert env.calls("refresh") == 0


async def test_ho03_tokens_do_nothing_after_a_logout(env: AppHarness) -> None:
    """Not those that the page has kept, and not the new ones; also if Descope alone ended the session."""
    browser, pair = env.browser(), env.emulator.issue(ADA)
    await _hand_over(browser, pair)
    newest = JwtPair(browser.cookie("DS") or "", browser.cookie("DSR") or "")
    await browser.post("/logout")
    revoked = env.emulator.issue(HANK)
    env.emulator.revoke_sessions(HANK)

    for tokens in (pair, newest, revoked):
        response = await _hand_over(env.browser(), tokens)
        assert (response.status_code, response.json()["code"]) == (400, "login_rejected")
        assert "set-cookie" not in response.headers
        assert _failures(env)[-1] == LoginFailed("session_ended")


async def test_rv02_revocation_during_a_hand_over_starts_no_session(env: AppHarness) -> None:
    """Descope issues the new pair after the revocation."""
    browser, pair = env.browser(), env.emulator.issue(ADA)
    env.emulator.faults.add("refresh", hold=True)
    request = asyncio.ensure_future(_hand_over(browser, pair))
    await env.emulator.faults.wait_until_held()

    await env.descope.revoke_user(ADA_ID)
    env.emulator.clock.advance(2)
    env.emulator.faults.release()

    response = await request
    assert (response.status_code, response.json()["code"]) == (400, "login_rejected")
    assert "set-cookie" not in response.headers
    assert _failures(env)[-1] == LoginFailed("session_ended")


async def test_ho03_second_hand_over_joins_the_first(env: AppHarness) -> None:
    """A double click, or a lost response: the token is renewed once, and the session goes on."""
    browser, pair = env.browser(), env.emulator.issue(ADA)

    first, second = await _hand_over(browser, pair), await _hand_over(browser, pair)

    assert (first.status_code, second.status_code) == (200, 200)
    assert env.calls("refresh") == 1
    env.emulator.clock.advance(660)
    assert (await browser.get("/session")).status_code == 200


async def test_ho03_browser_hands_over_the_token_that_it_has(env: AppHarness) -> None:
    """The former token of the same session is not treated as another session."""
    env.emulator.project = replace(env.emulator.project, session_seconds=30)
    browser, pair = env.browser(), env.emulator.issue(ADA)
    browser.http.cookies.set("DSR", pair.refresh_jwt, domain="127.0.0.1")

    assert (await _hand_over(browser, pair)).status_code == 200
    env.emulator.clock.advance(40)
    assert (await browser.get("/session")).status_code == 200


async def test_ho05_new_session_replaces_that_of_another_user(env: AppHarness) -> None:
    """Both cookies, whichever user was signed in (CB-09)."""
    browser = await env.signed_in_browser()
    await _hand_over(browser, env.emulator.issue(HANK))

    assert (await browser.get("/session")).json()["user"]["email"] == HANK


async def test_ho05_hooks_refuse_a_user(env: AppHarness) -> None:
    """No cookie is set, and the event has the reason."""

    @env.descope.on_session
    async def refuse(session: AuthSession) -> None:
        raise Forbidden

    response = await _hand_over(env.browser(), env.emulator.issue(ADA))

    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert "set-cookie" not in response.headers
    assert _failures(env)[-1] == LoginFailed("forbidden")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/login/session", "/callback"])
async def test_ho05_unsafe_target_is_not_returned(env: AppHarness, target: str) -> None:
    """The page follows it, so it is validated as after any login."""
    response = await _hand_over(env.browser(), env.emulator.issue(ADA), return_to=target)
    assert response.json()["return_to"] == "/"


async def test_outage_is_503_and_nothing_is_lost(env: AppHarness) -> None:
    """The page may try again with the same tokens."""
    browser, pair = env.browser(), env.emulator.issue(ADA)
    env.emulator.faults.add("refresh", status=503)

    response = await _hand_over(browser, pair)

    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert _failures(env)[-1] == LoginFailed("upstream_unavailable")
    env.emulator.clock.advance(60)
    assert (await _hand_over(browser, pair)).status_code == 200


async def test_tokens_that_do_not_fit_into_cookies(make_env: EnvFactory) -> None:
    """The page explains it, as after any login."""
    env = make_env(login_methods=["sso", "flow"])
    pair = env.emulator.issue(ADA)
    large = env.emulator.issue(ADA, claims={"x": "y" * 20_000})
    body = {"sessionJwt": large.session_jwt, "refreshJwt": pair.refresh_jwt}
    env.emulator.faults.add("refresh", status=200, body=json.dumps(body).encode())

    response = await _hand_over(env.browser(), pair)

    assert response.json()["code"] == "session_too_large"
    assert _failures(env)[-1] == LoginFailed("session_too_large")


def _with_start(descope: Descope, app: FastAPI) -> None:
    @app.post("/become")
    async def become(request: Request) -> str:
        token = (await request.body()).decode()
        return (await descope.start_session(request, token)).user.id

    @app.post("/become/{kind}")
    async def become_as_user(request: Request, kind: str, user: CurrentUser) -> list[str]:
        token = (await request.body()).decode()
        return [user.id, (await descope.start_session(request, token)).user.id]


async def test_app_starts_a_session_with_a_refresh_token(make_env: EnvFactory) -> None:
    """Of the management API, for example. The route need not exist, and the event says how."""
    env = make_env()
    _with_start(env.descope, env.app)
    browser, pair = env.browser(), env.emulator.issue(ADA, "acme")

    response = await browser.http.post(f"{APP}/become", content=pair.refresh_jwt)

    assert response.status_code == 200
    assert (await browser.get("/me")).json()["user"] == response.json()
    (signed_in,) = (event for event in env.events if isinstance(event, SignedIn))
    assert (signed_in.user_id, signed_in.method) == (response.json(), "token")


async def test_ho05_session_of_the_request_is_replaced(make_env: EnvFactory) -> None:
    """Also if that was renewed by the same request. The user of the request stays the former one."""
    env = make_env()
    _with_start(env.descope, env.app)
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(660)
    hank = env.emulator.issue(HANK)

    response = await browser.http.post(
        f"{APP}/become/user", content=hank.refresh_jwt, headers={"sec-fetch-site": "same-origin"}
    )

    former, new = response.json()
    assert former != new
    assert (await browser.get("/session")).json()["user"]["id"] == new
    assert browser.session_names() == {"DS", "DSR"}


@pytest.mark.parametrize("token", ["", "junk", "a.b.c", "session"])
async def test_ho02_app_starts_no_session_with_another_token(make_env: EnvFactory, token: str) -> None:
    """A mistake of the app is a 400 without cookies."""
    env = make_env()
    _with_start(env.descope, env.app)
    content = env.emulator.issue(ADA).session_jwt if token == "session" else token

    response = await env.browser().http.post(f"{APP}/become", content=content)

    assert (response.status_code, response.json()["code"]) == (400, "login_rejected")
    assert "set-cookie" not in response.headers


async def test_ho01_another_site_makes_the_app_start_no_session(make_env: EnvFactory) -> None:
    """The endpoint is the app's, and the check is ours."""
    env = make_env()
    _with_start(env.descope, env.app)

    response = await env.browser().http.post(
        f"{APP}/become", content=env.emulator.issue(ADA).refresh_jwt, headers={"sec-fetch-site": "cross-site"}
    )

    assert response.status_code == 403
    assert "set-cookie" not in response.headers


async def test_actor_of_an_impersonation_stays(make_env: EnvFactory) -> None:
    """The session and the event name who acts (IM-02)."""
    env = make_env()
    _with_start(env.descope, env.app)
    browser = env.browser()
    token = env.emulator.issue(ADA, actor="grace@acme.example").refresh_jwt

    await browser.http.post(f"{APP}/become", content=token)

    actor = (await browser.get("/session")).json()["actor"]
    (signed_in,) = (event for event in env.events if isinstance(event, SignedIn))
    assert actor is not None
    assert signed_in.actor_id == actor


async def test_users_are_sent_to_the_page_of_the_app(make_env: EnvFactory) -> None:
    """With a flow on the app's own page there is no other page."""
    env = make_env(login_methods=["flow"], login_path="/public")
    browser = env.browser()

    assert (await browser.visit("/me?x=1")).headers["location"] == "/public?return_to=%2Fme%3Fx%3D1"
    assert (await browser.get("/me")).json()["login_url"] == "/public"
    refused = await browser.visit("/callback?code=a&state=b")
    assert '<a href="/public">Sign in again</a>' in refused.text
    assert (await browser.visit("/login/sso")).status_code == 404


async def test_login_page_that_requires_a_session_does_not_loop(make_env: EnvFactory) -> None:
    """The browser gets a page. A mistake of the app must not be an endless redirect."""
    env = make_env(login_methods=["flow"], login_path="/me")

    response = await env.browser().visit("/me?return_to=/me")

    assert response.status_code == 401
    assert "location" not in response.headers


async def test_flow_does_not_change_the_login_of_an_app(env: AppHarness) -> None:
    """With single sign-on beside it users still go there: the flow is on a page of the app."""
    assert (await env.browser().visit("/me")).headers["location"] == "/login/sso?return_to=%2Fme"


@pytest.mark.parametrize("is_protected", [True, False])
async def test_route_needs_no_session(env: AppHarness, *, is_protected: bool) -> None:
    """Also if the middleware protects every path."""
    app = FastAPI()
    app.include_router(env.descope.router)
    app.add_middleware(DescopeMiddleware, descope=env.descope, protect=is_protected)
    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))

    assert (await _hand_over(browser, env.emulator.issue(ADA))).status_code == 200


async def test_openapi_and_the_route_table_describe_the_route(env: AppHarness) -> None:
    """It takes JSON only."""
    paths = (await env.browser().get("/openapi.json")).json()["paths"]
    operation = paths[PATH]["post"]

    assert list(operation["requestBody"]["content"]) == ["application/json"]
    assert sorted(operation["responses"]) == ["200", "400", "403", "503"]
    assert [row.is_own for row in RouteTable(env.app).rows if row.path == PATH] == [True]
