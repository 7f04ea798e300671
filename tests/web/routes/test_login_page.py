"""``GET /login`` offers the ways to sign in that the settings list (SI-05)."""

import re
from html import unescape

import httpx
import pytest
from fastapi import Depends, FastAPI

from fastapi_descope import require_step_up
from tests.helpers.app_harness import IDP, AppHarness, Browser, EnvFactory, add_routes

pytestmark = pytest.mark.anyio

METHODS = ["notp", "github", "sso", "oauth:guild", "google"]


@pytest.fixture
def env(make_env: EnvFactory) -> AppHarness:
    """Build an app with several ways to sign in."""
    return make_env(login_methods=METHODS)


def _links(page: httpx.Response) -> list[tuple[str, str]]:
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', page.text)
    return [(unescape(target), text) for target, text in links]


async def test_page_offers_each_way_with_the_target(env: AppHarness) -> None:
    """The work e-mail comes first, then the providers in the order of the setting."""
    page = await env.browser().visit("/login?return_to=/me%3Fa%3Db%26c")

    query = "?return_to=%2Fme%3Fa%3Db%26c"
    assert page.status_code == 200
    assert _links(page) == [
        (f"/login/oauth/github{query}", "Continue with GitHub"),
        (f"/login/oauth/guild{query}", "Continue with Guild"),
        (f"/login/oauth/google{query}", "Continue with Google"),
        (f"/login/notp{query}", "Continue with WhatsApp"),
    ]
    form = page.text.index('<form action="/login/sso" method="get">')
    assert form < page.text.index('<a href="/login/oauth')
    assert '<input type="hidden" name="return_to" value="/me?a=b&amp;c">' in page.text
    assert '<label for="tenant">' in page.text


async def test_each_way_leads_back_to_the_target(env: AppHarness) -> None:
    """A protected page sends the user to the page, and every way from there returns to it."""
    for way in ("/login/sso?tenant=acme&", "/login/oauth/google?"):
        browser = env.browser()
        page = await browser.visit("/me")
        assert page.headers["location"] == "/login?return_to=%2Fme"
        await browser.visit(page.headers["location"])
        started = await browser.visit(f"{way}return_to=%2Fme", sec_fetch_site="same-origin")
        chosen = await browser.choose(await browser.visit(started.headers["location"]), "ada@acme.example")
        assert (await browser.visit(chosen.headers["location"])).headers["location"] == "/me"


async def test_page_with_providers_alone_has_no_form(make_env: EnvFactory) -> None:
    """It offers what the setting lists, and nothing else."""
    page = await make_env(login_methods=["google"]).browser().visit("/login")

    assert _links(page) == [("/login/oauth/google?return_to=%2F", "Continue with Google")]
    assert "<form" not in page.text


async def test_page_without_links_has_the_form_alone(make_env: EnvFactory) -> None:
    """An empty list of links would have no meaning for a screen reader."""
    env = make_env(login_methods=["sso", "notp"])
    page = await env.browser().visit("/login")

    assert [text for _, text in _links(page)] == ["Continue with WhatsApp"]


async def test_si05_page_starts_nothing(env: AppHarness) -> None:
    """It makes no call and sets no cookie, so another site may link to it. Its headers are strict."""
    browser = await env.signed_in_browser()
    calls = len(list(env.emulator.requests))

    page = await browser.visit("/login?return_to=/me", sec_fetch_site="cross-site")

    assert page.status_code == 200
    assert len(list(env.emulator.requests)) == calls
    assert "set-cookie" not in page.headers
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("frame-ancestors 'none'")
    assert "<script" not in page.text


@pytest.mark.parametrize(
    "query",
    [
        "return_to=//evil.example",
        "return_to=/a&return_to=/b",
        'return_to="><script>evil</script>',
        "tenant=evil evil",
        "prompt=%C3%A9vil",
        "step_up=evil",
        "evil=evil",
    ],
)
async def test_si05_page_reflects_nothing_malformed(env: AppHarness, query: str) -> None:
    """A malformed parameter counts as absent."""
    page = await env.browser().visit(f"/login?{query}")

    assert page.status_code == 200
    assert "vil" not in page.text
    assert "return_to=%2F" in page.text


async def test_si05_valid_parameters_are_escaped(env: AppHarness) -> None:
    """Their grammars allow characters that have a meaning in HTML."""
    query = httpx.QueryParams({"tenant": "o'brien@acme.example", "login_hint": '"><b>', "prompt": "<i>"})
    page = await env.browser().visit(f"/login?{query}")

    assert "<b>" not in page.text
    assert "<i>" not in page.text
    assert 'name="tenant" value="o&#x27;brien@acme.example"' in page.text
    assert 'name="login_hint" value="&quot;&gt;&lt;b&gt;"' in page.text


async def test_step_up_asks_for_no_organisation(make_env: EnvFactory) -> None:
    """That of the session is used. The page says what it is for."""

    def routes(app: FastAPI) -> None:
        add_routes(app)
        app.get("/payout", dependencies=[Depends(require_step_up(max_age=300))])(lambda: "paid")

    env = make_env(login_methods=METHODS, routes=routes)
    browser = await env.signed_in_browser()
    refused = await browser.visit("/payout")

    assert refused.headers["location"] == "/login?step_up=true&return_to=%2Fpayout"
    page = await browser.visit(refused.headers["location"])
    assert "<h1>Confirm who you are</h1>" in page.text
    assert 'name="tenant"' not in page.text
    assert "<button>Continue with single sign-on</button>" in page.text
    started = await browser.visit("/login/sso?return_to=%2Fpayout&step_up=true", sec_fetch_site="same-origin")
    assert started.headers["location"].startswith(IDP)


async def test_refused_page_from_another_site_needs_no_mark(env: AppHarness) -> None:
    """The page starts nothing, so a link in an e-mail to a protected page plants no permission."""
    browser = await env.signed_in_browser()
    for name in ("DS", "DSR"):
        browser.http.cookies.delete(name)
    response = await browser.visit("/me", sec_fetch_site="cross-site", cookie="DS=a.b.c; DSR=d.e.f")

    assert response.headers["location"] == "/login?return_to=%2Fme"
    assert "descope_own_login" not in str(response.headers)


async def test_script_gets_a_problem_document(env: AppHarness) -> None:
    """With the address of the page where it can send the user."""
    refused = await env.browser().get("/me")
    assert refused.json()["login_url"] == "/login"
    assert (await env.browser().get("/login", sec_fetch_mode="cors")).status_code == 403


async def test_page_on_another_host_continues_at_the_public_url(env: AppHarness) -> None:
    """Its forms and links would start logins on the other host (CB-20)."""
    response = await env.browser().visit("/login?return_to=/me", host="www.example.com")

    assert response.headers["location"] == "http://127.0.0.1:8000/login?return_to=/me&descope_moved=1"


async def test_paths_follow_the_prefix(make_env: EnvFactory) -> None:
    """Of the router."""
    env = make_env(login_methods=METHODS, prefix="/auth")
    browser: Browser = env.browser()

    page = await browser.visit((await browser.visit("/me")).headers["location"])

    assert '<form action="/auth/login/sso"' in page.text
    assert all(target.startswith("/auth/login/") for target, _ in _links(page))
