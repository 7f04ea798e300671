"""The page that asks for the organisation: when it is shown, and what its form carries.

Requirements CB-12 and CB-15.
"""

import asyncio
import re
from hashlib import sha256
from html import unescape
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from fastapi_descope import AuthSession, require_mfa, require_step_up
from fastapi_descope._encoding import base64url_encode
from fastapi_descope._upstream.login_options import LoginParams
from tests.helpers.app_harness import IDP, Browser, EnvFactory, add_routes
from tests.helpers.event_loop import in_virtual_time

pytestmark = pytest.mark.anyio

ELSEWHERE = pytest.mark.parametrize("site", ["cross-site", "same-site"])


def _guarded(app: FastAPI) -> None:
    add_routes(app)

    @app.get("/payout")
    async def payout(session: Annotated[AuthSession, Depends(require_step_up(max_age=300))]) -> str:
        return session.tenant_id or ""

    @app.get("/vault")
    async def vault(session: Annotated[AuthSession, Depends(require_mfa())]) -> str:
        return session.tenant_id or ""


def _fields(page: httpx.Response) -> dict[str, str]:
    """Return the initial values of the form."""
    inputs = re.findall(r'<input [^>]*name="([^"]+)" value="([^"]*)"', page.text)
    return {name: unescape(value) for name, value in inputs}


async def _answer(browser: Browser, page: httpx.Response, **typed: str) -> httpx.Response:
    """Submit the form."""
    action = re.search(r'<form action="([^"]+)"', page.text)
    assert action
    query = httpx.QueryParams({**_fields(page), **typed})
    return await browser.visit(f"{unescape(action[1])}?{query}", sec_fetch_site="same-origin")


async def _finish(browser: Browser, started: httpx.Response, user: str) -> httpx.Response:
    """Sign in at Descope and follow the redirects back."""
    chosen = await browser.choose(await browser.visit(started.headers["location"]), user)
    returned = await browser.visit(chosen.headers["location"], sec_fetch_site="cross-site")
    return await browser.visit(returned.headers["location"], sec_fetch_site="cross-site")


async def test_a_step_up_uses_the_tenant_of_the_session(make_env: EnvFactory) -> None:
    """The tenant of the session is used, so no form is shown."""
    env = make_env(routes=_guarded)
    browser = await env.signed_in_browser()
    refused = await browser.visit("/payout")

    started = await browser.visit(refused.headers["location"], sec_fetch_site="same-origin")
    page = await _finish(browser, started, "ada@acme.example")

    assert started.headers["location"].startswith(IDP)
    assert (page.status_code, page.json()) == (200, "acme")


async def test_an_mfa_login_uses_the_tenant_of_the_session(
    make_env: EnvFactory,
) -> None:
    """The same for MFA. The login sends one call."""
    env = make_env(routes=_guarded)
    browser = await env.signed_in_browser()
    refused = await browser.visit("/vault")
    before = len(list(env.emulator.requests))

    started = await browser.visit(refused.headers["location"])

    assert refused.headers["location"] == "/login/sso?mfa=true&return_to=%2Fvault"
    assert started.headers["location"].startswith(IDP)
    (call,) = list(env.emulator.requests)[before:]
    assert dict(call.query)["tenant"] == "acme"


async def test_the_tenant_of_the_session_precedes_the_default_tenant(make_env: EnvFactory) -> None:
    """A step-up stays in the tenant of the session."""
    env = make_env(routes=_guarded, default_tenant="globex")
    browser = await env.signed_in_browser()

    await browser.visit("/login/sso?step_up=true")

    (*_, call) = env.emulator.requests
    assert dict(call.query)["tenant"] == "acme"


async def test_an_unauthenticated_step_up_asks_for_the_organisation(make_env: EnvFactory) -> None:
    """Without a session the tenant is unknown."""
    response = await make_env().browser().visit("/login/sso?step_up=true&return_to=/me")

    assert response.status_code == 200
    assert _fields(response) == {"return_to": "/me", "step_up": "true", "tenant": ""}


async def test_the_form_carries_all_login_parameters(make_env: EnvFactory) -> None:
    """Step-up, MFA, hint, SSO configuration, prompt and forced authentication are in the form, escaped."""
    asked = {
        "return_to": "/a?b=1&c=2",
        "step_up": "true",
        "mfa": "1",
        "force_authn": "true",
        "login_hint": 'a"<b>@acme.example',
        "sso_id": "okta",
        "prompt": "login",
    }

    page = await make_env().browser().visit(f"/login/sso?{httpx.QueryParams(asked)}")

    assert page.status_code == 200
    assert _fields(page) == {**asked, "tenant": ""}
    assert 'a"<b>' not in page.text


@pytest.mark.parametrize("name", LoginParams.meanings())
async def test_every_login_parameter_is_documented_and_carried(make_env: EnvFactory, name: str) -> None:
    """OpenAPI and the form follow the one list of login parameters."""
    env = make_env()

    page = await env.browser().visit(f"/login/sso?{name}=true")

    assert _fields(page)[name] == "true"
    parameters = env.app.openapi()["paths"]["/login/sso"]["get"]["parameters"]
    assert name in [parameter["name"] for parameter in parameters]


@pytest.mark.parametrize(
    "query",
    ["step_up=yes", "mfa=true&mfa=true", "login_hint=%0a", "sso_id=a%20b", "prompt=", "x=1"],
)
async def test_cb12_malformed_parameters_are_not_carried(make_env: EnvFactory, query: str) -> None:
    """The rule is the same as at the login (CB-12)."""
    page = await make_env().browser().visit(f"/login/sso?{query}")

    assert _fields(page) == {"return_to": "/", "tenant": ""}


@ELSEWHERE
async def test_cb15_another_site_cannot_swap_the_user_without_confirmation(
    make_env: EnvFactory, site: str
) -> None:
    """A signed-in user must confirm. No login starts and the session stays until then."""
    env = make_env()
    browser = await env.signed_in_browser()

    page = await browser.visit("/login/sso?tenant=globex&return_to=/me", sec_fetch_site=site)

    assert page.status_code == 200
    assert "Another site sent you here" in page.text
    assert _fields(page) == {"return_to": "/me", "tenant": "globex"}
    assert "set-cookie" not in page.headers
    assert env.calls("authorize") == 1
    assert (await browser.get("/me")).json()["tenant"] == "acme"
    started = await _answer(browser, page)
    assert (await _finish(browser, started, "hank@globex.example")).json()["tenant"] == "globex"


@ELSEWHERE
async def test_another_site_can_start_a_login_without_a_session(make_env: EnvFactory, site: str) -> None:
    """Without a session there is no user to swap, so the login continues."""
    response = await make_env().browser().visit("/login/sso?tenant=acme", sec_fetch_site=site)

    assert response.headers["location"].startswith(IDP)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("tenant=acme", {"sec_fetch_site": "same-origin"}),
        ("tenant=acme", {"sec_fetch_site": "none"}),
        ("tenant=acme", {}),
    ],
    ids=["a link of ours", "typed", "no such header"],
)
async def test_cb15_our_own_links_to_the_login_need_no_confirmation(
    make_env: EnvFactory, query: str, headers: dict[str, str]
) -> None:
    """Only another site can be an attacker's."""
    browser = await make_env().signed_in_browser()

    response = await browser.visit(f"/login/sso?{query}", **headers)

    assert response.headers["location"].startswith(IDP)


@ELSEWHERE
@pytest.mark.parametrize(
    "query",
    [
        "",
        "login_hint=a",
        "sso_id=okta",
        "prompt=login",
        "step_up=true",
        "mfa=true",
        "tenant=globex",
    ],
)
@pytest.mark.parametrize("live", ["both", "refresh"])
async def test_cb15_every_form_of_link_is_confirmed(
    make_env: EnvFactory, query: str, site: str, live: str
) -> None:
    """Also for a session that only can be refreshed. The confirmed login has the parameters of the link."""
    env = make_env(default_tenant="acme")
    browser = await env.signed_in_browser()
    if live == "refresh":
        env.emulator.clock.advance(660)
    calls = len(list(env.emulator.requests))

    page = await browser.visit(f"/login/sso?{query}", sec_fetch_site=site)

    assert page.status_code == 200
    assert "Another site sent you here" in page.text
    assert len(list(env.emulator.requests)) == calls
    assert _fields(page) == {"return_to": "/", **dict(httpx.QueryParams(query))}
    await _answer(browser, page)
    assert env.calls("authorize") == 2


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
async def test_cb15_strict_cookies_do_not_hide_the_session(make_env: EnvFactory, site: str) -> None:
    """Browsers do not send them from another site, so the session is unknown there."""
    env = make_env(default_tenant="acme", cookie_samesite="strict")

    response = await env.browser().visit("/login/sso", sec_fetch_site=site)

    assert (response.status_code == 200) is (site == "cross-site")


@pytest.mark.parametrize("cookies", ["DS=x.y.z; DSR=x.y.z", "DS=a; DSR=b", "expired"])
async def test_cb15_only_verified_tokens_count(make_env: EnvFactory, cookies: str) -> None:
    """Otherwise any cookie would make logins from a portal ask."""
    env = make_env(default_tenant="acme")
    browser = await env.signed_in_browser()
    if cookies == "expired":
        env.emulator.clock.advance(10**7)
    else:
        browser = env.browser(cookie=cookies)

    response = await browser.visit("/login/sso", sec_fetch_site="cross-site")

    assert response.headers["location"].startswith(IDP)


async def test_cb15_unknown_tokens_are_confirmed_while_no_keys_can_be_fetched(make_env: EnvFactory) -> None:
    """The session may be live."""
    env, other = make_env(default_tenant="acme"), make_env()
    signed_in = await other.signed_in_browser()
    env.emulator.faults.add("keys", status=503, times=100)
    cookies = {name: signed_in.cookie(name) for name in ("DS", "DSR")}
    browser = env.browser(cookie="; ".join(f"{name}={value}" for name, value in cookies.items()))

    page = await browser.visit("/login/sso", sec_fetch_site="cross-site")

    assert "Another site sent you here" in page.text


async def test_cb15_link_to_a_protected_page_is_not_confirmed(make_env: EnvFactory) -> None:
    """Such as one in an e-mail. Our redirect begins the login, and marks it for one use."""
    env = make_env(routes=_guarded)
    browser = await env.signed_in_browser()
    refused = await browser.visit("/payout?id=1", sec_fetch_site="cross-site")
    login = refused.headers["location"]
    (mark,) = browser.names() - browser.session_names()

    started = await browser.visit(login, sec_fetch_site="cross-site")
    again = await browser.visit(login, sec_fetch_site="cross-site")

    assert mark.endswith("descope_own_login")
    assert started.headers["location"].startswith(IDP)
    assert "Another site sent you here" in again.text


@pytest.mark.parametrize("added", ["&tenant=globex", "&login_hint=a", "&sso_id=okta", "&prompt=login", "&x"])
async def test_cb15_mark_is_for_one_query(make_env: EnvFactory, added: str) -> None:
    """A link that opens a protected page first gains nothing."""
    env = make_env(routes=_guarded)
    browser = await env.signed_in_browser()
    refused = await browser.visit("/payout", sec_fetch_site="cross-site")

    page = await browser.visit(refused.headers["location"] + added, sec_fetch_site="cross-site")

    assert "Another site sent you here" in page.text


async def test_cb15_planted_mark_excuses_no_foreign_parameter(make_env: EnvFactory) -> None:
    """Over plain http a sibling domain can write the cookie."""
    env = make_env()
    query = "tenant=globex&return_to=%2F"
    mark = base64url_encode(sha256(query.encode()).digest())[:22]
    browser = await env.signed_in_browser()
    browser.http.cookies.set("descope_own_login", mark)

    page = await browser.visit(f"/login/sso?{query}", sec_fetch_site="same-site")

    assert "Another site sent you here" in page.text


@ELSEWHERE
@in_virtual_time
async def test_cb19_logins_that_other_sites_begin_leave_room_for_others(
    make_env: EnvFactory, site: str
) -> None:
    """CB-19: two at a time call Descope. Any other is confirmed first, and costs nothing until then."""
    env = make_env(default_tenant="acme")
    env.emulator.faults.add("authorize", hold=True, times=2)
    flood = [asyncio.create_task(env.browser().visit("/login/sso", sec_fetch_site=site)) for _ in range(2)]
    await env.emulator.faults.wait_until_held(2)

    pages = await asyncio.gather(
        *(env.browser().visit("/login/sso", sec_fetch_site=site) for _ in range(200))
    )
    honest = await env.browser().visit("/login/sso", sec_fetch_site="none")

    assert {page.status_code for page in pages} == {200}
    assert "Sign in?" in pages[0].text
    assert env.calls("authorize") == 3
    assert honest.headers["location"].startswith(IDP)
    env.emulator.faults.release()
    assert {(await each).status_code for each in flood} == {303}


@pytest.mark.parametrize("typed", ["ada@acme.example ", " acme", "acme\t"])
async def test_blank_around_the_organisation_is_ignored(make_env: EnvFactory, typed: str) -> None:
    """Keyboards of phones add one after the completed e-mail address."""
    browser = make_env().browser()

    response = await _answer(browser, await browser.visit("/login/sso"), tenant=typed)

    assert response.headers["location"].startswith(IDP)
