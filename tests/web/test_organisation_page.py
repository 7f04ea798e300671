"""The page that asks for the organisation: when it is shown, and what its form carries.

Requirements CB-12 and CB-15.
"""

import re
from html import unescape
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI

from fastapi_descope import AuthSession, require_mfa, require_step_up
from fastapi_descope._upstream.login_options import LoginParams
from tests.helpers.app_harness import IDP, Browser, EnvFactory, add_routes

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

    assert response.status_code == 400
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

    assert page.status_code == 400
    assert _fields(page) == {**asked, "tenant": ""}
    assert 'a"<b>' not in page.text


@pytest.mark.parametrize("name", LoginParams.names())
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
        ("step_up=true&return_to=/me", {"sec_fetch_site": "cross-site"}),
    ],
    ids=["a link of ours", "typed", "no such header", "a step-up that a link from elsewhere led to"],
)
async def test_cb15_our_own_links_to_the_login_need_no_confirmation(
    make_env: EnvFactory, query: str, headers: dict[str, str]
) -> None:
    """Only a tenant that another site chose can be an attacker's."""
    browser = await make_env().signed_in_browser()

    response = await browser.visit(f"/login/sso?{query}", **headers)

    assert response.headers["location"].startswith(IDP)


@pytest.mark.parametrize("typed", ["ada@acme.example ", " acme", "acme\t"])
async def test_blank_around_the_organisation_is_ignored(make_env: EnvFactory, typed: str) -> None:
    """Keyboards of phones add one after the completed e-mail address."""
    browser = make_env().browser()

    response = await _answer(browser, await browser.visit("/login/sso"), tenant=typed)

    assert response.headers["location"].startswith(IDP)
