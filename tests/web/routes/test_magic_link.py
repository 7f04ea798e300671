"""A sign-in by e-mail: ask for a link, open it, press its button.

Requirements ML-01, ML-02, ML-03, ML-04, ML-05 and ML-06.
"""

import re

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from fastapi_descope import (
    DescopeMiddleware,
    Forbidden,
    Login,
    LoginOptions,
)
from fastapi_descope._web.routes.table import RouteTable
from fastapi_descope.emulator import Clock, Emulator, Project
from fastapi_descope.events import LoginFailed, LoginStarted, SignedIn
from tests.helpers.app_harness import APP, AppHarness, Browser, EnvFactory
from tests.helpers.emulator import signing_key
from tests.helpers.magic_link import ADA, ask, fields, follow, link, press

pytestmark = pytest.mark.anyio

NOW = 1_700_000_000
UNKNOWN = "nobody@acme.example"
COOKIE = re.compile(
    r"descope_login_[0-9a-f]{16}=[\w-]{43}\.\d+\.[\w-]{43}\.l\.[\w-]*\.\.; Max-Age=600; Path=/; HttpOnly;"
    r" SameSite=Lax"
)


@pytest.fixture
def env(make_env: EnvFactory) -> AppHarness:
    """Build an app with single sign-on and links. Its clock stands still until a test moves it."""
    emulator = Emulator(clock=Clock(lambda: NOW), signing_key=signing_key())
    return make_env(emulator=emulator, login_methods=["sso", "magiclink"])


async def test_user_signs_in_with_a_link(env: AppHarness) -> None:
    """The link leads back to the page that the login was asked for. Events name the way."""
    browser = env.browser()

    sent = await ask(browser)
    response = await follow(env, browser)

    assert (sent.status_code, response.status_code) == (200, 303)
    assert response.headers["location"] == "/me"
    session = (await browser.get("/session")).json()
    assert session["user"]["email"] == ADA
    started, signed_in = (each for each in env.events if isinstance(each, (LoginStarted, SignedIn)))
    assert started == LoginStarted("magiclink")
    assert isinstance(signed_in, SignedIn)
    assert (signed_in.user_id, signed_in.method) == (session["user"]["id"], "magiclink")
    assert session["amr"] == ["email"]


async def test_page_says_what_to_do(env: AppHarness) -> None:
    """Look in the mailbox, in this browser. Another way is one link away."""
    page = await ask(env.browser())

    assert "<h1>Look in your mailbox</h1>" in page.text
    assert '<a class="quiet" href="/login?return_to=%2Fme">Use another way</a>' in page.text
    assert COOKIE.fullmatch(page.headers["set-cookie"])


async def test_script_asks_for_a_link(env: AppHarness) -> None:
    """A front end draws its own page."""
    browser = env.browser()
    response = await browser.http.post(APP + "/login/magiclink", json={"email": ADA})

    assert (response.status_code, response.json()) == (202, {"expires_in": 600})
    assert (await follow(env, browser)).headers["location"] == "/"


async def test_page_of_the_ways_has_the_form(env: AppHarness) -> None:
    """After single sign-on, with the target."""
    page = await env.browser().visit("/login?return_to=/me")

    assert '<form action="/login/magiclink" method="post">' in page.text
    assert page.text.index("/login/sso") < page.text.index("/login/magiclink")
    assert page.headers["referrer-policy"] == "strict-origin"  # otherwise the form has no Origin
    assert "/login/magiclink" not in (await env.browser().visit("/login?step_up=true")).text


async def test_ml01_without_the_setting_there_is_no_route(make_env: EnvFactory) -> None:
    """An app with single sign-on gets no second way in by default."""
    browser = make_env().browser()

    assert (await ask(browser)).status_code == 404
    assert (await browser.visit("/login/magiclink/verify?t=abcdefghij")).status_code == 404
    assert (await browser.post("/login/magiclink/verify")).status_code == 404


async def test_ml01_link_creates_no_user_by_default(make_env: EnvFactory) -> None:
    """The setting changes that."""
    for sign_up, count in ((False, 0), (True, 1)):
        env = make_env(project=Project(open_sign_up=True), login_methods=["magiclink"], sign_up=sign_up)
        await ask(env.browser(), "new@acme.example")
        assert len(env.emulator.outbox.newest_first()) == count


async def test_ml02_unknown_address_gets_the_same_response(env: AppHarness) -> None:
    """Status, headers and body do not tell whether the address is known. Nothing is logged about it."""
    known, unknown = await ask(env.browser()), await ask(env.browser(), UNKNOWN)

    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
    assert list(known.headers) == list(unknown.headers)
    assert COOKIE.fullmatch(unknown.headers["set-cookie"])
    assert LoginFailed("link_not_sent", 400, "E062108") in env.events
    assert len(env.emulator.outbox.newest_first()) == 1


async def test_ml02_no_log_line_and_event_has_an_address_or_a_token(
    env: AppHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither of a known nor of an unknown user."""
    caplog.set_level("DEBUG")
    browser = env.browser()
    for email in (ADA, UNKNOWN, "not an address"):
        await ask(browser, email)
    token = httpx.URL(link(env)).params["t"]
    await follow(env, browser)
    await follow(env, env.browser())

    texts = [*caplog.messages, *map(repr, env.events), *(str(each.headers) for each in browser.log)]
    assert [text for text in texts if "acme.example" in text or token in text or "not an" in text] == []


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@acme.example",
        "ada@",
        "a b@x.example",
        "ada@x.example\r\nBcc: b@x.example",
        "a@b@c",
        "é@x.example",
        "a" * 129 + "@x.example",
        "a@" + "x" * 253,
    ],
)
async def test_ml02_malformed_address_is_not_sent(env: AppHarness, email: str) -> None:
    """The page says so, without the address."""
    browser = env.browser()

    response = await ask(browser, email)

    assert response.status_code == 400
    assert "That is not an e-mail address." in response.text
    assert '<a href="/login?return_to=%2Fme">Sign in again</a>' in response.text
    assert not browser.names()
    assert len(list(env.emulator.requests)) == 0


@pytest.mark.parametrize("agent", ["visit", "get"])
async def test_ml03_opening_a_link_consumes_nothing(env: AppHarness, agent: str) -> None:
    """A scanner opens it a hundred times, and the user still signs in."""
    browser, scanner = env.browser(), env.browser()
    await ask(browser)
    calls = len(list(env.emulator.requests))

    for _ in range(5):
        await getattr(scanner, agent)(link(env))
        await scanner.http.head(link(env))
    assert len(list(env.emulator.requests)) == calls
    assert scanner.session_names() == set()
    assert (await follow(env, browser)).headers["location"] == "/me"


async def test_ml03_page_of_the_link_is_safe(env: AppHarness) -> None:
    """It is not stored, sends no path as referrer, runs no script, and cannot be framed."""
    browser = env.browser()
    await ask(browser)

    page = await browser.visit(link(env))

    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "strict-origin"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "script" not in page.text
    assert page.text.count("<button>") == 1
    assert "Press the button to sign in to 127.0.0.1:8000." in page.text


@pytest.mark.parametrize("mode", ["no-cors", "cors"])
async def test_ml03_link_is_opened_by_a_navigation_only(env: AppHarness, mode: str) -> None:
    """An embedded image gets no page and no cookie."""
    browser = env.browser()
    await ask(env.browser())

    response = await browser.get(link(env), sec_fetch_mode=mode)

    assert response.status_code == 403
    assert not browser.names()


async def test_ml04_another_browser_signs_in_itself_after_a_confirmation(env: AppHarness) -> None:
    """The page names the host and says where the link was requested. The first browser gets nothing."""
    browser, phone = env.browser(), env.browser()
    await ask(browser)

    page = await phone.visit(link(env), sec_fetch_site="cross-site")
    assert "<h1>Sign in with this browser?</h1>" in page.text
    assert "you are signed in to 127.0.0.1:8000 here, in this browser" in page.text
    assert "<button>Sign in here</button>" in page.text
    response = await press(phone, page)

    assert response.headers["location"] == "/me"
    assert (await phone.get("/session")).json()["user"]["email"] == ADA
    assert browser.session_names() == set()
    assert (await browser.get("/session")).status_code == 401
    assert (await follow(env, browser)).status_code == 400


async def test_ml04_state_of_the_link_does_not_work_in_another_browser(env: AppHarness) -> None:
    """The page gives the other browser a state of its own: without its cookie no token is sent to Descope."""
    browser, attacker = env.browser(), env.browser()
    await ask(browser)
    url = httpx.URL(link(env))
    page = await browser.visit(str(url))

    response = await press(attacker, page)

    assert response.status_code == 400
    assert env.calls("magiclink_verify") == 0
    assert env.events[-1] == LoginFailed("state")
    assert fields(page)["state"] == url.params["state"]
    assert fields(await attacker.visit(str(url)))["state"] != url.params["state"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_ml04_another_site_presses_no_button(env: AppHarness, site: str) -> None:
    """Login CSRF: a page of an attacker sends the form with the attacker's token."""
    victim = env.browser()
    await ask(env.browser(), "hank@globex.example")
    page = await victim.visit(link(env, "hank@globex.example"), sec_fetch_site="cross-site")

    response = await victim.post(
        "/login/magiclink/verify", fields(page), sec_fetch_site=site, sec_fetch_mode="navigate"
    )

    assert response.status_code == 403
    assert victim.session_names() == set()
    assert env.calls("magiclink_verify") == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_ml04_another_site_sends_no_e_mail(env: AppHarness, site: str) -> None:
    """Nor does it start a login in the browser of a visitor."""
    browser = env.browser()

    response = await ask(browser, sec_fetch_site=site)

    assert response.status_code == 403
    assert not browser.names()
    assert env.calls("magiclink_start") == 0


async def test_ml05_token_works_once(env: AppHarness) -> None:
    """The browser that has used it can repeat the request for a minute; any other gets a page."""
    browser, other = env.browser(), env.browser()
    await ask(browser)
    page, theirs = await browser.visit(link(env)), await other.visit(link(env))
    assert (await press(browser, page)).status_code == 303

    repeated, second = await press(browser, page), await press(other, theirs)

    assert repeated.headers["location"] == "/me"
    assert second.status_code == 400
    assert "This link has expired, or was used already." in second.text
    assert env.calls("magiclink_verify") == 2
    assert env.events[-1] == LoginFailed("link_refused", 401, "E062504")


async def test_ml05_used_link_does_nothing_after_a_logout(env: AppHarness) -> None:
    """The history of the browser signs nobody in."""
    browser = env.browser()
    await ask(browser)
    page = await browser.visit(link(env))
    await press(browser, page)
    await browser.post("/logout")

    assert (await press(browser, page)).status_code == 400
    assert (await follow(env, browser)).status_code == 400
    assert (await browser.get("/session")).status_code == 401


async def test_ml05_login_expires_after_ten_minutes(env: AppHarness) -> None:
    """Then the same browser counts as another one, and Descope decides about the token."""
    browser = env.browser()
    await ask(browser)
    page = await browser.visit(link(env))
    env.emulator.clock.advance(601)

    assert (await press(browser, page)).status_code == 400
    assert "<h1>Sign in with this browser?</h1>" in (await browser.visit(link(env))).text
    assert env.calls("magiclink_verify") == 0


@pytest.mark.parametrize(
    "token",
    ["", "short", "a" * 2_049, "a b c d e f", "abcdefgh\r\n", "abcdefg/é", "<script>alert", "a" * 9 + "'"],
)
async def test_ml05_malformed_token_is_not_sent(env: AppHarness, token: str) -> None:
    """Neither the page nor the button accepts it, and no page reflects it."""
    browser = env.browser()
    await ask(browser)
    url = httpx.URL(link(env))

    opened = await browser.visit(str(url.copy_set_param("t", token)))
    assert opened.status_code == 400
    assert "This link is not complete." in opened.text
    assert "script" not in opened.text
    pressed = await press(browser, await browser.visit(str(url)), token=token)

    assert pressed.status_code == 400
    assert env.calls("magiclink_verify") == 0


async def test_ml05_two_tokens_in_a_link_are_none(env: AppHarness) -> None:
    """A proxy and the app could take different ones (RT-14)."""
    browser = env.browser()
    await ask(browser)

    assert (await browser.visit(link(env) + "&t=abcdefghij")).status_code == 400


async def test_ml05_state_of_one_way_is_not_valid_for_another(env: AppHarness) -> None:
    """Neither the callback completes a link, nor the button a single sign-on (SI-02)."""
    browser = env.browser()
    await ask(browser)
    page = await browser.visit(link(env))
    values = fields(page)
    callback = await browser.visit(f"/callback?state={values['state']}&code={values['token']}")
    assert callback.status_code == 400
    assert env.calls("exchange") == 0

    sso = httpx.URL(await browser.open_callback()).params
    response = await press(browser, page, state=sso["state"], token=sso["code"])
    assert response.status_code == 400
    assert env.calls("magiclink_verify") == 0


@pytest.mark.parametrize("size", [9_000, 1_000_000])
async def test_ml05_large_body_is_refused(env: AppHarness, size: int) -> None:
    """Eight kilobytes are enough for a form."""
    browser = env.browser()
    for path in ("/login/magiclink", "/login/magiclink/verify"):
        assert (await browser.post(path, {"email": "a" * size})).status_code == 400


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example/", "/login", "/login/magiclink/verify"]
)
async def test_ml05_unsafe_target_is_not_followed(env: AppHarness, target: str) -> None:
    """Not from the form, and not from the link in another browser."""
    browser, phone = env.browser(), env.browser()
    await ask(browser, return_to=target)
    assert (await follow(env, browser)).headers["location"] == "/"

    await ask(browser)
    url = httpx.URL(link(env)).copy_set_param("return_to", target)
    assert (await press(phone, await phone.visit(str(url)))).headers["location"] == "/"


async def test_ml06_client_causes_ten_e_mails_in_a_minute(env: AppHarness) -> None:
    """Unknown addresses count too, so that the limit tells nothing about them."""
    browser = env.browser()
    for number in range(10):
        await ask(browser, ADA if number % 2 else UNKNOWN)

    response = await ask(browser)
    assert (response.status_code, response.headers["retry-after"]) == (429, "60")
    assert "Please wait a minute, and try again." in response.text
    assert len(env.emulator.outbox.newest_first()) == 5
    env.emulator.clock.advance(60)
    assert (await ask(browser)).status_code == 200


async def test_outage_is_503_and_starts_no_login(env: AppHarness) -> None:
    """Whether an e-mail was sent is unknown. The user may try again."""
    browser = env.browser()
    env.emulator.faults.add("magiclink_start", status=503)

    response = await ask(browser)

    assert response.status_code == 503
    assert not browser.names()
    assert env.events[-1] == LoginFailed("upstream_unavailable")


async def test_hooks_decide_as_after_any_login(env: AppHarness) -> None:
    """A refused user gets no cookies, and the options of the app are sent."""

    @env.descope.login_options
    async def options(request: Request) -> LoginOptions:
        return LoginOptions(locale="de", stepup=True)

    @env.descope.on_login
    async def refuse(request: Request, login: Login) -> None:
        raise Forbidden

    browser = env.browser()
    await ask(browser)
    response = await follow(env, browser)

    assert response.status_code == 403
    assert browser.session_names() == set()


async def test_former_session_is_superseded(env: AppHarness) -> None:
    """A signed-in user who confirms a link becomes its user in this browser (CB-09)."""
    browser = await env.signed_in_browser()
    await ask(browser, "grace@acme.example")

    await follow(env, browser, "grace@acme.example")

    assert (await browser.get("/session")).json()["user"]["email"] == "grace@acme.example"


async def test_strict_cookies_need_no_forwarding_page(make_env: EnvFactory) -> None:
    """The button is on a page of the app, so the redirect is same-site."""
    env = make_env(login_methods=["magiclink"], cookie_samesite="strict")
    browser = env.browser()
    await ask(browser)

    assert (await follow(env, browser)).status_code == 303


@pytest.mark.parametrize("is_protected", [True, False])
async def test_routes_need_no_session(env: AppHarness, *, is_protected: bool) -> None:
    """Also if the middleware protects every path, and with a prefix."""
    app = FastAPI()
    app.include_router(env.descope.router, prefix="/auth")
    app.add_middleware(DescopeMiddleware, descope=env.descope, protect=is_protected)
    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app)))

    await browser.post("/auth/login/magiclink", {"email": ADA}, sec_fetch_mode="navigate")
    assert link(env).startswith(f"{APP}/auth/login/magiclink/verify?")
    page = await browser.visit(link(env))
    assert '<form action="/auth/login/magiclink/verify" method="post">' in page.text
    response = await browser.post("/auth/login/magiclink/verify", fields(page), sec_fetch_mode="navigate")
    assert response.status_code == 303


async def test_openapi_and_the_route_table_describe_the_routes(env: AppHarness) -> None:
    """They are public routes of the plugin."""
    paths = (await env.browser().get("/openapi.json")).json()["paths"]

    assert sorted(paths["/login/magiclink"]["post"]["responses"]) == [
        "202",
        "400",
        "403",
        "429",
        "502",
        "503",
    ]
    assert sorted(paths["/login/magiclink/verify"]) == ["get", "post"]
    rows = [row for row in RouteTable(env.app).rows if "magiclink" in row.path]
    assert len(rows) == 3
    assert all(row.is_own for row in rows)
