"""A login that has not given what it was asked for leads to a page, and to no further login (CB-18)."""

from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from fastapi_descope import AuthSession, DescopeSettings, NotAuthenticated, require_mfa, require_step_up
from fastapi_descope._upstream.login_options import LoginParams
from fastapi_descope._web.cookies import SessionCookies
from fastapi_descope._web.login_loops import LoginLoops
from fastapi_descope.events import LoginLoopStopped
from tests.helpers.app_harness import Browser, EnvFactory, add_routes
from tests.helpers.scopes import scope_of

pytestmark = pytest.mark.anyio

SESSION = ("DS", "DSR")


def _guarded(app: FastAPI) -> None:
    add_routes(app)

    @app.get("/payout")
    async def payout(session: Annotated[AuthSession, Depends(require_step_up())]) -> str:
        return session.user.id

    @app.get("/both")
    async def both(
        step_up: Annotated[AuthSession, Depends(require_step_up())],
        mfa: Annotated[AuthSession, Depends(require_mfa())],
    ) -> str:
        return step_up.user.id + mfa.user.id

    @app.get("/never")
    async def never(session: Annotated[AuthSession, Depends(require_step_up())]) -> str:
        raise NotAuthenticated


async def _follow(
    browser: Browser, url: str, *, loses: tuple[str, ...] = (), **headers: str
) -> httpx.Response:
    """Follow redirects for at most 30 steps, and sign in whenever the emulator asks."""
    response = await browser.visit(url, **headers)
    for _ in range(30):
        for name in loses:
            if browser.cookie(name):
                browser.http.cookies.delete(name)
        if "location" in response.headers:
            response = await browser.visit(response.headers["location"], **headers)
        elif "/signin/" in str(response.url):
            response = await browser.choose(response, "ada@acme.example")
        else:
            return response
    raise AssertionError("the login loops")


async def test_cb18_browser_that_keeps_no_session_gets_a_page(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """After one login. The page says what is missing, and offers another try."""
    env = make_env(default_tenant="acme")
    browser = env.browser()

    page = await _follow(browser, "/me", loses=SESSION)

    assert page.status_code == 401
    assert "Signing in did not help" in page.text
    assert 'href="/login/sso?return_to=%2Fme"' in page.text
    assert env.calls("exchange") == 1
    assert env.events.count(LoginLoopStopped("session")) == 1
    assert "DESCOPE_COOKIE_DOMAIN" in caplog.text
    assert (await _follow(browser, "/login/sso?return_to=/me")).json()["tenant"] == "acme"


async def test_cb18_dropped_return_path_does_not_loop(make_env: EnvFactory) -> None:
    """The login ends at the landing page, which leads back to the same page."""
    env = make_env(default_tenant="acme", post_login_path="/maybe")
    browser = env.browser()
    long = "/me?" + "x" * 1_100

    await _follow(browser, long, loses=SESSION)

    page = await browser.visit(long)
    assert page.status_code == 401
    assert "Signing in did not help" in page.text


async def test_cb18_step_up_that_is_not_granted_gets_a_page(make_env: EnvFactory) -> None:
    """Descope signs the user in without it: here, because the browser does not keep the refresh token."""
    env = make_env(routes=_guarded, default_tenant="acme")
    browser = await env.signed_in_browser()

    page = await _follow(browser, "/payout", loses=("DSR",))

    assert page.status_code == 401
    assert "confirmation that this page needs was not granted" in page.text
    assert 'href="/login/sso?step_up=true&amp;return_to=%2Fpayout"' in page.text
    assert env.events.count(LoginLoopStopped("step_up")) == 1


async def test_cb18_two_logins_that_undo_each_other_stop(make_env: EnvFactory) -> None:
    """A step-up is granted, then a second factor without the step-up, and so on."""
    env = make_env(routes=_guarded, default_tenant="acme")

    page = await _follow(await env.signed_in_browser(), "/both")

    assert page.status_code in (200, 401)
    assert env.calls("exchange") <= 4


def test_cb18_marker_remembers_each_login_for_a_minute() -> None:
    """A login for the same page that was asked for something else is none of them."""
    settings = DescopeSettings(project_id="P" + "a" * 27, public_url="https://app.example.com")
    loops = LoginLoops(SessionCookies(settings))
    step_up, mfa = LoginParams(step_up="true"), LoginParams(mfa="true")
    (first,) = loops.mark(scope_of(), step_up, "/both")
    (second,) = loops.mark(scope_of(cookie=first.decode().partition(";")[0]), mfa, "/both")
    scope = scope_of(cookie=second.decode().partition(";")[0])

    assert loops.is_loop(scope, step_up, "/both")
    assert loops.is_loop(scope, mfa, "/both")
    assert not loops.is_loop(scope, LoginParams(), "/both")
    assert b"; Max-Age=60;" in second


async def test_cb18_app_that_refuses_every_session_does_not_loop(make_env: EnvFactory) -> None:
    """A handler raises ``NotAuthenticated`` for a user who is signed in."""
    env = make_env(routes=_guarded, default_tenant="acme")

    page = await _follow(await env.signed_in_browser(), "/never")

    assert page.status_code == 401
    assert "Signing in did not help" in page.text


async def test_cb18_htmx_is_not_sent_to_the_login_again(make_env: EnvFactory) -> None:
    """The fragment of a public page needs a session that the browser does not keep."""
    env = make_env(default_tenant="acme")
    browser = env.browser()
    headers = {"hx_request": "true", "hx_current_url": "http://127.0.0.1:8000/public"}
    first = await browser.get("/me", **headers)
    await _follow(browser, first.headers["hx-redirect"], loses=SESSION)

    second = await browser.get("/me", **headers)

    assert "hx-redirect" not in second.headers
    assert second.json()["code"] == "login_loop"
    assert (await browser.get("/me")).json()["code"] == "not_authenticated"


@pytest.mark.parametrize("end", ["success", "logout", "time", "another page"])
async def test_cb18_success_logout_and_time_end_the_suspicion(make_env: EnvFactory, end: str) -> None:
    """A second tab, or a logout elsewhere, raises no false alarm."""
    env = make_env(default_tenant="acme")
    browser = env.browser()
    await browser.visit(await browser.open_callback())
    if end == "success":
        assert (await browser.visit("/me")).status_code == 200
    if end == "logout":
        await browser.post("/logout")
    if end == "time":
        env.emulator.clock.advance(61)
        browser.http.cookies.delete("descope_asked")  # the jar has no clock to move
    for name in SESSION:
        if browser.cookie(name):
            browser.http.cookies.delete(name)

    response = await browser.visit("/session-of" if end == "another page" else "/me")

    assert response.status_code == 303


@pytest.mark.parametrize(
    "value", ["", "x", "x" * 23, ".".join(["x" * 22] * 5), "x" * 22 + "; descope_asked=y"]
)
async def test_cb18_malformed_marker_means_nothing(make_env: EnvFactory, value: str) -> None:
    """The browser is sent to the login."""
    response = await make_env().browser().visit("/me", cookie=f"descope_asked={value}")

    assert response.status_code == 303
