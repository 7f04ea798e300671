"""A planted session cookie: no session, no redirect loop, and a way to recover (CK-02, CK-11)."""

import httpx
import pytest
from fastapi import FastAPI

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import Emulator
from fastapi_descope.events import ConflictingCookies
from tests.helpers.app_harness import APP, IDP, AppHarness, Browser, EnvFactory, add_routes
from tests.helpers.emulator import signing_key

pytestmark = pytest.mark.anyio

HOST = "https://app.example.com"


def _planted(env: AppHarness) -> str:
    """Return the cookies of a browser in which a sibling host has planted one next to ours."""
    mine, theirs = (
        env.emulator.issue(user, tenant=tenant).session_jwt
        for user, tenant in (("ada@acme.example", "acme"), ("hank@globex.example", "globex"))
    )
    return f"DS={mine}; DS={theirs}"


def _public(**values: object) -> tuple[httpx.AsyncClient, str]:
    """Return an app at a public URL, and the name of its session cookie."""
    app, emulator = FastAPI(), Emulator(signing_key=signing_key())
    given = {"project_id": emulator.project_id, "base_url": IDP, "public_url": HOST, **values}
    settings = DescopeSettings(**given)  # type: ignore[arg-type] # any setting, by keyword
    Descope(app, settings=settings, clock=emulator.clock, transport=httpx.ASGITransport(emulator))
    add_routes(app)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST), settings.session_cookie


async def test_ck02_event_is_emitted_once_for_each_request(make_env: EnvFactory) -> None:
    """However often a request asks for the session. Other requests emit none."""
    env = make_env()
    browser = env.browser()

    await browser.get("/maybe", cookie=_planted(env))
    await browser.post("/tenant/select", {"tenant": "acme"}, cookie=_planted(env))
    await browser.get("/maybe")

    assert env.events == [ConflictingCookies(), ConflictingCookies()]


@pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin", "none", ""])
async def test_ck02_navigation_gets_a_page_and_no_redirect(make_env: EnvFactory, site: str) -> None:
    """A redirect to the login could loop: a cookie for this path only cannot be seen by the login.

    The page names the cause and the remedy, and its link returns to this page.
    """
    env = make_env()
    headers = {"sec_fetch_site": site} if site else {}

    response = await env.browser().visit("/me?q=1", cookie=_planted(env), **headers)

    assert response.status_code == 401
    assert "delete the cookies of this site" in response.text
    assert "DESCOPE" not in response.text  # the remedy of the operator is in the log
    assert "you are not signed in" in response.text
    assert '<a href="/login/sso?return_to=%2Fme%3Fq%3D1">Sign in again</a>' in response.text


async def test_ck02_htmx_is_not_redirected(make_env: EnvFactory) -> None:
    """A page that polls would start one login after the other."""
    env = make_env()

    response = await env.browser().get(
        "/me", cookie=_planted(env), hx_request="true", hx_current_url=f"{APP}/public"
    )

    assert (response.status_code, response.json()["code"]) == (401, "conflicting_cookies")
    assert "hx-redirect" not in response.headers


async def test_ck02_callback_with_conflicting_cookies_signs_in(make_env: EnvFactory) -> None:
    """The new cookies replace ours, and a page explains it if a planted one remains."""
    env = make_env()
    browser = env.browser()
    callback = await browser.open_callback()
    login = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.http.cookies.jar)

    response = await browser.visit(callback, cookie=f"{login}; {_planted(env)}")

    assert (response.status_code, response.headers["location"]) == (303, "/me")
    assert env.calls("exchange") == 1
    assert (await browser.get("/me")).status_code == 200


@pytest.mark.parametrize(
    ("settings", "domains"),
    [
        ({"cookie_prefix": ""}, ["app.example.com", "example.com"]),
        ({"cookie_prefix": "", "cookie_domain": "example.com"}, ["", "app.example.com"]),
        ({"cookie_prefix": "", "cookie_domain": "app.example.com"}, ["", "example.com"]),
        ({"cookie_prefix": "__Secure-"}, ["app.example.com", "example.com"]),
        ({"cookie_domain": "example.com"}, ["", "app.example.com"]),
        ({}, []),
    ],
    ids=["host-only", "Domain", "own Domain", "__Secure-", "default with Domain", "default"],
)
async def test_ck02_ck11_login_deletes_duplicates_and_never_our_own_cookies(
    settings: dict[str, object], domains: list[str]
) -> None:
    """If ours were deleted, the planted one would remain alone and sign in another user (CK-11)."""
    client, name = _public(**settings)

    response = await client.get(
        "/login/sso", headers={"sec-fetch-mode": "navigate", "cookie": f"{name}=a.b.c; {name}=x.y.z"}
    )

    lines = response.headers.get_list("set-cookie")
    assert [line.partition("Domain=")[2].partition(";")[0] for line in lines] == domains
    assert all(line.startswith(f"{name}=; Max-Age=0; ") for line in lines)


async def test_login_without_conflicting_cookies_deletes_nothing(make_env: EnvFactory) -> None:
    """A login of a signed-in user leaves all cookies as they are."""
    browser = await make_env().signed_in_browser()

    response = await browser.visit("/login/sso")

    assert response.status_code == 200
    assert "set-cookie" not in response.headers


async def test_ip_address_has_no_parent_domain() -> None:
    """No sibling can set cookies for an IP address or a single label."""
    client, name = _public(public_url=APP)

    response = await Browser(client).visit("/login/sso", cookie=f"{name}=a.b.c; {name}=x.y.z")

    assert "set-cookie" not in response.headers
