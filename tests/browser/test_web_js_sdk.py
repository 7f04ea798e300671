"""The published browser SDK, unmodified, in a real Chromium against the emulator.

The page is a front end without a back end, as Descope's guide has it (``tests/browser/front_end.py``). It
and the emulator are two ports of ``localhost``, which makes them two origins of one site.
"""

import json
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import replace

import pytest
from fastapi import FastAPI
from playwright.sync_api import Page

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import (
    DEFAULT_PROJECT_ID,
    CookieSettings,
    Emulator,
    Project,
    SeedUser,
    SigningKey,
)
from fastapi_descope.emulator.server import running
from tests.browser.front_end import ADA, FrontEnd, add_front_end
from tests.helpers.live_server import listening, serve_app

pytestmark = [pytest.mark.browser, pytest.mark.sdk("web-js")]

IN_COOKIES = Project(session_token_in="cookie", refresh_token_in="cookie")


FrontEndFactory = Callable[..., FrontEnd]
Emulated = Callable[..., tuple[Emulator, str]]


@pytest.fixture(scope="module")
def signing_key() -> SigningKey:
    """One for all emulators of the module."""
    return SigningKey.generate()


@pytest.fixture
def emulated(signing_key: SigningKey) -> Generator[Emulated]:
    """Starts an emulator with a project; the value is the emulator and its base URL."""
    with ExitStack() as stack:

        def start(project: Project | None = None) -> tuple[Emulator, str]:
            emulator = Emulator(project, signing_key=signing_key.with_new_kid())
            return emulator, stack.enter_context(running(emulator, host="localhost"))

        yield start


@pytest.fixture
def front_end(page: Page) -> Generator[FrontEndFactory]:
    """Serves the page, set up for an emulator, with the SDK's options; its app also has our plugin."""
    with ExitStack() as stack:

        def start(base_url: str, **options: object) -> FrontEnd:
            listener, address = stack.enter_context(listening())
            url = address.replace("127.0.0.1", "localhost")
            settings = DescopeSettings(project_id=DEFAULT_PROJECT_ID, base_url=base_url, public_url=url)
            app = FastAPI()
            Descope(app, settings=settings)
            sdk = {"projectId": DEFAULT_PROJECT_ID, "baseUrl": base_url, "persistTokens": True} | options
            add_front_end(app, sdk)
            stack.enter_context(serve_app(app, listener))
            return FrontEnd(url, page)

        yield start


@pytest.fixture
def at_home(front_end: FrontEndFactory, typed_emulator: str) -> FrontEnd:
    """The page, signed in at the emulator that was started by its command."""
    here = front_end(typed_emulator.replace("127.0.0.1", "localhost"))
    here.sign_in()
    return here


def test_sign_in(at_home: FrontEnd) -> None:
    """From the button over the sign-in page back to the page: tokens kept, listeners told, no code left."""
    assert at_home.page.url == at_home.url + "/"
    assert at_home.look("told.signedIn") == [True]
    assert at_home.look("told.users") == [ADA]
    assert at_home.look("told.tokens") == [at_home.look("sdk.getSessionToken()")]
    assert at_home.look("localStorage.DSR") == at_home.look("sdk.getRefreshToken()") != ""
    assert at_home.look("sdk.getCurrentTenant(sdk.getSessionToken())") == "acme"
    assert at_home.look("sdk.getJwtRoles(sdk.getSessionToken(), 'acme')") == ["admin"]
    assert at_home.look("sdk.getLastUserLoginId()") == ADA
    assert at_home.page.context.cookies() == []


def test_reload(at_home: FrontEnd) -> None:
    """The session outlives the page: a refresh with the kept token brings it back."""
    at_home.page.reload()
    with at_home.page.expect_request("**/v1/auth/refresh?**") as asked:
        assert at_home.ask("refresh()")["ok"] is True
    assert asked.value.url.endswith("?dcs=t&dcr=t")
    assert at_home.look("told.signedIn") == [True]
    assert at_home.look("sdk.isJwtExpired(sdk.getSessionToken())") is False


def test_who_she_is(at_home: FrontEnd) -> None:
    """The user, her tenants and her sign-ins, read across origins."""
    me = at_home.ask("me()")
    assert (me["code"], me["data"]["userId"]) == (200, SeedUser(ADA).user_id)
    tenants = at_home.ask("myTenants(['acme', 'globex'])")["data"]["tenants"]
    assert [one["name"] for one in tenants] == ["Acme Corp", "Globex"]
    assert at_home.ask("history()")["data"][0]["selectedTenant"] == "acme"


def test_switch(at_home: FrontEnd) -> None:
    """Another tenant is in the token that the SDK keeps, and stays through refreshes."""
    assert at_home.ask("selectTenant('globex')")["ok"] is True
    assert at_home.look("sdk.getCurrentTenant(sdk.getSessionToken())") == "globex"
    at_home.ask("refresh()")
    assert at_home.look("sdk.getCurrentTenant(sdk.getSessionToken())") == "globex"
    refused = at_home.ask("selectTenant('umbrella')")
    assert (refused["code"], refused["error"]["errorCode"]) == (403, "E011004")


@pytest.mark.parametrize("way", ["logout", "logoutAll"])
def test_logout(at_home: FrontEnd, way: str) -> None:
    """Nothing is kept in the browser, and the token that was kept is worth nothing."""
    refresh = at_home.look("sdk.getRefreshToken()")
    assert at_home.ask(f"{way}()")["ok"] is True
    assert [at_home.look(f"sdk.{name}()") for name in ("getSessionToken", "getRefreshToken")] == ["", ""]
    assert at_home.look("told.signedIn") == [True, False]
    refused = at_home.ask(f"refresh({json.dumps(refresh)})")
    assert (refused["code"], refused["error"]["errorCode"]) == (401, "E064001")


def test_refusal_on_the_page(front_end: FrontEndFactory, typed_emulator: str) -> None:
    """Who refuses comes back without a code, and nobody is signed in."""
    here = front_end(typed_emulator.replace("127.0.0.1", "localhost"))
    here.open()
    here.page.get_by_role("button", name="Sign in").click()
    here.page.get_by_role("button", name="Refuse").click()
    here.page.wait_for_url("**/?*err=access_denied*")
    assert here.look("sdk.getRefreshToken()") == ""


def test_a_stranger_has_nothing_to_refresh(front_end: FrontEndFactory, typed_emulator: str) -> None:
    """The refresh that may fail answers a stranger with nothing; the one that may not refuses."""
    here = front_end(typed_emulator.replace("127.0.0.1", "localhost"))
    here.open()
    here.look("localStorage.setItem('DSLI', '1')")  # else the SDK, knowing of no session, does not even ask
    tried = here.ask("refresh(undefined, true)")
    assert (tried["ok"], tried["data"]) == (True, {})
    refused = here.ask("refresh()")
    assert (refused["code"], refused["error"]["errorCode"]) == (401, "E061005")


def test_renewal_by_the_clock(front_end: FrontEndFactory, emulated: Emulated, page: Page) -> None:
    """With ``autoRefresh`` the SDK renews the session twenty seconds before it ends."""
    emulator, base_url = emulated()
    here = front_end(base_url, autoRefresh=True)
    page.clock.install()
    here.sign_in()
    assert emulator.requests.count("refresh") == 0
    page.clock.fast_forward(575_000)
    assert emulator.requests.count("refresh") == 0
    with page.expect_response("**/v1/auth/refresh?**") as answered:
        page.clock.fast_forward(6_000)
    assert answered.value.status == 200


def test_renewal_before_the_session_is_idle(
    front_end: FrontEndFactory, emulated: Emulated, page: Page
) -> None:
    """A project that ends idle sessions tells the SDK how soon to come back."""
    _, base_url = emulated(Project(inactivity_seconds=120))
    here = front_end(base_url, autoRefresh=True)
    page.clock.install()
    here.sign_in()
    with page.expect_response("**/v1/auth/refresh?**") as answered:
        page.clock.fast_forward(120_000)
    assert answered.value.status == 200


def test_a_session_that_was_ended_elsewhere(front_end: FrontEndFactory, emulated: Emulated) -> None:
    """The SDK lets go of tokens that are refused, and tells its listeners."""
    emulator, base_url = emulated()
    here = front_end(base_url)
    here.sign_in()
    emulator.revoke_sessions(ADA)
    refused = here.ask("refresh()")
    assert (refused["code"], refused["error"]["errorCode"]) == (401, "E064001")
    assert here.look("sdk.getRefreshToken()") == ""
    assert here.look("told.signedIn") == [True, False]


def test_rate_limit(front_end: FrontEndFactory, emulated: Emulated) -> None:
    """When to come back is a header, which the page may read across origins."""
    emulator, base_url = emulated()
    here = front_end(base_url)
    here.sign_in()
    emulator.faults.add("select", status=429, retry_after=7)
    limited = here.ask("selectTenant('globex')")
    assert (limited["code"], limited["error"]["errorCode"]) == (429, "E130429")
    assert limited["error"]["retryAfter"] == 7
    assert here.look("sdk.getRefreshToken()") != ""


def test_tokens_in_cookies(front_end: FrontEndFactory, emulated: Emulated, page: Page) -> None:
    """No script sees a token: the browser keeps both in HttpOnly cookies and sends them along."""
    emulator, base_url = emulated(IN_COOKIES)
    here = front_end(base_url)
    here.sign_in()
    held = {one.get("name"): (one.get("domain"), one.get("httpOnly")) for one in page.context.cookies()}
    assert held == {"DS": ("localhost", True), "DSR": ("localhost", True)}
    assert here.look("document.cookie") == ""
    assert [here.look(f"sdk.{name}()") for name in ("getSessionToken", "getRefreshToken")] == ["", ""]
    assert not [key for key in here.look("Object.values(localStorage)") if key.startswith("ey")]
    assert here.ask("me()")["data"]["loginIds"] == [ADA]
    assert here.ask("selectTenant('globex')")["ok"] is True
    with page.expect_request("**/v1/auth/refresh?**") as asked:
        assert here.ask("refresh()")["ok"] is True
    assert asked.value.headers["authorization"] == f"Bearer {DEFAULT_PROJECT_ID}"
    assert here.ask("myTenants(true)")["data"]["tenants"][0]["id"] == "globex"
    assert here.ask("logout()")["ok"] is True
    assert page.context.cookies() == []
    assert emulator.requests.count("logout") == 1


def test_renamed_cookies(front_end: FrontEndFactory, emulated: Emulated, page: Page) -> None:
    """The SDK is told the name of the refresh cookie, and from then on names it in each call."""
    _, base_url = emulated(replace(IN_COOKIES, cookies=CookieSettings("app_session", "app_refresh")))
    here = front_end(base_url)
    here.sign_in()
    assert {one.get("name") for one in page.context.cookies()} == {"app_session", "app_refresh"}
    with page.expect_request("**/v1/auth/refresh?**") as asked:
        assert here.ask("refresh()")["ok"] is True
    assert asked.value.headers["x-descope-refresh-cookie-name"] == "app_refresh"


def test_the_back_end_shares_the_cookies(front_end: FrontEndFactory, emulated: Emulated) -> None:
    """Our plugin in the app behind the page takes the session that the SDK began, and follows its switch."""
    _, base_url = emulated(IN_COOKIES)
    here = front_end(base_url)
    here.open()
    assert here.look("fetch('/who').then((answer) => answer.status)") == 401
    here.sign_in()
    ada = SeedUser(ADA).user_id
    assert here.look("fetch('/who').then((answer) => answer.json())") == {"user": ada, "tenant": "acme"}
    here.ask("selectTenant('globex')")
    assert here.look("fetch('/who').then((answer) => answer.json())") == {"user": ada, "tenant": "globex"}
    here.ask("logout()")
    assert here.look("fetch('/who').then((answer) => answer.status)") == 401


def test_the_back_end_shares_a_cookie_of_the_sdk(
    front_end: FrontEndFactory, typed_emulator: str, page: Page
) -> None:
    """A session token that the SDK itself puts into the cookie DS is as good to the plugin."""
    base_url = typed_emulator.replace("127.0.0.1", "localhost")
    here = front_end(base_url, sessionTokenViaCookie={"sameSite": "Lax", "secure": False})
    here.sign_in()
    assert [one.get("name") for one in page.context.cookies()] == ["DS"]
    assert here.look("fetch('/who').then((answer) => answer.json())") == {
        "user": SeedUser(ADA).user_id,
        "tenant": "acme",
    }


def test_openid_connect(front_end: FrontEndFactory, emulated: Emulated, page: Page) -> None:
    """The SDK as an OIDC client: code with PKCE, user info, refresh, and logout at the provider."""
    emulator, base_url = emulated()
    here = front_end(base_url, oidcConfig=True)
    here.sign_in()
    assert page.url == here.url + "/"
    assert here.look("sdk.getJwtRoles(sdk.getSessionToken(), 'acme')") == ["admin"]
    asked = [call.endpoint for call in emulator.requests if call.endpoint.startswith("oidc_")]
    assert asked == ["oidc_authorize", "oidc_token", "oidc_userinfo"]
    assert here.look("sdk.refresh()") == {"ok": True}
    assert emulator.requests.count("oidc_token") == 2
    with page.expect_navigation(url=here.url + "/"):
        here.look("void sdk.logout()")
    assert emulator.requests.count("oidc_logout") == 1
    assert here.look("sdk.getRefreshToken()") == ""


def test_another_site_reads_nothing(front_end: FrontEndFactory, emulated: Emulated) -> None:
    """EM-03: the same page under a name that is not of this machine cannot even start."""
    emulator, base_url = emulated()
    here = front_end(base_url)
    here.open(host="app.example.test")
    failure = here.look("sdk.sso.start('acme', location.origin).catch(String)")
    assert failure == "TypeError: Failed to fetch"
    assert emulator.requests.count("authorize") == 0
