"""``GET /login/oauth/<provider>`` signs users in at a social provider, with all rules of single sign-on.

Requirements SI-01, SI-02, SI-03 and SI-04.
"""

import re
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from fastapi_descope import DescopeMiddleware, Login
from fastapi_descope._web.login_transactions import Transaction
from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.emulator import Project
from fastapi_descope.events import LoginFailed, LoginStarted, SignedIn
from tests.helpers.app_harness import IDP, AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

METHODS = ["sso", "google", "github", "oauth:guild"]


@pytest.fixture
def env(make_env: EnvFactory) -> AppHarness:
    """Build an app with single sign-on and three providers."""
    return make_env(login_methods=METHODS)


async def _callback(browser: Browser, user: str = "ada@acme.example", query: str = "?return_to=/me") -> str:
    """Go through the login at Google up to the emulator's redirect, and return the URL of the callback."""
    started = await browser.visit(f"/login/oauth/google{query}")
    assert started.status_code == 303, started.text
    page = await browser.visit(started.headers["location"])
    return (await browser.choose(page, user)).headers["location"]


async def test_user_signs_in_at_a_provider(env: AppHarness) -> None:
    """The login ends at the page that it was asked for. Events name the way, and ``amr`` the method."""
    browser, logins = env.browser(), list[Login]()

    @env.descope.on_login
    async def remember(request: object, login: Login) -> None:
        logins.append(login)

    response = await browser.visit(await _callback(browser))

    assert (response.status_code, response.headers["location"]) == (303, "/me")
    assert (await browser.get("/session")).json()["user"]["email"] == "ada@acme.example"
    (login,) = logins
    assert login.session.amr == ("oauth",)
    assert [event for event in env.events if isinstance(event, (LoginStarted, SignedIn))] == [
        LoginStarted("oauth"),
        SignedIn(login.session.user.id, login.session.tenant_id, first_seen=True, method="oauth"),
    ]
    assert env.calls("oauth_authorize") == env.calls("exchange") == 1
    assert env.calls("authorize") == 0


async def test_redirect_goes_to_the_provider_and_leaks_nothing(env: AppHarness) -> None:
    """One call starts the login. The response is not cached, and the URL of the page is no referrer."""
    response = await env.browser().visit("/login/oauth/github?return_to=/me&login_hint=ada%40x.example")

    (call,) = env.emulator.requests.for_endpoint("oauth_authorize")
    assert call.path == "/v1/auth/oauth/authorize/signin"
    assert set(call.query) == {"provider", "redirectURL", "loginHint"}
    assert (call.query["provider"], call.query["loginHint"]) == ("github", "ada@x.example")
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/callback\?state=[\w-]{43}", call.query["redirectURL"])
    assert response.headers["location"].startswith(IDP)
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["referrer-policy"] == "no-referrer"


async def test_custom_provider_has_the_path_of_its_name(make_env: EnvFactory) -> None:
    """``oauth:guild`` is at ``/login/oauth/guild``."""
    env = make_env(project=Project(social_providers=("guild",)), login_methods=METHODS)

    assert (await env.browser().visit("/login/oauth/guild")).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "gitlab",
        "Google",
        "GOOGLE",
        "google/",
        "google/x",
        "/google",
        "x/google",
        "google%2F",
        "google%2Fcallback",
        "..%2Foauth%2Fgoogle",
        "google%00",
        "google%20",
        "google;x",
        "oauth:guild",
        "%67oogle%0d%0a",
        "",
        "{provider}",
    ],
)
async def test_si01_provider_that_is_not_listed_is_404(env: AppHarness, path: str) -> None:
    """In any spelling but its own, and without a call to Descope or a cookie."""
    browser = env.browser()

    response = await browser.visit(f"/login/oauth/{path}?return_to=/me")

    assert response.status_code == 404
    assert len(list(env.emulator.requests)) == 0
    assert not browser.names()


async def test_si01_by_default_single_sign_on_is_the_only_way(make_env: EnvFactory) -> None:
    """An app that lists nothing has no other route, and sends users to the same login as ever."""
    browser = make_env().browser()

    for path in ("/login", "/login/oauth/google", "/login/notp"):
        assert (await browser.visit(path)).status_code == 404
    assert (await browser.visit("/me")).headers["location"] == "/login/sso?return_to=%2Fme"


async def test_si01_without_sso_in_the_list_it_is_no_way_in(make_env: EnvFactory) -> None:
    """An app can have providers alone. Users are sent to the page that offers them."""
    env = make_env(login_methods=["google"])
    browser = env.browser()

    assert (await browser.visit("/login/sso?tenant=acme")).status_code == 404
    assert (await browser.visit("/me")).headers["location"] == "/login?return_to=%2Fme"
    assert (await browser.visit(await _callback(browser))).status_code == 303


async def test_si02_code_is_exchanged_where_the_login_started(env: AppHarness) -> None:
    """The cookie decides, not the query: two logins of one browser never mix."""
    browser = env.browser()
    sso, social = await browser.open_callback(), await _callback(browser)

    await browser.visit(social + "&method=sso&provider=x")
    await browser.visit(sso)

    paths = [call.path for call in env.emulator.requests.for_endpoint("exchange")]
    assert paths == ["/v1/auth/oauth/exchange", "/v1/auth/sso/exchange"]


async def test_si02_state_of_one_login_does_not_complete_another(env: AppHarness) -> None:
    """Each code is bound to the state with which it came; a foreign state is unknown to the browser."""
    browser, attacker = env.browser(), env.browser()
    mine, theirs = await _callback(browser), await _callback(attacker, "hank@globex.example")
    code = httpx.URL(theirs).params["code"]

    forged = httpx.URL(theirs).copy_set_param("state", "x" * 43)
    assert (await browser.visit(str(forged))).status_code == 400
    assert (await browser.visit(theirs)).status_code == 400
    assert code not in str(mine)
    assert env.calls("exchange") == 0
    assert env.events[-1] == LoginFailed("state")


async def test_si02_planted_method_is_no_other_login(env: AppHarness) -> None:
    """A cookie that claims to be of an nOTP sign-in is no login of the callback."""
    browser = env.browser()
    callback = await _callback(browser)
    (cookie,) = browser.http.cookies.jar
    parsed = Transaction.parse((cookie.value or "").encode())
    assert parsed
    cookie.value = replace(parsed, method="notp").value

    assert (await browser.visit(callback)).status_code == 400
    assert env.calls("exchange") == 0


async def test_si03_another_browser_cannot_complete_the_login(env: AppHarness) -> None:
    """As with single sign-on: the callback alone signs nobody in (CB-02), and works once (CB-04)."""
    browser = env.browser()
    callback = await _callback(browser)

    assert (await env.browser().visit(callback)).status_code == 400
    assert (await browser.visit(callback)).headers["location"] == "/me"
    assert (await browser.visit(callback)).headers["location"] == "/me"
    assert env.calls("exchange") == 1


async def test_si03_signed_in_user_from_another_site_confirms(env: AppHarness) -> None:
    """Login CSRF (CB-15). The form of the page starts this login, and calls nothing until then."""
    browser = await env.signed_in_browser()

    page = await browser.visit("/login/oauth/google?return_to=/maybe", sec_fetch_site="cross-site")

    assert page.status_code == 200
    assert '<form action="/login/oauth/google" method="get">' in page.text
    assert 'name="return_to" value="/maybe"' in page.text
    assert env.calls("oauth_authorize") == 0


@pytest.mark.parametrize("mode", ["no-cors", "cors", "same-origin"])
async def test_si03_only_a_navigation_starts_the_login(env: AppHarness, mode: str) -> None:
    """An embedded image starts nothing (CB-13)."""
    response = await env.browser().get("/login/oauth/google", sec_fetch_mode=mode)

    assert response.status_code == 403
    assert env.calls("oauth_authorize") == 0


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/login/oauth/google", "/login"]
)
async def test_si03_unsafe_target_is_not_followed(env: AppHarness, target: str) -> None:
    """Neither another site nor a login, which would loop (RT-13)."""
    browser = env.browser()
    query = "?" + str(httpx.QueryParams({"return_to": target}))

    response = await browser.visit(await _callback(browser, query=query))

    assert response.headers["location"] == "/"


async def test_si03_refusal_at_the_provider_leads_to_a_page(env: AppHarness) -> None:
    """The page offers the ways to sign in again, with the way back."""
    browser = env.browser()
    started = await browser.visit("/login/oauth/google?return_to=/me")
    refused = await browser.refuse(await browser.visit(started.headers["location"]))

    page = await browser.visit(refused.headers["location"])

    assert page.status_code == 400
    assert '<a href="/login?return_to=%2Fme">Sign in again</a>' in page.text
    assert env.events[-1] == LoginFailed("refused")


async def test_si03_login_on_another_host_continues_at_the_public_url(env: AppHarness) -> None:
    """The login cookie would stay on the other host (CB-20)."""
    response = await env.browser().visit("/login/oauth/google?return_to=/me", host="www.example.com")

    assert response.headers["location"] == (
        "http://127.0.0.1:8000/login/oauth/google?return_to=/me&descope_moved=1"
    )


async def test_si04_login_creates_no_user_by_default(make_env: EnvFactory) -> None:
    """Descope refuses a user whom the project does not have, and the setting changes that."""
    project = Project(open_sign_up=True)
    for sign_up, path in ((False, "/signin"), (True, "")):
        env = make_env(project=project, login_methods=["google"], sign_up=sign_up)
        await env.browser().visit("/login/oauth/google")
        (call,) = env.emulator.requests.for_endpoint("oauth_authorize")
        assert call.path == f"/v1/auth/oauth/authorize{path}"


async def test_step_up_at_a_provider_confirms_the_user_of_the_session(env: AppHarness) -> None:
    """Descope gets the refresh token, so that no other user can confirm."""
    browser = await env.signed_in_browser()

    await browser.visit(await _callback(browser, query="?step_up=true&return_to=/me"))

    (call,) = env.emulator.requests.for_endpoint("oauth_authorize")
    refresh = env.emulator.requests.for_endpoint("exchange")
    assert call.caller != refresh[0].caller
    assert (await browser.get("/session")).json()["step_up"] is True


@pytest.mark.parametrize("is_protected", [True, False])
async def test_routes_need_no_session(env: AppHarness, *, is_protected: bool) -> None:
    """Also if the middleware protects every path. Another provider stays protected."""
    app = FastAPI()
    app.include_router(env.descope.router, prefix="/auth")
    app.add_middleware(DescopeMiddleware, descope=env.descope, protect=is_protected)
    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))

    assert (await browser.visit("/auth/login")).status_code == 200
    started = await browser.visit("/auth/login/oauth/google")
    assert started.headers["location"].startswith(IDP)
    (call,) = env.emulator.requests.for_endpoint("oauth_authorize")
    assert "/auth/callback?state=" in call.query["redirectURL"]
    other = await browser.visit("/auth/login/oauth/gitlab")
    assert other.status_code == (303 if is_protected else 404)


async def test_openapi_and_the_route_table_describe_each_provider(env: AppHarness) -> None:
    """They are public routes of the plugin. Parameters of single sign-on alone are not listed."""
    paths = (await env.browser().get("/openapi.json")).json()["paths"]
    operation = paths["/login/oauth/google"]["get"]

    names = [parameter["name"] for parameter in operation["parameters"]]
    assert names == ["return_to", "login_hint", "prompt", "step_up", "mfa"]
    assert sorted(operation["responses"]) == ["303", "400", "403", "502", "503"]
    rows = [row for row in RouteTable(env.app).rows if row.path.startswith("/login")]
    assert [row.path for row in rows] == [
        "/login",
        "/login/sso",
        "/login/oauth/google",
        "/login/oauth/github",
        "/login/oauth/guild",
    ]
    assert all(row.is_own for row in rows)
