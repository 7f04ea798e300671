"""Descope's published browser SDK, unmodified, in Chromium against the emulator.

The page is a front end as in Descope's guide (``tests/browser/front_end.py``). The page and the emulator are
on two ports of ``localhost``: two origins of one site.
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
from tests.helpers.full_project import FULL_PROJECT
from tests.helpers.live_server import listening, serve_app

pytestmark = [pytest.mark.browser, pytest.mark.sdk("web-js")]

IN_COOKIES = Project(session_token_in="cookie", refresh_token_in="cookie")


FrontEndFactory = Callable[..., FrontEnd]
StartEmulator = Callable[..., tuple[Emulator, str]]


@pytest.fixture(scope="module")
def signing_key() -> SigningKey:
    """Return the key of all emulators of the module."""
    return SigningKey.generate()


@pytest.fixture
def start_emulator(signing_key: SigningKey) -> Generator[StartEmulator]:
    """Return a function that starts an emulator with a project and returns it with its base URL."""
    with ExitStack() as stack:

        def start(project: Project | None = None) -> tuple[Emulator, str]:
            emulator = Emulator(project, signing_key=signing_key.with_new_kid())
            return emulator, stack.enter_context(running(emulator, host="localhost"))

        yield start


@pytest.fixture
def front_end(page: Page) -> Generator[FrontEndFactory]:
    """Return a function that serves the page with options of the SDK. Its app also has our plugin."""
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
def signed_in(front_end: FrontEndFactory, typed_emulator: str) -> FrontEnd:
    """Return the page, signed in at the emulator that the command runs."""
    tab = front_end(typed_emulator.replace("127.0.0.1", "localhost"))
    tab.sign_in()
    return tab


def test_sign_in(signed_in: FrontEnd) -> None:
    """After a login the SDK has the tokens, listeners were called, and the URL contains no code."""
    assert signed_in.page.url == signed_in.url + "/"
    assert signed_in.evaluate("recorded.signedIn") == [True]
    assert signed_in.evaluate("recorded.users") == [ADA]
    assert signed_in.evaluate("recorded.tokens") == [signed_in.evaluate("sdk.getSessionToken()")]
    assert signed_in.evaluate("localStorage.DSR") == signed_in.evaluate("sdk.getRefreshToken()") != ""
    assert signed_in.evaluate("sdk.getCurrentTenant(sdk.getSessionToken())") == "acme"
    assert signed_in.evaluate("sdk.getJwtRoles(sdk.getSessionToken(), 'acme')") == ["admin"]
    assert signed_in.evaluate("sdk.getLastUserLoginId()") == ADA
    assert signed_in.page.context.cookies() == []


def test_reload(signed_in: FrontEnd) -> None:
    """After a reload, a refresh with the stored token restores the session."""
    signed_in.page.reload()
    with signed_in.page.expect_request("**/v1/auth/refresh?**") as request_info:
        assert signed_in.call_sdk("refresh()")["ok"] is True
    assert request_info.value.url.endswith("?dcs=t&dcr=t")
    assert signed_in.evaluate("recorded.signedIn") == [True]
    assert signed_in.evaluate("sdk.isJwtExpired(sdk.getSessionToken())") is False


def test_profile_tenants_and_history(signed_in: FrontEnd) -> None:
    """The user, the tenants and the logins can be read across origins."""
    me = signed_in.call_sdk("me()")
    assert (me["code"], me["data"]["userId"]) == (200, SeedUser(ADA).user_id)
    tenants = signed_in.call_sdk("myTenants(['acme', 'globex'])")["data"]["tenants"]
    assert [one["name"] for one in tenants] == ["Acme Corp", "Globex"]
    assert signed_in.call_sdk("history()")["data"][0]["selectedTenant"] == "acme"


def test_tenant_switch(signed_in: FrontEnd) -> None:
    """The SDK's token names the new tenant, which refreshes keep."""
    assert signed_in.call_sdk("selectTenant('globex')")["ok"] is True
    assert signed_in.evaluate("sdk.getCurrentTenant(sdk.getSessionToken())") == "globex"
    signed_in.call_sdk("refresh()")
    assert signed_in.evaluate("sdk.getCurrentTenant(sdk.getSessionToken())") == "globex"
    refused = signed_in.call_sdk("selectTenant('umbrella')")
    assert (refused["code"], refused["error"]["errorCode"]) == (403, "E011004")


def test_trusted_device(front_end: FrontEndFactory, start_emulator: StartEmulator) -> None:
    """The SDK keeps the device's token through a logout, and sends it with its calls."""
    tab = front_end(start_emulator(FULL_PROJECT)[1])
    tab.sign_in()
    device = tab.evaluate("localStorage.DTD")
    assert device.count(".") == 2
    with tab.page.expect_request("**/v1/auth/logout") as request_info:
        tab.call_sdk("logout()")
    assert request_info.value.headers["x-descope-trusted-device-token"] == device
    assert tab.evaluate("[localStorage.DS, localStorage.DSR, localStorage.DTD]") == [None, None, device]


@pytest.mark.parametrize("method", ["logout", "logoutAll"])
def test_logout(signed_in: FrontEnd, method: str) -> None:
    """The browser stores no token, and the old refresh token is refused."""
    refresh = signed_in.evaluate("sdk.getRefreshToken()")
    assert signed_in.call_sdk(f"{method}()")["ok"] is True
    assert [signed_in.evaluate(f"sdk.{name}()") for name in ("getSessionToken", "getRefreshToken")] == [
        "",
        "",
    ]
    assert signed_in.evaluate("recorded.signedIn") == [True, False]
    refused = signed_in.call_sdk(f"refresh({json.dumps(refresh)})")
    assert (refused["code"], refused["error"]["errorCode"]) == (401, "E064001")


def test_refusal_on_the_page(front_end: FrontEndFactory, typed_emulator: str) -> None:
    """A refused login redirects without a code and leaves no session."""
    tab = front_end(typed_emulator.replace("127.0.0.1", "localhost"))
    tab.open()
    tab.page.get_by_role("button", name="Sign in").click()
    tab.page.get_by_role("button", name="Refuse").click()
    tab.page.wait_for_url("**/?*err=access_denied*")
    assert tab.evaluate("sdk.getRefreshToken()") == ""


def test_refresh_without_a_session(front_end: FrontEndFactory, typed_emulator: str) -> None:
    """``refresh`` with ``tryRefresh`` returns nothing; without it, an error."""
    tab = front_end(typed_emulator.replace("127.0.0.1", "localhost"))
    tab.open()
    tab.evaluate("localStorage.setItem('DSLI', '1')")  # otherwise the SDK sends no request
    tried = tab.call_sdk("refresh(undefined, true)")
    assert (tried["ok"], tried["data"]) == (True, {})
    refused = tab.call_sdk("refresh()")
    assert (refused["code"], refused["error"]["errorCode"]) == (401, "E061005")


def test_automatic_refresh_before_expiry(
    front_end: FrontEndFactory, start_emulator: StartEmulator, page: Page
) -> None:
    """With ``autoRefresh`` the SDK refreshes the session twenty seconds before it expires."""
    emulator, base_url = start_emulator()
    tab = front_end(base_url, autoRefresh=True)
    page.clock.install()
    tab.sign_in()
    assert emulator.requests.count("refresh") == 0
    page.clock.fast_forward(550_000)  # the clock of the page goes on meanwhile
    assert emulator.requests.count("refresh") == 0
    with page.expect_response("**/v1/auth/refresh?**") as response_info:
        page.clock.fast_forward(31_000)
    assert response_info.value.status == 200


def test_automatic_refresh_before_the_inactivity_timeout(
    front_end: FrontEndFactory, start_emulator: StartEmulator, page: Page
) -> None:
    """A project with an inactivity timeout sends the SDK the time of the next refresh."""
    _, base_url = start_emulator(Project(inactivity_seconds=120))
    tab = front_end(base_url, autoRefresh=True)
    page.clock.install()
    tab.sign_in()
    with page.expect_response("**/v1/auth/refresh?**") as response_info:
        page.clock.fast_forward(120_000)
    assert response_info.value.status == 200


def test_a_revoked_session(front_end: FrontEndFactory, start_emulator: StartEmulator) -> None:
    """The SDK drops refused tokens and calls its listeners."""
    emulator, base_url = start_emulator()
    tab = front_end(base_url)
    tab.sign_in()
    emulator.revoke_sessions(ADA)
    refused = tab.call_sdk("refresh()")
    assert (refused["code"], refused["error"]["errorCode"]) == (401, "E064001")
    assert tab.evaluate("sdk.getRefreshToken()") == ""
    assert tab.evaluate("recorded.signedIn") == [True, False]


def test_rate_limit(front_end: FrontEndFactory, start_emulator: StartEmulator) -> None:
    """The page may read the Retry-After header across origins."""
    emulator, base_url = start_emulator()
    tab = front_end(base_url)
    tab.sign_in()
    emulator.faults.add("select", status=429, retry_after=7)
    limited = tab.call_sdk("selectTenant('globex')")
    assert (limited["code"], limited["error"]["errorCode"]) == (429, "E130429")
    assert limited["error"]["retryAfter"] == 7
    assert tab.evaluate("sdk.getRefreshToken()") != ""


def test_tokens_in_cookies(front_end: FrontEndFactory, start_emulator: StartEmulator, page: Page) -> None:
    """Both tokens are in HttpOnly cookies, which the browser sends; no script sees them."""
    emulator, base_url = start_emulator(IN_COOKIES)
    tab = front_end(base_url)
    tab.sign_in()
    cookies = {one.get("name"): (one.get("domain"), one.get("httpOnly")) for one in page.context.cookies()}
    assert cookies == {"DS": ("localhost", True), "DSR": ("localhost", True)}
    assert tab.evaluate("document.cookie") == ""
    assert [tab.evaluate(f"sdk.{name}()") for name in ("getSessionToken", "getRefreshToken")] == ["", ""]
    assert not [key for key in tab.evaluate("Object.values(localStorage)") if key.startswith("ey")]
    assert tab.call_sdk("me()")["data"]["loginIds"] == [ADA]
    assert tab.call_sdk("selectTenant('globex')")["ok"] is True
    with page.expect_request("**/v1/auth/refresh?**") as request_info:
        assert tab.call_sdk("refresh()")["ok"] is True
    assert request_info.value.headers["authorization"] == f"Bearer {DEFAULT_PROJECT_ID}"
    assert tab.call_sdk("myTenants(true)")["data"]["tenants"][0]["id"] == "globex"
    assert tab.call_sdk("logout()")["ok"] is True
    assert page.context.cookies() == []
    assert emulator.requests.count("logout") == 1


def test_renamed_cookies(front_end: FrontEndFactory, start_emulator: StartEmulator, page: Page) -> None:
    """The SDK reads the name of the refresh cookie from a response and sends it with each call."""
    _, base_url = start_emulator(replace(IN_COOKIES, cookies=CookieSettings("app_session", "app_refresh")))
    tab = front_end(base_url)
    tab.sign_in()
    assert {one.get("name") for one in page.context.cookies()} == {"app_session", "app_refresh"}
    with page.expect_request("**/v1/auth/refresh?**") as request_info:
        assert tab.call_sdk("refresh()")["ok"] is True
    assert request_info.value.headers["x-descope-refresh-cookie-name"] == "app_refresh"


def test_the_back_end_shares_the_cookies(front_end: FrontEndFactory, start_emulator: StartEmulator) -> None:
    """Our plugin in the page's app accepts the SDK's session, and its tenant switch."""
    _, base_url = start_emulator(IN_COOKIES)
    tab = front_end(base_url)
    tab.open()
    assert tab.evaluate("fetch('/who').then((response) => response.status)") == 401
    tab.sign_in()
    ada = SeedUser(ADA).user_id
    assert tab.evaluate("fetch('/who').then((response) => response.json())") == {
        "user": ada,
        "tenant": "acme",
    }
    tab.call_sdk("selectTenant('globex')")
    assert tab.evaluate("fetch('/who').then((response) => response.json())") == {
        "user": ada,
        "tenant": "globex",
    }
    tab.call_sdk("logout()")
    assert tab.evaluate("fetch('/who').then((response) => response.status)") == 401


def test_the_back_end_shares_a_cookie_of_the_sdk(
    front_end: FrontEndFactory, typed_emulator: str, page: Page
) -> None:
    """The plugin accepts a session token that the SDK itself stores in the cookie DS."""
    base_url = typed_emulator.replace("127.0.0.1", "localhost")
    tab = front_end(base_url, sessionTokenViaCookie={"sameSite": "Lax", "secure": False})
    tab.sign_in()
    assert [one.get("name") for one in page.context.cookies()] == ["DS"]
    assert tab.evaluate("fetch('/who').then((response) => response.json())") == {
        "user": SeedUser(ADA).user_id,
        "tenant": "acme",
    }


def test_openid_connect(front_end: FrontEndFactory, start_emulator: StartEmulator, page: Page) -> None:
    """As an OIDC client the SDK uses a code with PKCE, user info, refresh, and logout at the provider."""
    emulator, base_url = start_emulator()
    tab = front_end(base_url, oidcConfig=True)
    tab.sign_in()
    assert page.url == tab.url + "/"
    assert tab.evaluate("sdk.getJwtRoles(sdk.getSessionToken(), 'acme')") == ["admin"]
    endpoints = [call.endpoint for call in emulator.requests if call.endpoint.startswith("oidc_")]
    assert endpoints == ["oidc_authorize", "oidc_token", "oidc_userinfo"]
    assert tab.evaluate("sdk.refresh()") == {"ok": True}
    assert emulator.requests.count("oidc_token") == 2
    with page.expect_navigation(url=tab.url + "/"):
        tab.evaluate("void sdk.logout()")
    assert emulator.requests.count("oidc_logout") == 1
    assert tab.evaluate("sdk.getRefreshToken()") == ""


def test_another_site_reads_nothing(front_end: FrontEndFactory, start_emulator: StartEmulator) -> None:
    """EM-03: the page at a host that is not loopback cannot call the emulator."""
    emulator, base_url = start_emulator()
    tab = front_end(base_url)
    tab.open(host="app.example.test")
    failure = tab.evaluate("sdk.sso.start('acme', location.origin).catch(String)")
    assert failure == "TypeError: Failed to fetch"
    assert emulator.requests.count("authorize") == 0
