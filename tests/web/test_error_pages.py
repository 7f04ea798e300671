"""Error pages for users: their statements are true, and only useful links are shown."""

import logging

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.requests import Request

from fastapi_descope import (
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    Forbidden,
    Login,
    LoginRejected,
    current_user,
    require_roles,
    require_step_up,
    require_tenant,
)
from fastapi_descope.errors import SessionTooLarge
from tests.helpers.app_harness import APP, Browser, EnvFactory

pytestmark = pytest.mark.anyio

_SECOND_TIME = "second time"
_SIGNED_IN = "You are signed in"
_STILL_SIGNED_IN = "You are still signed in."


def _too_large(app: FastAPI) -> None:
    @app.get("/large")
    async def large() -> None:
        raise SessionTooLarge


async def test_the_page_for_a_session_too_large_offers_no_login(make_env: EnvFactory) -> None:
    """Another login would create the same session, so the page offers none."""
    response = await make_env(routes=_too_large).browser().visit("/large")

    assert response.status_code == 400
    assert "tell the people who run this application" in response.text
    assert "Sign in again" not in response.text
    assert _SECOND_TIME not in response.text


def _admins(app: FastAPI) -> None:
    app.get("/admins", dependencies=[Depends(require_roles("owner"))])(lambda: None)


def _payout(app: FastAPI) -> None:
    app.post("/payout", dependencies=[Depends(require_step_up(max_age=300))])(lambda: None)
    app.post("/note", dependencies=[Depends(current_user)])(lambda: None)


@pytest.mark.parametrize("referer", [APP + "/payout?draft=1", "https://evil.example/", None])
async def test_a_form_that_needs_a_step_up_gets_a_page_with_a_link(
    make_env: EnvFactory, referer: str | None
) -> None:
    """A redirect would silently lose the form data. The page says so, and links to safe targets."""
    env = make_env(routes=_payout)
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(400)
    headers = {"referer": referer} if referer else {}

    response = await browser.post("/payout", {}, sec_fetch_mode="navigate", **headers)

    back = (
        "&amp;return_to=http%3A%2F%2F127.0.0.1%3A8000%2Fpayout%3Fdraft%3D1" if "draft" in str(referer) else ""
    )
    assert response.status_code == 401
    assert "You are signed in, but this step needs your confirmation." in response.text
    assert f'<a href="/login/sso?step_up=true{back}">Confirm who you are</a>' in response.text


async def test_an_unauthenticated_form_gets_a_page_with_a_login_link(
    make_env: EnvFactory,
) -> None:
    """For example, the session expired while the user wrote a long text."""
    browser = make_env(routes=_payout).browser()

    response = await browser.post("/note", {}, sec_fetch_mode="navigate", referer=APP + "/write")

    assert (
        '<a href="/login/sso?return_to=http%3A%2F%2F127.0.0.1%3A8000%2Fwrite">Sign in again</a>'
        in response.text
    )


async def test_the_page_for_a_rejected_login_promises_nothing(make_env: EnvFactory) -> None:
    """A hook rejected the login without a reason, so another login would be rejected too."""
    env = make_env()

    @env.descope.on_login
    async def nobody(_request: Request, _login: Login) -> None:
        raise LoginRejected(reason="not_invited")

    response = await env.browser().sign_in()

    assert response.status_code == 400
    assert "ask the people who run this application" in response.text
    assert _SECOND_TIME not in response.text


async def test_a_login_rejected_as_forbidden_does_not_say_signed_in(make_env: EnvFactory) -> None:
    """The page says "You are signed in" only if there is a session."""
    env = make_env(routes=_admins)

    response = await (await env.signed_in_browser()).visit("/admins")
    assert (response.status_code, _SIGNED_IN in response.text) == (403, True)

    @env.descope.on_login
    async def nobody(_request: Request, _login: Login) -> None:
        raise Forbidden

    response = await env.browser().sign_in()
    assert (response.status_code, _SIGNED_IN in response.text) == (403, False)
    assert "Your account is not allowed to do this." in response.text


async def test_only_a_browser_with_a_session_is_still_signed_in(make_env: EnvFactory) -> None:
    """An outage at the start of a login, and during a session."""
    env = make_env(refresh_ahead=0)
    stranger, user = env.browser(), await env.signed_in_browser()
    env.emulator.faults.add("authorize", status=503)
    env.emulator.faults.add("refresh", status=503)

    refused = await stranger.visit("/login/sso?tenant=acme")
    env.emulator.clock.advance(3_600)
    waiting = await user.visit("/me")

    assert (refused.status_code, waiting.status_code) == (503, 503)
    assert _STILL_SIGNED_IN not in refused.text
    assert _STILL_SIGNED_IN in waiting.text


async def test_a_missing_login_route_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The middleware is installed without the router: the log names what is missing."""
    app = FastAPI()
    settings = DescopeSettings(project_id="P" + "a" * 27, public_url=APP)
    app.add_middleware(DescopeMiddleware, descope=Descope(settings=settings))
    app.get("/page", dependencies=[Depends(require_roles("admin"))])(lambda: None)
    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))

    responses = [await browser.visit("/page") for _ in range(3)]

    assert {response.status_code for response in responses} == {401}
    (message,) = caplog.messages
    assert message.endswith("use Descope(app), or app.include_router(descope.router)")


async def test_a_request_from_loopback_sees_configuration_errors(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The response on loopback contains the details, and the log has them once, as an error."""

    def guarded(app: FastAPI) -> None:
        app.get("/reports", dependencies=[Depends(require_tenant("tenant"))])(lambda: None)

    browser = await make_env(routes=guarded).signed_in_browser()
    caplog.clear()

    responses = [await browser.get("/reports") for _ in range(2)]

    assert "the route has no path parameter" in responses[0].json()["detail"]
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "the route has no path parameter" in record.getMessage()


@pytest.mark.parametrize("path", ["/login/sso", "/callback"])
async def test_a_long_query_is_refused_before_it_is_parsed(make_env: EnvFactory, path: str) -> None:
    """The limit is exactly 8 KB. No call is sent and no event is emitted."""
    env = make_env()

    long, longer = [await env.browser().get(f"{path}?{'a' * size}") for size in (8_192, 8_193)]

    assert "too long" not in long.text
    assert longer.status_code == 400
    assert longer.json()["detail"] == "The URL is too long"
