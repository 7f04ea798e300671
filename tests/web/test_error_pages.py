"""What people read when something went wrong: true for them, and no more than they can use."""

import logging

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.requests import Request

from fastapi_descope import (
    AuthSession,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    Forbidden,
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


async def test_a_session_too_large_is_not_to_be_tried_again(make_env: EnvFactory) -> None:
    """Signing in again brings the same session, so the page offers no such thing."""
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
async def test_a_form_that_needs_a_step_up_leads_to_one_and_back_to_its_page(
    make_env: EnvFactory, referer: str | None
) -> None:
    """A redirect would lose what was sent without a word; the page says so, and where to go is ours."""
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


async def test_a_form_that_nobody_sent_leads_to_the_login_and_back_to_its_page(
    make_env: EnvFactory,
) -> None:
    """The session ran out over a long text, say."""
    browser = make_env(routes=_payout).browser()

    response = await browser.post("/note", {}, sec_fetch_mode="navigate", referer=APP + "/write")

    assert (
        '<a href="/login/sso?return_to=http%3A%2F%2F127.0.0.1%3A8000%2Fwrite">Sign in again</a>'
        in response.text
    )


async def test_a_refused_sign_in_promises_nothing(make_env: EnvFactory) -> None:
    """An app's hook that gives no reason of its own: another try is refused as well."""
    env = make_env()

    @env.descope.on_login
    async def nobody(_request: Request, _session: AuthSession) -> None:
        raise LoginRejected(reason="not_invited")

    response = await env.browser().sign_in()

    assert response.status_code == 400
    assert "ask the people who run this application" in response.text
    assert _SECOND_TIME not in response.text


async def test_who_may_not_sign_in_is_not_told_that_they_are(make_env: EnvFactory) -> None:
    """A hook may refuse with any error; who is signed in and may not do something reads that they are."""
    env = make_env(routes=_admins)

    response = await (await env.signed_in_browser()).visit("/admins")
    assert (response.status_code, _SIGNED_IN in response.text) == (403, True)

    @env.descope.on_login
    async def nobody(_request: Request, _session: AuthSession) -> None:
        raise Forbidden

    response = await env.browser().sign_in()
    assert (response.status_code, _SIGNED_IN in response.text) == (403, False)
    assert "Your account is not allowed to do this." in response.text


async def test_who_was_not_signed_in_is_not_told_that_they_still_are(make_env: EnvFactory) -> None:
    """An outage at the start of a login, and in the middle of a session."""
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


async def test_a_page_without_a_way_to_the_login_is_advised_on_once(caplog: pytest.LogCaptureFixture) -> None:
    """The middleware without the router: whoever runs the app reads what is missing."""
    app = FastAPI()
    settings = DescopeSettings(project_id="P" + "a" * 27, public_url=APP)
    app.add_middleware(DescopeMiddleware, descope=Descope(settings=settings))
    app.get("/page", dependencies=[Depends(require_roles("admin"))])(lambda: None)
    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))

    responses = [await browser.visit("/page") for _ in range(3)]

    assert {response.status_code for response in responses} == {401}
    (message,) = caplog.messages
    assert message.endswith("use Descope(app), or app.include_router(descope.router)")


async def test_a_developer_on_this_machine_reads_what_to_mend(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has it too, once, as an error."""

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
    """400 over 8 KB, and not a byte less; nothing is asked or told."""
    env = make_env()

    long, longer = [await env.browser().get(f"{path}?{'a' * size}") for size in (8_192, 8_193)]

    assert "too long" not in long.text
    assert longer.status_code == 400
    assert longer.json()["detail"] == "The URL is too long"
