"""``GET /callback`` exchanges a code for a session, once.

Requirements CB-04, CB-05, CB-07, CB-08, CB-09, CB-10, CB-15 and LG-07.
"""

import pytest
from starlette.requests import Request

from fastapi_descope import Login, LoginRejected, NotAuthenticated, StepUpRequired
from fastapi_descope.events import LoginFailed, SignedIn
from tests.helpers.app_harness import IDP, EnvFactory

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("code=", "kode="),
        ("code=", "code=second&code="),
        ("code=", "code=%0d%0a"),
        ("code=", "code=" + "a" * 2048),
        ("code=", "code=%C3%A9"),
        ("code=", "code[]="),
        ("code=", "code=&kode="),
    ],
    ids=["missing", "twice", "newline", "too long", "not ASCII", "a list", "empty"],
)
async def test_cb05_a_malformed_code_is_rejected(make_env: EnvFactory, old: str, new: str) -> None:
    """No call is sent to Descope, and the pending login is deleted."""
    env = make_env()
    browser = env.browser()
    callback = await browser.open_callback()

    response = await browser.visit(callback.replace(old, new))

    assert response.status_code == 400
    assert env.calls("exchange") == 0
    assert not browser.names()


async def test_cb04_two_tabs_can_sign_in_at_the_same_time(make_env: EnvFactory) -> None:
    """Each login has its own cookie, so they can finish in any order."""
    browser = make_env().browser()
    one, two = await browser.open_callback(return_to="/one"), await browser.open_callback(return_to="/two")

    assert (await browser.visit(two)).headers["location"] == "/two"
    assert (await browser.visit(one)).headers["location"] == "/one"


async def test_cb08_a_rejected_code_offers_a_new_login(make_env: EnvFactory) -> None:
    """The response is a 400 page without session cookies, after one call."""
    env = make_env()
    browser = env.browser()
    callback = await browser.open_callback()
    env.emulator.faults.add("exchange", status=401)

    response = await browser.visit(callback)

    assert response.status_code == 400
    assert "Sign in again" in response.text
    assert not browser.names()
    assert env.events[-1] == LoginFailed("code_refused", 401, "E011001")


async def test_cb08_an_outage_during_the_exchange_is_503_and_not_retried(make_env: EnvFactory) -> None:
    """A code is valid once, and the app cannot know whether Descope has used it."""
    env = make_env()
    browser = env.browser()
    callback = await browser.open_callback()
    env.emulator.faults.add("exchange", status=502)

    response = await browser.visit(callback)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert '<a href="/login/sso?tenant=acme&amp;return_to=%2Fme">Sign in again</a>' in response.text
    assert env.calls("exchange") == 1


async def test_cb07_a_response_without_tokens_sets_no_cookie(make_env: EnvFactory) -> None:
    """The response of Descope violates the wire contract, so the login fails with 502."""
    env = make_env()
    browser = env.browser()
    callback = await browser.open_callback()
    env.emulator.faults.add("exchange", status=200, body=b"{}")

    response = await browser.visit(callback)

    assert response.status_code == 502
    assert not browser.names()


async def test_cb09_a_new_login_replaces_both_cookies(make_env: EnvFactory) -> None:
    """The user of the earlier session is no longer signed in."""
    browser = make_env().browser()
    await browser.sign_in("ada@acme.example")
    before = browser.cookie("DS"), browser.cookie("DSR")

    response = await browser.sign_in("grace@acme.example")

    assert browser.cookie("DS") != before[0]
    assert browser.cookie("DSR") != before[1]
    assert [cookie.partition("=")[0] for cookie in response.headers.get_list("set-cookie")][-2:] == [
        "DS",
        "DSR",
    ]


async def test_cb15_a_login_while_signed_in_starts_a_new_one(make_env: EnvFactory) -> None:
    """The login does not redirect straight to the return path."""
    browser = make_env().browser()
    await browser.sign_in()

    response = await browser.visit("/login/sso?tenant=acme&return_to=/reports")

    assert response.headers["location"].startswith(f"{IDP}/signin/")


@pytest.mark.parametrize(
    ("error", "sentence", "reason"),
    [
        (NotAuthenticated("Your account is locked."), "Your account is locked.", "not_authenticated"),
        (NotAuthenticated(), "You can start again.", "not_authenticated"),
        (StepUpRequired(acr="mfa"), "You can start again.", "step_up_required"),
    ],
    ids=["with a sentence", "without", "step-up"],
)
async def test_not_authenticated_in_a_login_hook_rejects_the_login(
    make_env: EnvFactory, error: NotAuthenticated, sentence: str, reason: str
) -> None:
    """A 401 would redirect to the login and loop; a 500 would blame the app."""
    env = make_env()

    @env.descope.on_login
    async def hook(request: Request, login: Login) -> None:
        raise error

    browser = env.browser()
    response = await browser.sign_in()

    assert (response.status_code, browser.names()) == (400, set())
    assert sentence in response.text
    assert 'href="/login/sso?tenant=acme&amp;return_to=%2Fme">Sign in again' in response.text
    assert env.events[-1] == LoginFailed(reason)


async def test_cb10_the_redirect_of_the_callback_leaks_nothing(make_env: EnvFactory) -> None:
    """The redirect has no referrer, is not cached, and has an empty body."""
    response = await make_env().browser().sign_in()

    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "private, no-store"
    assert response.content == b""


async def test_login_hooks_run_in_order_before_any_cookie(make_env: EnvFactory) -> None:
    """Hooks receive the verified session and can reject it."""
    env = make_env()
    seen: list[str] = []

    @env.descope.on_login
    async def provision(request: Request, login: Login) -> None:
        seen.append(f"{request.url.path} {login.session.user.email}")

    @env.descope.on_login
    async def only_ada(request: Request, login: Login) -> None:
        if login.session.user.email != "ada@acme.example":
            raise LoginRejected("You have not been invited yet.")

    ada, grace = env.browser(), env.browser()
    welcome, refused = await ada.sign_in(), await grace.sign_in("grace@acme.example")

    assert seen == ["/callback ada@acme.example", "/callback grace@acme.example"]
    assert welcome.status_code == 303
    assert refused.status_code == 400
    assert "You have not been invited yet." in refused.text
    assert not grace.names()
    assert [event for event in env.events if isinstance(event, (SignedIn, LoginFailed))] == [
        SignedIn("U22a1322415fff1b1aceaebe7855", "acme", first_seen=True),
        LoginFailed("refused"),
    ]


async def test_lg07_signing_in_is_an_event_without_secrets(make_env: EnvFactory) -> None:
    """The event names user and tenant, and whether Descope has seen the user before."""
    env = make_env()

    await env.browser().sign_in()

    assert env.events[-1] == SignedIn("U22a1322415fff1b1aceaebe7855", "acme", first_seen=True)


@pytest.mark.parametrize("path", ["/callback/", "/callback//", "/login/sso/", "/auth/callback/"])
async def test_cb17_slash_at_the_end_is_never_redirected(make_env: EnvFactory, path: str) -> None:
    """Starlette builds the redirect from the Host header, and the code would leave the site (CB-17)."""
    prefix = "/auth" if path.startswith("/auth") else ""
    env = make_env(prefix=prefix)

    response = await env.browser().visit(f"{path}?code=c&state=s", host="evil.example")

    assert response.status_code == 404
    assert response.headers["cache-control"] == "no-store"
    assert "location" not in response.headers
