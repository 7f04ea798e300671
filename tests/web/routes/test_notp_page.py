"""``GET /login/notp`` starts a sign-in that the user confirms on their phone, and shows it.

Requirements NP-05, NP-06, NP-07 and NP-08.
"""

import asyncio
import re

import httpx
import pytest
import segno

from fastapi_descope import PageTexts
from fastapi_descope._web.notp_page import CodePage
from fastapi_descope.events import LoginFailed, LoginStarted, RedirectRejected
from tests.helpers.app_harness import IDP, AppHarness, Browser, EnvFactory
from tests.helpers.notp import ADA, LOGIN_COOKIE, attribute, csp_hash, open_page

pytestmark = pytest.mark.anyio


async def test_the_page_shows_the_link_and_its_qr_code(notp_env: AppHarness) -> None:
    """The QR code is drawn from the link; the image that Descope sends is not used."""
    sign_in = await open_page(notp_env)

    assert sign_in.url.startswith(f"{IDP}/signin/")
    path = re.search(r'stroke="#000" d="([^"]+)"', sign_in.page)
    assert path
    assert path[1] in segno.make_qr(sign_in.url).svg_inline(border=4)
    assert "data:" not in sign_in.page
    assert notp_env.events == [LoginStarted("notp")]


async def test_np05_only_its_own_script_runs_on_the_page(notp_env: AppHarness) -> None:
    """The policy has the hash of the script, which may send requests to this origin only."""
    response = await notp_env.browser().visit("/login/notp")

    script = re.search(r"<script>(.*)</script>", response.text, re.DOTALL)
    assert script
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; frame-ancestors 'none';"
        rf" script-src '{re.escape(csp_hash(script[1]))}'; connect-src 'self'",
        response.headers["content-security-policy"],
    )
    assert response.text.count("<script") == 1
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["referrer-policy"] == "strict-origin"
    (cookie,) = response.headers.get_list("set-cookie")
    assert LOGIN_COOKIE.fullmatch(cookie)


def test_np05_link_is_text_for_the_page() -> None:
    """Whatever URL Descope sends, it ends no attribute."""
    page = CodePage(
        host="app.example.com",
        url='https://wa.example/?a=1&text="><script>',
        svg="",
        state="state",
        session_path="/s",
        restart_path="/r",
        return_to="/",
        seconds=600,
        interval=1,
    ).page(PageTexts())

    assert 'href="https://wa.example/?a=1&amp;text=&quot;&gt;&lt;script&gt;"' in page.content


async def test_np08_the_page_says_who_is_signed_in_where(notp_env: AppHarness) -> None:
    """A QR code can be relayed, so the page names the host and warns."""
    page = (await open_page(notp_env)).page

    assert "The person who sends this message is signed in to 127.0.0.1:8000, in this browser." in page
    assert "do not scan a code that another person sent you" in page


async def test_the_script_gets_its_parameters_from_attributes(notp_env: AppHarness) -> None:
    """They are the path to poll, the target, and the times in seconds."""
    page = (await open_page(notp_env, query="?return_to=/a?b=1%26c=%22")).page

    names = ("url", "return-to", "seconds", "interval")
    assert {name: attribute(page, name) for name in names} == {
        "url": "/login/notp/session",
        "return-to": "/",
        "seconds": "600",
        "interval": "2",
    }
    page = (await open_page(notp_env, query="?return_to=/a?b=1%26c=2")).page
    assert 'data-return-to="/a?b=1&amp;c=2"' in page


async def test_every_visit_starts_a_new_sign_in(notp_env: AppHarness) -> None:
    """Two tabs, or a reload, are independent of each other and complete in any order."""
    browser = notp_env.browser()
    one, two = await open_page(notp_env, browser), await open_page(notp_env, browser)
    assert (one.state, one.url) != (two.state, two.url)

    await two.confirm("grace@acme.example")
    assert (await one.poll()).status_code == 202
    assert (await two.poll()).json()["user"]["email"] == "grace@acme.example"
    await one.confirm()
    assert (await one.poll()).json()["user"]["email"] == ADA


async def test_np06_a_sixth_sign_in_deletes_the_oldest(notp_env: AppHarness) -> None:
    """Logins of both kinds share five cookies and 4 KiB."""
    browser = notp_env.browser()
    oldest = await open_page(notp_env, browser)
    for _ in range(5):
        notp_env.emulator.clock.advance(1)
        await open_page(notp_env, browser)

    assert len(browser.names()) == 5
    assert (await oldest.poll()).status_code == 400


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/login/notp", "/login/sso"])
async def test_an_unsafe_target_becomes_the_landing_path(notp_env: AppHarness, target: str) -> None:
    """In the page, in the cookie, and in the link to start again. An event is emitted."""
    sign_in = await open_page(notp_env, query=f"?return_to={target}")
    await sign_in.confirm()

    assert attribute(sign_in.page, "return-to") == "/"
    assert 'href="/login/notp?return_to=%2F">Start again' in sign_in.page
    assert (await sign_in.send_form()).headers["location"] == "/"
    assert RedirectRejected() in notp_env.events


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"},
        {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"},
        {"sec_fetch_mode": "navigate", "sec_purpose": "prefetch"},
    ],
)
async def test_np06_only_a_navigation_opens_the_page(notp_env: AppHarness, headers: dict[str, str]) -> None:
    """An image, a script or a prefetch starts nothing."""
    response = await notp_env.browser().get("/login/notp", **headers)

    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert notp_env.calls("notp_start") == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_np06_a_signed_in_user_from_another_site_confirms(notp_env: AppHarness, site: str) -> None:
    """Nothing is started until then. Our own links need no confirmation."""
    browser = await notp_env.signed_in_browser()

    response = await browser.visit("/login/notp?return_to=/me", sec_fetch_site=site)

    assert response.status_code == 200
    assert "Another site sent you here" in response.text
    assert "set-cookie" not in response.headers
    assert notp_env.calls("notp_start") == 0
    assert '<form action="/login/notp" method="get"><input type="hidden" name="return_to" value="/me">' in (
        response.text
    )
    assert (await browser.visit("/login/notp", sec_fetch_site="same-origin")).status_code == 200
    assert notp_env.calls("notp_start") == 1


async def test_cb19_crowd_from_other_sites_is_confirmed(notp_env: AppHarness) -> None:
    """Two sign-ins at a time call Descope."""
    notp_env.emulator.faults.add("notp_start", hold=True, times=2)
    crowd = [
        asyncio.create_task(notp_env.browser().visit("/login/notp", sec_fetch_site="cross-site"))
        for _ in range(2)
    ]
    await notp_env.emulator.faults.wait_until_held(2)

    page = await notp_env.browser().visit("/login/notp", sec_fetch_site="cross-site")
    honest = await notp_env.browser().visit("/login/notp", sec_fetch_site="none")

    assert "Sign in?" in page.text
    assert "Scan the code" in honest.text
    notp_env.emulator.faults.release()
    await asyncio.gather(*crowd)


async def test_a_start_that_descope_refuses_is_a_400_page(notp_env: AppHarness) -> None:
    """It sets no cookie."""
    notp_env.emulator.faults.add("notp_start", status=400)

    response = await notp_env.browser().visit("/login/notp")

    assert response.status_code == 400
    assert "Signing in with WhatsApp is not available here." in response.text
    assert "set-cookie" not in response.headers
    assert notp_env.events == [LoginFailed("notp_start_refused", 400, "E011001")]


@pytest.mark.parametrize(
    "body", [b"{}", b'{"redirectUrl": "javascript:alert(1)", "pendingRef": "r"}', b"<html>"]
)
async def test_np07_a_response_without_a_valid_link_is_502(notp_env: AppHarness, body: bytes) -> None:
    """Nothing of it is shown."""
    notp_env.emulator.faults.add("notp_start", status=200, body=body)

    response = await notp_env.browser().visit("/login/notp")

    assert response.status_code == 502
    assert "javascript" not in response.text
    assert "set-cookie" not in response.headers


async def test_an_unknown_public_origin_is_a_configuration_error(make_env: EnvFactory) -> None:
    """The page could not say where the user is signed in. Descope is not called."""
    env = make_env(login_methods=["sso", "notp"], public_url=None)

    response = await env.browser().visit("/login/notp", host="app.example.com")

    assert response.status_code == 500
    assert env.calls("notp_start") == 0


async def test_paths_follow_prefix_and_root_path(make_env: EnvFactory) -> None:
    """Also on the page that a form gets."""
    env = make_env(login_methods=["sso", "notp"], prefix="/auth")
    browser = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(env.app, root_path="/api")))

    page = (await browser.visit("/api/auth/login/notp")).text
    state = attribute(page, "state")
    waiting = await browser.post("/api/auth/login/notp/session", {"state": state}, sec_fetch_mode="navigate")

    assert attribute(page, "url") == "/api/auth/login/notp/session"
    for text in (page, waiting.text):
        assert '<form action="/api/auth/login/notp/session" method="post">' in text
        assert 'href="/api/auth/login/notp?return_to=%2Fapi%2F">Start again' in text
