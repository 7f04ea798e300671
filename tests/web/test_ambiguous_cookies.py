"""A planted session cookie: nobody's session, no circle of sign-ins, and a way out (CK-02, CK-11)."""

import httpx
import pytest
from fastapi import FastAPI

from fastapi_descope import Descope, DescopeSettings
from fastapi_descope.emulator import Emulator
from fastapi_descope.events import ConflictingCookies, LoginFailed
from tests.helpers.app_harness import APP, IDP, AppHarness, Browser, EnvFactory, add_routes
from tests.helpers.emulator import signing_key

pytestmark = pytest.mark.anyio

HOST = "https://app.example.com"


def _planted(env: AppHarness) -> str:
    """What a sibling of this host wrote beside our cookie, and what is its to write."""
    mine, theirs = (
        env.emulator.issue(user, tenant=tenant).session_jwt
        for user, tenant in (("ada@acme.example", "acme"), ("hank@globex.example", "globex"))
    )
    return f"DS={mine}; DS={theirs}"


def _public(**values: object) -> tuple[httpx.AsyncClient, Emulator]:
    """An app at a public address, and its Descope."""
    app, emulator = FastAPI(), Emulator(signing_key=signing_key())
    given = {"project_id": emulator.project_id, "base_url": IDP, "public_url": HOST, **values}
    settings = DescopeSettings(**given)  # type: ignore[arg-type] # any setting, by keyword
    Descope(app, settings=settings, clock=emulator.clock, transport=httpx.ASGITransport(emulator))
    add_routes(app)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST), emulator


async def test_ck02_it_is_told_once_for_each_request(make_env: EnvFactory) -> None:
    """However often a request asks who is there; and other requests have nothing to tell."""
    env = make_env()
    browser = env.browser()

    await browser.get("/maybe", cookie=_planted(env))
    await browser.post("/tenant/select", {"tenant": "acme"}, cookie=_planted(env))
    await browser.get("/maybe")

    assert env.events == [ConflictingCookies(), ConflictingCookies()]


async def test_ck02_a_page_is_first_worth_a_new_sign_in(make_env: EnvFactory) -> None:
    """It may heal the browser, so whoever comes from a page of ours is sent there."""
    env = make_env()

    response = await env.browser().visit("/me", cookie=_planted(env), sec_fetch_site="same-origin")

    assert response.headers["location"] == "/login/sso?return_to=%2Fme"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_ck02_whoever_comes_back_from_a_sign_in_is_not_sent_around_again(
    make_env: EnvFactory, site: str
) -> None:
    """A page names the cause and what prevents it: a cookie for this path alone is seen nowhere else."""
    env = make_env()

    response = await env.browser().visit("/me", cookie=_planted(env), sec_fetch_site=site)

    assert response.status_code == 401
    assert "DESCOPE_COOKIE_PREFIX=__Host-" in response.text
    assert '<a href="/login/sso">Sign in again</a>' in response.text


async def test_ck02_a_callback_that_nothing_healed_is_a_page(make_env: EnvFactory) -> None:
    """400 instead of a session that the next request would not believe; the code is not used."""
    env = make_env()
    browser = env.browser()
    callback = await browser.open_callback()
    login = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.http.cookies.jar)

    response = await browser.visit(callback, cookie=f"{login}; {_planted(env)}")

    assert response.status_code == 400
    assert "DESCOPE_COOKIE_PREFIX=__Host-" in response.text
    assert env.calls("exchange") == 0
    assert env.events[-2:] == [ConflictingCookies(), LoginFailed("conflicting_cookies")]
    assert {cookie.partition("=")[0][:7] for cookie in response.headers.get_list("set-cookie")} == {"descope"}


@pytest.mark.parametrize(
    ("settings", "domains"),
    [
        ({}, ["app.example.com", "example.com"]),
        ({"cookie_domain": "example.com"}, ["", "app.example.com"]),
        ({"cookie_domain": "app.example.com"}, ["", "example.com"]),
        ({"cookie_prefix": "__Secure-"}, ["app.example.com", "example.com"]),
        ({"cookie_prefix": "__Host-"}, []),
    ],
    ids=["host-only", "Domain", "own Domain", "__Secure-", "__Host-"],
)
async def test_ck02_ck11_a_login_deletes_the_twins_and_never_our_own(
    settings: dict[str, object], domains: list[str]
) -> None:
    """Were ours deleted, the planted one would be alone, and the user somebody else (CK-11)."""
    client, _ = _public(**settings)
    name = f"{settings.get('cookie_prefix', '')}DS"

    response = await client.get(
        "/login/sso", headers={"sec-fetch-mode": "navigate", "cookie": f"{name}=a.b.c; {name}=x.y.z"}
    )

    lines = response.headers.get_list("set-cookie")
    assert [line.partition("Domain=")[2].partition(";")[0] for line in lines] == domains
    assert all(line.startswith(f"{name}=; Max-Age=0; ") for line in lines)


async def test_nothing_is_deleted_for_one_value(make_env: EnvFactory) -> None:
    """A login of somebody who is signed in leaves all cookies as they are."""
    browser = await make_env().signed_in_browser()

    response = await browser.visit("/login/sso")

    assert response.status_code == 400
    assert "set-cookie" not in response.headers


async def test_an_address_has_no_parent_domain() -> None:
    """On an IP address or one label there is nothing that a sibling could write to."""
    client, emulator = _public(public_url=APP)
    browser = Browser(client)
    mine = emulator.issue("ada@acme.example", tenant="acme").session_jwt

    response = await browser.visit("/login/sso", cookie=f"DS={mine}; DS=x.y.z")

    assert "set-cookie" not in response.headers
