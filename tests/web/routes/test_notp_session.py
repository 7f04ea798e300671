"""``POST /login/notp/session`` completes a sign-in; ``POST /login/notp`` starts one for a script.

Requirements NP-04 and NP-06.
"""

import asyncio

import pytest
from starlette.requests import Request

from fastapi_descope import (
    Forbidden,
    Login,
    LoginOptions,
    LoginRejected,
)
from fastapi_descope._encoding import base64url_decode
from fastapi_descope._web.login_transactions import Transaction
from fastapi_descope.events import CrossSiteRefused, LoginStarted, SignedIn
from tests.helpers.app_harness import AppHarness, EnvFactory
from tests.helpers.notp import ADA, LOGIN_COOKIE, TRUSTED, SignIn, open_page, post_json

pytestmark = pytest.mark.anyio


async def test_a_pending_sign_in_is_202(notp_env: AppHarness) -> None:
    """It changes no cookie and emits no event."""
    sign_in = await open_page(notp_env)

    response = await sign_in.poll()

    assert response.status_code == 202
    assert response.json() == {"status": "pending", "retry_after": 1}
    assert response.headers["retry-after"] == "1"
    assert response.headers["cache-control"] == "no-store"
    assert "set-cookie" not in response.headers
    assert notp_env.events == [LoginStarted("notp")]


async def test_a_confirmed_sign_in_sets_the_cookies(notp_env: AppHarness) -> None:
    """The body is that of ``/session``. The sign-in's own cookie is deleted."""
    sign_in = await open_page(notp_env, query="?return_to=/me")
    await sign_in.confirm()

    response = await sign_in.poll()

    assert response.status_code == 200
    assert response.headers["cache-control"] == "private, no-store"
    assert sign_in.browser.names() == {"DS", "DSR"}
    assert response.json() == (await sign_in.browser.get("/session")).json()
    assert (response.json()["user"]["email"], response.json()["amr"]) == (ADA, ["whatsapp"])
    assert [event for event in notp_env.events if isinstance(event, SignedIn)] == [
        SignedIn(response.json()["user"]["id"], None, True, "notp")
    ]


async def test_a_form_is_redirected_to_the_target(notp_env: AppHarness) -> None:
    """Browsers without scripts work: before the message they get a page with the form."""
    sign_in = await open_page(notp_env, query="?return_to=/public")

    waiting = await sign_in.send_form()
    await sign_in.confirm()
    response = await sign_in.send_form()

    assert waiting.status_code == 200
    assert "Your message has not arrived yet." in waiting.text
    assert f'<input type="hidden" name="state" value="{sign_in.state}">' in waiting.text
    assert "script-src" not in waiting.headers["content-security-policy"]
    assert (response.status_code, response.headers["location"]) == (303, "/public")
    assert response.headers["referrer-policy"] == "no-referrer"
    assert sign_in.browser.names() == {"DS", "DSR"}


async def test_cb10_a_target_planted_in_the_cookie_is_not_followed(notp_env: AppHarness) -> None:
    """The stored target is checked again."""
    sign_in = await open_page(notp_env, query="?return_to=/public")
    (cookie,) = sign_in.browser.http.cookies.jar
    parsed = Transaction.parse((cookie.value or "").encode())
    assert parsed
    planted = Transaction(parsed.state_hash, "//evil.example", parsed.started_at, parsed.pending_ref, "notp")
    cookie.value = planted.value
    await sign_in.confirm()

    assert (await sign_in.send_form()).headers["location"] == "/"


async def test_cb09_a_new_sign_in_replaces_the_session_of_another_user(notp_env: AppHarness) -> None:
    """Both cookies are those of the user who sent the message."""
    browser = notp_env.browser()
    await browser.sign_in("grace@acme.example")
    sign_in = await open_page(notp_env, browser)
    await sign_in.confirm()

    assert (await sign_in.poll()).status_code == 200
    assert (await browser.get("/session")).json()["user"]["email"] == ADA


async def test_cb04_callback_of_an_earlier_login_cannot_be_repeated(notp_env: AppHarness) -> None:
    """It would sign in another user once the browser has lost the cookies of both sessions."""
    browser = notp_env.browser()
    callback = await browser.open_callback("grace@acme.example")
    await browser.visit(callback)
    for name in ("DS", "DSR"):
        browser.http.cookies.delete(name)
    sign_in = await open_page(notp_env, browser)
    await sign_in.confirm()

    assert (await sign_in.poll()).status_code == 200

    for name in ("DS", "DSR"):
        browser.http.cookies.delete(name)
    assert (await browser.visit(callback)).status_code == 400


async def test_login_hooks_run_once_with_the_user_object(notp_env: AppHarness) -> None:
    """It came with the tokens, so it costs no call."""
    seen: list[tuple[str, str | None]] = []

    @notp_env.descope.on_login
    async def hook(request: Request, login: Login) -> None:
        seen.append((login.session.user.id, login.user.email))

    sign_in = await open_page(notp_env)
    await sign_in.confirm()
    responses = await asyncio.gather(*[sign_in.poll() for _ in range(5)])

    assert [response.status_code for response in responses] == [200] * 5
    assert seen == [(responses[0].json()["user"]["id"], ADA)]
    assert (notp_env.calls("notp_pending"), notp_env.calls("me")) == (1, 0)


@pytest.mark.parametrize(
    ("refusal", "status", "detail"),
    [
        (LoginRejected("Your account is suspended."), 400, "Your account is suspended."),
        (Forbidden("Ask for an invitation."), 403, "Ask for an invitation."),
    ],
)
async def test_np04_a_user_whom_a_hook_refuses_is_not_signed_in(
    notp_env: AppHarness, refusal: Exception, status: int, detail: str
) -> None:
    """The page shows the message of the hook, and the sign-in is over."""

    @notp_env.descope.on_login
    async def hook(request: Request, login: Login) -> None:
        raise refusal

    sign_in = await open_page(notp_env)
    await sign_in.confirm()
    response = await sign_in.poll()

    assert (response.status_code, response.json()["detail"]) == (status, detail)
    assert sign_in.browser.names() == set()
    assert (await sign_in.poll()).status_code == 400


async def test_options_of_the_hook_are_sent(notp_env: AppHarness) -> None:
    """Claims are in the session then. A step-up is not sent: it needs a session."""

    @notp_env.descope.login_options
    async def options(request: Request) -> LoginOptions:
        return LoginOptions(stepup=True, custom_claims={"plan": "gold"})

    sign_in = await open_page(notp_env)
    await sign_in.confirm()
    response = await sign_in.poll()

    assert response.json()["step_up"] is False
    token = (sign_in.browser.cookie("DS") or "").split(".")[1]
    assert b'"plan":"gold"' in base64url_decode(token.encode()).replace(b" ", b"")


async def test_np04_a_sign_in_survives_an_outage(notp_env: AppHarness) -> None:
    """A 503 with the time to wait. The cookie stays, so a later poll completes the sign-in."""
    sign_in = await open_page(notp_env)
    await sign_in.confirm()
    notp_env.emulator.faults.add("notp_pending", status=503, retry_after=7)

    response = await sign_in.poll()

    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert "set-cookie" not in response.headers
    assert (await sign_in.poll()).status_code == 200


async def test_np04_a_sign_in_that_descope_refuses_is_over(notp_env: AppHarness) -> None:
    """Its cookie is deleted."""
    sign_in = await open_page(notp_env)
    notp_env.emulator.faults.add("notp_pending", status=400)

    response = await sign_in.poll()

    assert (response.status_code, response.json()["code"]) == (400, "login_rejected")
    assert sign_in.browser.names() == set()


async def test_another_process_completes_the_sign_in(make_env: EnvFactory) -> None:
    """Everything is in the cookie: no process has state that another needs."""
    one = make_env(login_methods=["sso", "notp"])
    two = make_env(login_methods=["sso", "notp"], emulator=one.emulator)
    sign_in = await open_page(one)
    await sign_in.confirm()
    elsewhere = two.browser()
    elsewhere.http.cookies = sign_in.browser.http.cookies

    assert (await sign_in.poll(elsewhere)).status_code == 200


async def test_strict_cookies_need_no_forwarding_page(make_env: EnvFactory) -> None:
    """The form was sent by our own page, so the browser sends them after the redirect."""
    sign_in = await open_page(make_env(login_methods=["sso", "notp"], cookie_samesite="strict"))
    await sign_in.confirm()

    assert (await sign_in.send_form()).status_code == 303


async def test_a_script_gets_link_and_qr_code(notp_env: AppHarness) -> None:
    """The state selects the cookie, which is set."""
    browser = notp_env.browser()

    response = await post_json(browser, "/login/notp", {})

    body = response.json()
    assert response.status_code == 200
    assert sorted(body) == ["expires_in", "poll_interval", "qr_code", "state", "url"]
    assert (body["expires_in"], body["poll_interval"]) == (600, 2)
    assert body["qr_code"].startswith("data:image/svg+xml;charset=utf-8,%3Csvg")
    (cookie,) = response.headers.get_list("set-cookie")
    assert LOGIN_COOKIE.fullmatch(cookie)
    assert response.headers["cache-control"] == "private, no-store"
    sign_in = SignIn(notp_env, browser, body["url"], body["state"])
    await sign_in.confirm()
    assert (await sign_in.poll()).json()["user"]["email"] == ADA


async def test_a_trusted_origin_may_use_it(notp_env: AppHarness) -> None:
    """A front end on another host of the same site."""
    browser = notp_env.browser()
    elsewhere = {"origin": TRUSTED, "sec_fetch_site": "same-site"}

    body = (await post_json(browser, "/login/notp", {}, **elsewhere)).json()
    sign_in = SignIn(notp_env, browser, body["url"], body["state"])
    await sign_in.confirm()

    assert (await sign_in.poll(browser, **elsewhere)).status_code == 200


@pytest.mark.parametrize("path", ["/login/notp", "/login/notp/session"])
async def test_np06_another_site_cannot_use_it(notp_env: AppHarness, path: str) -> None:
    """403, whatever the body; Descope is not called."""
    sign_in = await open_page(notp_env)
    calls = len(list(notp_env.emulator.requests))

    response = await post_json(
        sign_in.browser,
        path,
        {"state": sign_in.state},
        origin="https://evil.example",
        sec_fetch_site="cross-site",
    )

    assert (response.status_code, response.json()["code"]) == (403, "cross_site_request")
    assert "set-cookie" not in response.headers
    assert len(list(notp_env.emulator.requests)) == calls
    assert notp_env.events[-1] == CrossSiteRefused()
