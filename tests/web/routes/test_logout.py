"""``/logout`` and ``/logout/all``: the cookies and the session at Descope.

Requirements LO-01, LO-02, LO-03, LO-06 and TN-12.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from fastapi import Depends, FastAPI
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request

from fastapi_descope import DescopeAuthBackend, optional_user
from fastapi_descope.emulator import Project
from fastapi_descope.events import SignedOut
from tests.helpers.app_harness import APP, AppHarness, EnvFactory
from tests.helpers.asgi_client import send_request
from tests.helpers.auth_harness import ADA_ID
from tests.helpers.cookie_jar import deleted_names
from tests.helpers.event_loop import in_virtual_time

pytestmark = pytest.mark.anyio


async def test_lo01_logout_redirects_a_navigation(make_env: EnvFactory) -> None:
    """The cookies are deleted with the attributes with which they were set (CK-07)."""
    env = make_env(post_logout_path="/bye")
    browser = await env.signed_in_browser()

    response = await browser.post("/logout", sec_fetch_mode="navigate")

    assert response.status_code == 303
    assert response.headers["location"] == "/bye"
    gone = "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax"
    assert response.headers.get_list("set-cookie") == [f"DS{gone}", f"DSR{gone}"]
    assert env.events[-1] == SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID)


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_lo01_logout_deletes_the_cookies_when_descope_fails(make_env: EnvFactory, status: int) -> None:
    """Logout in this browser does not depend on Descope."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.faults.add("logout", status=status)

    response = await browser.post("/logout")

    assert response.status_code == 204
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}
    assert env.events[-1] == SignedOut(everywhere=False, confirmed=False, user_id=ADA_ID)


@pytest.mark.parametrize(
    "reader", [Request.form, Request.body, Request.stream], ids=["form", "body", "stream"]
)
async def test_lo01_logout_works_after_a_dependency_has_read_the_body(
    make_env: EnvFactory, reader: Callable[[Request], Awaitable[object] | AsyncIterator[bytes]]
) -> None:
    """An app-wide dependency may read the form first, for example for a CSRF token."""

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
    # Appended, so that DescopeMiddleware wraps it.
    env.app.user_middleware.append(Middleware(AuthenticationMiddleware, backend=DescopeAuthBackend()))


@pytest.mark.parametrize("by", ["backend", "dependency"])
async def test_lo01_logout_and_login_work_when_a_dependency_cannot_refresh(
    make_env: EnvFactory, by: str
) -> None:
    """A refresh that fails is a 503 on other routes; login and logout work without a session."""
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


async def test_lo02_logout_without_a_session_succeeds(make_env: EnvFactory) -> None:
    """Logout is idempotent, and a malformed body does not matter."""
    env = make_env()
    browser = env.browser()

    response = await browser.http.post(
        APP + "/logout", content=b"\xff", headers={"content-type": "text/plain"}
    )

    assert response.status_code == 204
    assert env.calls("logout") == 0


async def test_lo03_a_late_request_does_not_revive_a_session_after_logout(make_env: EnvFactory) -> None:
    """Not even with a refresh result that was cached a moment ago."""
    env = make_env()
    browser = await env.signed_in_browser()
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    env.emulator.clock.advance(660)
    await browser.get("/session-of")

    await browser.post("/logout")
    late = await env.browser().get("/session-of", cookie=old)

    assert late.status_code == 401
    assert late.json()["code"] == "session_ended"


async def test_lo03_logout_with_an_old_token_ends_the_session_of_the_new_one(make_env: EnvFactory) -> None:
    """A tab logs out with the cookies from before a refresh; another tab has those from after it."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = await env.signed_in_browser()
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    env.emulator.clock.advance(660)
    assert (await browser.get("/session-of")).status_code == 200

    await env.browser().post("/logout", cookie=old)
    response = await browser.get("/session-of")

    assert (response.status_code, response.json()["code"]) == (401, "session_ended")
    assert SignedOut(everywhere=False, confirmed=True, user_id=ADA_ID) in env.events


async def test_tn12_logout_everywhere_ends_the_other_browsers_session(make_env: EnvFactory) -> None:
    """It ends at its next refresh at the latest."""
    env = make_env()
    desk, phone = await env.signed_in_browser(), await env.signed_in_browser()

    response = await desk.post("/logout/all", {"return_to": "/bye"}, sec_fetch_mode="navigate")
    env.emulator.clock.advance(660)

    assert response.headers["location"] == "/bye"
    assert SignedOut(everywhere=True, confirmed=True, user_id=ADA_ID) in env.events
    assert (await phone.get("/session-of")).status_code == 401


async def test_lo06_logout_with_a_bearer_is_rejected(make_env: EnvFactory) -> None:
    """A bearer has no refresh token that could be revoked, so a success would be false."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example")

    response = await env.browser().post("/logout", authorization=f"Bearer {pair.session_jwt}")

    assert response.status_code == 400


@in_virtual_time
async def test_lo01_logout_does_not_wait_for_a_slow_body(make_env: EnvFactory) -> None:
    """The cookies are deleted within two seconds also if the body never ends."""
    env = make_env()
    browser = await env.signed_in_browser()

    async def drip() -> AsyncIterator[bytes]:
        yield b"return_to="
        await asyncio.get_running_loop().create_future()

    headers = {"sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded"}
    async with asyncio.timeout(2):
        response = await browser.http.post(f"{APP}/logout", content=drip(), headers=headers)

    assert response.status_code == 204
    assert deleted_names(response.headers.get_list("set-cookie")) == {"DS", "DSR"}
    assert env.calls("logout") == 1


async def test_lo01_logout_of_a_client_that_disconnects_is_completed(make_env: EnvFactory) -> None:
    """The rest of its body never arrives."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example")
    headers = [
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"cookie", f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}".encode("ascii")),
    ]

    response = await send_request(
        env.app, "/logout", headers, method="POST", body=b"return_to=", is_complete=False
    )

    assert response.status == 204
    assert deleted_names(response.all("set-cookie")) == {"DS", "DSR"}
    assert env.calls("logout") == 1
