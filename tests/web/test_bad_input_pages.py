"""The responses to bad input: a failed callback, a loop, a too large token and a foreign cookie.

The page says what happened, whether the user is signed in, and what to do next. A script gets a stable code.
The log has one line that names the remedy. No cookie of a live session is deleted.
"""

import html
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import pytest

from fastapi_descope.emulator import Project
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory

pytestmark = pytest.mark.anyio

ADA = "ada@acme.example"

STILL = "You are still signed in"
NOT = "ou are not signed in"

Send = Callable[[AppHarness, Browser], Awaitable[str]]
"""Prepares the case, and returns the URL whose response is looked at."""


async def _unknown_state(env: AppHarness, browser: Browser) -> str:
    return f"/callback?code=abc&state={'A' * 43}"


async def _refused(env: AppHarness, browser: Browser) -> str:
    page = await browser.visit((await browser.visit("/login/sso?tenant=acme")).headers["location"])
    return (await browser.refuse(page)).headers["location"]


async def _spent_code(env: AppHarness, browser: Browser) -> str:
    env.emulator.faults.add("exchange", status=401)
    return await browser.open_callback()


async def _idp_initiated(env: AppHarness, browser: Browser) -> str:
    return "/callback?code=abc"


async def _loop(env: AppHarness, browser: Browser) -> str:
    await browser.visit(await browser.open_callback())
    for name in browser.session_names():
        browser.http.cookies.delete(name)
    return "/me"


def _big_tokens(env: AppHarness) -> bytes:
    big = env.emulator.issue(ADA, "acme", claims={"bulk": "x" * 9000})
    return json.dumps({"sessionJwt": big.session_jwt, "refreshJwt": big.refresh_jwt}).encode()


async def _large_at_login(env: AppHarness, browser: Browser) -> str:
    env.emulator.faults.add("exchange", status=200, body=_big_tokens(env))
    return await browser.open_callback()


async def _large_at_refresh(env: AppHarness, browser: Browser) -> str:
    env.emulator.clock.advance(660)
    env.emulator.faults.add("refresh", status=200, body=_big_tokens(env))
    return "/me"


async def _foreign_cookie(env: AppHarness, browser: Browser) -> str:
    other = env.emulator.issue("hank@globex.example", "globex")
    browser.http.cookies.set("DS", other.session_jwt)
    return "/me"


@dataclass(frozen=True)
class Case:
    """A kind of bad input.

    Attributes:
        send: Prepares it.
        status: The status of the response.
        code: The code for a script.
        what: What happened, on the page.
        signed_in: Whether the user is signed in, on the page, without and with a live session.
        next_step: What to do next, on the page.
        remedy: Words of the log line.
    """

    send: Send
    status: int
    code: str
    what: str
    signed_in: tuple[str | None, str | None]
    next_step: str
    remedy: str


CASES = {
    "unknown state": Case(
        _unknown_state, 400, "login_rejected", "has expired", (NOT, STILL), "Sign in again", "PUBLIC_URL"
    ),
    "refused": Case(
        _refused, 400, "login_rejected", "was cancelled", (NOT, STILL), "Sign in again", "audit log"
    ),
    "spent code": Case(
        _spent_code, 400, "login_rejected", "took too long", (NOT, STILL), "Sign in again", "audit log"
    ),
    "started by the identity provider": Case(
        _idp_initiated, 400, "login_rejected", "has to begin", (NOT, STILL), "Sign in again", "start URL"
    ),
    "loop": Case(_loop, 401, "login_loop", "got no session", (NOT, None), "Sign in again", "DESCOPE_COOKIE"),
    "token too large at login": Case(
        _large_at_login, 400, "session_too_large", "more data", (NOT, STILL), "tell the", "JWT template"
    ),
    "token too large at refresh": Case(
        _large_at_refresh, 400, "session_too_large", "more data", (None, STILL), "tell the", "JWT template"
    ),
    "foreign cookie": Case(
        _foreign_cookie, 401, "conflicting_cookies", "two different", (None, NOT), "Sign in again", "__Host-"
    ),
}

ROWS = [
    pytest.param(case, live, id=f"{name}, {'signed in' if live else 'not signed in'}")
    for name, case in CASES.items()
    for live in (False, True)
    if case.signed_in[live] is not None
]


async def _start(make_env: EnvFactory, *, live: bool) -> tuple[AppHarness, Browser]:
    env = make_env(project=Project(rotate_refresh=True), cookie_prefix="")
    return env, await env.signed_in_browser() if live else env.browser()


def _deleted(response: httpx.Response) -> set[str]:
    lines = response.headers.get_list("set-cookie")
    return {line.partition("=")[0] for line in lines if "Max-Age=0" in line}


@pytest.mark.parametrize(("case", "live"), ROWS)
async def test_browser_gets_a_page_that_explains(make_env: EnvFactory, case: Case, *, live: bool) -> None:
    """The page has three answers, and the session stays."""
    env, browser = await _start(make_env, live=live)

    response = await browser.visit(await case.send(env, browser))

    text = html.unescape(response.text)
    assert response.status_code == case.status
    assert response.headers["content-type"].startswith("text/html")
    for words in (case.what, case.signed_in[live] or "", case.next_step):
        assert words in text
    assert not {"DS", "DSR"} & _deleted(response)


async def test_page_calls_a_user_signed_in_for_valid_tokens_only(make_env: EnvFactory) -> None:
    """The browser sends cookies of a session that ended long ago."""
    env, browser = await _start(make_env, live=True)
    env.emulator.clock.advance(10**7)

    response = await browser.visit(await _unknown_state(env, browser))

    assert "You are not signed in." in response.text


@pytest.mark.parametrize(("case", "live"), ROWS)
async def test_script_gets_a_stable_code(make_env: EnvFactory, case: Case, *, live: bool) -> None:
    """In a problem document. The session stays. A script cannot loop, so it gets the code of any 401."""
    env, browser = await _start(make_env, live=live)
    url = await case.send(env, browser)

    response = await browser.get(url)

    code = "not_authenticated" if case.code == "login_loop" else case.code
    assert (response.status_code, response.json()["code"]) == (case.status, code)
    assert not {"DS", "DSR"} & _deleted(response)


@pytest.mark.parametrize(("case", "live"), ROWS)
async def test_operator_gets_one_line_that_names_the_remedy(
    make_env: EnvFactory, caplog: pytest.LogCaptureFixture, case: Case, *, live: bool
) -> None:
    """Also if the browser repeats the request at once."""
    env, browser = await _start(make_env, live=live)
    url = await case.send(env, browser)
    caplog.clear()

    await browser.visit(url)

    assert len([line for line in caplog.messages if case.remedy in line]) == 1, caplog.messages
