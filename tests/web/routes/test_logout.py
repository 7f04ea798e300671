"""``/logout`` and ``/logout/all``: what goes, what stays, and what comes back for nobody.

Requirements LO-01, LO-02, LO-03, LO-04 and LO-06; TN-12.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request

from fastapi_descope import DescopeAuthBackend, optional_user
from fastapi_descope.events import SignedOut
from tests.helpers.app_harness import APP, AppHarness, EnvFactory
from tests.helpers.cookie_jar import deleted_names

pytestmark = pytest.mark.anyio


async def test_lo01_a_person_who_signs_out_is_sent_on(make_env: EnvFactory) -> None:
    """The cookies are deleted with the attributes they were set with (CK-07)."""
    env = make_env(post_logout_path="/bye")
    browser = await env.signed_in_browser()

    response = await browser.post("/logout", sec_fetch_mode="navigate")

    assert response.status_code == 303
    assert response.headers["location"] == "/bye"
    gone = "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"
    assert response.headers.get_list("set-cookie") == [f"DS{gone}", f"DSR{gone}"]
    assert env.events[-1] == SignedOut(everywhere=False, confirmed=True)


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_lo01_the_cookies_go_whatever_descope_says(make_env: EnvFactory, status: int) -> None:
    """Signing out here does not need anybody's consent."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.faults.add("logout", status=status)

    response = await browser.post("/logout")

    assert response.status_code == 204
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}
    assert env.events[-1] == SignedOut(everywhere=False, confirmed=False)


@pytest.mark.parametrize(
    "reader", [Request.form, Request.body, Request.stream], ids=["form", "body", "stream"]
)
async def test_lo01_a_dependency_that_has_read_the_form_does_not_matter(
    make_env: EnvFactory, reader: Callable[[Request], Awaitable[object] | AsyncIterator[bytes]]
) -> None:
    """One of the whole app looks for a token against forgery in it, before our route is reached."""

    async def check(request: Request) -> None:
        found = reader(request)
        if isinstance(found, AsyncIterator):
            [_ async for _ in found]
        else:
            await found

    env = make_env(app=FastAPI(dependencies=[Depends(check)]))
    browser = await env.signed_in_browser()

    response = await browser.post("/logout", {"return_to": "/bye"}, sec_fetch_mode="navigate")

    assert response.status_code == 303
    assert response.headers["location"] == ("/" if reader is Request.stream else "/bye")
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}


def _with_backend(env: AppHarness) -> None:
    # Innermost: what an app adds later stands further out than DescopeMiddleware.
    env.app.user_middleware.append(Middleware(AuthenticationMiddleware, backend=DescopeAuthBackend()))


@pytest.mark.parametrize("by", ["backend", "dependency"])
async def test_lo01_who_looks_at_the_session_of_every_request_keeps_nobody_signed_in(
    make_env: EnvFactory, by: str
) -> None:
    """A dead session that cannot be refreshed is an outage elsewhere; here it is over, and a login begins."""
    env = make_env(app=FastAPI(dependencies=[Depends(optional_user)] if by == "dependency" else []))
    if by == "backend":
        _with_backend(env)
    browser = await env.signed_in_browser()
    env.emulator.faults.add("refresh", times=9, status=503)
    env.emulator.clock.advance(660)

    assert (await browser.get("/public")).status_code == 503
    assert (await browser.visit("/login/sso?tenant=acme")).status_code == 303
    response = await browser.post("/logout")

    assert response.status_code == 204
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}


async def test_lo02_signing_out_without_a_session_is_fine(make_env: EnvFactory) -> None:
    """Twice is as good as once; a body that is no form does not matter."""
    env = make_env()
    browser = env.browser()

    response = await browser.http.post(
        APP + "/logout", content=b"\xff", headers={"content-type": "text/plain"}
    )

    assert response.status_code == 204
    assert env.calls("logout") == 0


async def test_lo03_no_late_request_revives_a_session_that_was_signed_out(make_env: EnvFactory) -> None:
    """Not even one whose refresh was remembered a moment ago."""
    env = make_env()
    browser = await env.signed_in_browser()
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    env.emulator.clock.advance(660)
    await browser.get("/session-of")

    await browser.post("/logout")
    late = await env.browser().get("/session-of", cookie=old)

    assert late.status_code == 401
    assert late.json()["code"] == "session_ended"


async def test_tn12_signing_out_everywhere_ends_the_other_browser_too(make_env: EnvFactory) -> None:
    """At its next refresh at the latest."""
    env = make_env()
    desk, phone = await env.signed_in_browser(), await env.signed_in_browser()

    response = await desk.post("/logout/all", {"return_to": "/bye"}, sec_fetch_mode="navigate")
    env.emulator.clock.advance(660)

    assert response.headers["location"] == "/bye"
    assert SignedOut(everywhere=True, confirmed=True) in env.events
    assert (await phone.get("/session-of")).status_code == 401


async def test_lo04_a_session_token_holds_until_its_end_wherever_it_is_checked(
    make_env: EnvFactory,
) -> None:
    """A logout deletes cookies and ends the refreshing; whoever copied the session token has it a while."""
    env = make_env()
    browser = await env.signed_in_browser()
    copied = f"Bearer {browser.cookie('DS')}"

    await browser.post("/logout")
    at_once = await env.browser().get("/session-of", authorization=copied)
    env.emulator.clock.advance(606)
    later = await env.browser().get("/session-of", authorization=copied)

    assert (at_once.status_code, later.status_code) == (200, 401)


async def test_lo06_a_bearer_cannot_be_signed_out(make_env: EnvFactory) -> None:
    """There is no refresh token to revoke; saying yes would be a lie."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example")

    response = await env.browser().post("/logout", authorization=f"Bearer {pair.session_jwt}")

    assert response.status_code == 400
