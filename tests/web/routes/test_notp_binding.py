"""Only the browser that started an nOTP sign-in gets its session, once and within ten minutes.

Requirements NP-01, NP-02, NP-03 and NP-04.
"""

import httpx
import pytest

from fastapi_descope._web.login_transactions import Transaction
from fastapi_descope.events import LoginFailed
from tests.helpers.app_harness import APP, AppHarness
from tests.helpers.notp import LOGIN_COOKIE, open_page, post_json

pytestmark = pytest.mark.anyio


async def test_np02_another_browser_gets_no_session(notp_env: AppHarness) -> None:
    """Not with the state, and not with a sign-in of its own. The real browser still can."""
    sign_in = await open_page(notp_env)
    assert (await sign_in.poll()).status_code == 202  # the process has seen the state with its cookie
    await sign_in.confirm()
    attacker = (await open_page(notp_env)).browser
    names = attacker.names()

    for thief in (notp_env.browser(), attacker):
        response = await sign_in.poll(thief)
        assert (response.status_code, response.json()["code"]) == (400, "login_rejected")
    assert attacker.names() == names
    assert notp_env.calls("notp_pending") == 1
    assert notp_env.events[-1] == LoginFailed("state")
    assert (await sign_in.poll()).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"state": ""},
        {"state": "x" * 43},
        {"state": "x" * 8_000},
        {"state": None},
        {"state": ["x"]},
        {"state": "\ud800" * 43},
        {"pendingRef": "reference"},
    ],
    ids=["empty", "blank", "unknown", "long", "null", "a list", "surrogates", "a reference"],
)
async def test_np02_an_unknown_state_is_rejected(notp_env: AppHarness, body: object) -> None:
    """Without a call to Descope, and other sign-ins stay."""
    sign_in = await open_page(notp_env)
    names = sign_in.browser.names()

    response = await post_json(sign_in.browser, "/login/notp/session", body)

    assert response.status_code == 400
    assert sign_in.browser.names() == names
    assert notp_env.calls("notp_pending") == 0


@pytest.mark.parametrize(
    "content", [b"[]", b'"x"', b"{", b'{"state": "a", "state": "b"}', b"\xff", b"{" * 9_000]
)
async def test_np02_a_malformed_body_is_rejected(notp_env: AppHarness, content: bytes) -> None:
    """It is a 400 like any other malformed body."""
    response = await notp_env.browser().http.post(
        APP + "/login/notp/session", content=content, headers={"content-type": "application/json"}
    )

    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


async def test_np02_two_cookies_of_one_state_are_rejected(notp_env: AppHarness) -> None:
    """One was planted: it would sign in another user. Both are deleted."""
    sign_in = await open_page(notp_env)
    await sign_in.confirm()
    attackers = await open_page(notp_env)
    await attackers.confirm("hank@globex.example")
    (cookie,) = sign_in.browser.http.cookies.jar
    parsed = Transaction.parse((cookie.value or "").encode())
    assert parsed
    planted = Transaction(parsed.state_hash, parsed.return_to, parsed.started_at, attackers.reference, "notp")
    sign_in.browser.http.cookies.set("descope_login_" + "0" * 16, planted.value, domain="127.0.0.1")

    response = await sign_in.poll()

    assert response.status_code == 400
    assert sign_in.browser.names() == set()
    assert notp_env.calls("notp_pending") == 0


@pytest.mark.parametrize("value", ["", "x", "x" * 4_000, "a.b.c.d", f"{'x' * 43}.1.x.\x7f"])
async def test_np02_a_forged_cookie_is_no_sign_in(notp_env: AppHarness, value: str) -> None:
    """Its hash is not that of the state."""
    sign_in = await open_page(notp_env)
    sign_in.browser.http.cookies.clear()
    cookie = f"descope_login_{'0' * 16}={value}"

    response = await sign_in.poll(cookie=cookie)

    assert response.status_code == 400
    assert notp_env.calls("notp_pending") == 0


async def test_np02_a_state_is_valid_for_one_kind_of_login(notp_env: AppHarness) -> None:
    """Neither the callback nor this route accepts the state of the other kind."""
    sign_in = await open_page(notp_env)
    response = await sign_in.browser.visit(f"/callback?state={sign_in.state}&code=code")
    assert response.status_code == 400
    assert notp_env.calls("exchange") == 0

    browser = notp_env.browser()
    callback = await browser.open_callback()
    state = httpx.URL(callback).params["state"]
    response = await post_json(browser, "/login/notp/session", {"state": state})
    assert response.status_code == 400
    assert notp_env.calls("notp_pending") == 0


async def test_np03_a_sign_in_is_valid_for_ten_minutes(notp_env: AppHarness) -> None:
    """Then its state is unknown."""
    sign_in = await open_page(notp_env)
    notp_env.emulator.clock.advance(599)
    assert (await sign_in.poll()).status_code == 202

    assert (await sign_in.poll()).status_code == 400
    assert notp_env.calls("notp_pending") == 1


async def test_np03_a_flood_of_polls_makes_one_call_per_second(notp_env: AppHarness) -> None:
    """However many requests a page sends."""
    sign_in = await open_page(notp_env)

    for _ in range(50):
        response = await post_json(sign_in.browser, "/login/notp/session", {"state": sign_in.state})
        assert response.status_code == 202
        notp_env.emulator.clock.advance(0.1)

    assert notp_env.calls("notp_pending") == 5


async def test_np04_a_second_tab_gets_a_clear_answer(notp_env: AppHarness) -> None:
    """A restored tab has the state of a sign-in that is complete."""
    sign_in = await open_page(notp_env)
    await sign_in.confirm()
    await sign_in.poll()

    response = await sign_in.poll()

    assert response.status_code == 400
    assert response.json()["detail"] == (
        "This sign-in has expired, was started in another browser, or was already used."
    )
    assert (await sign_in.browser.get("/session")).status_code == 200


async def test_ck02_conflicting_session_cookies_do_not_prevent_a_sign_in(notp_env: AppHarness) -> None:
    """As in the callback: the new session replaces them where a response can reach them."""
    sign_in = await open_page(notp_env)
    await sign_in.confirm()
    own = "; ".join(f"{cookie.name}={cookie.value}" for cookie in sign_in.browser.http.cookies.jar)
    sign_in.browser.http.cookies.clear()

    response = await sign_in.poll(cookie=f"{own}; DS=a.b.c; DS=d.e.f")

    assert response.status_code == 200
    assert sign_in.browser.names() == {"DS", "DSR"}


async def test_np01_the_reference_is_in_one_cookie_only(
    notp_env: AppHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in no body, URL, other header, event or log line."""
    caplog.set_level("DEBUG")
    sign_in = await open_page(notp_env)
    reference = sign_in.reference
    notp_env.emulator.faults.add("notp_pending", status=503)
    await sign_in.poll()
    await sign_in.send_form()
    await sign_in.confirm()
    await sign_in.poll()
    await sign_in.poll()
    started = await post_json(sign_in.browser, "/login/notp", {})
    references = (reference, sign_in.reference)
    shown = [
        text
        for response in sign_in.browser.log
        for text in (response.text, str(response.url), repr(response.headers))
    ]

    assert len(set(references)) == 2
    assert all(len(each) > 20 for each in references)
    assert LOGIN_COOKIE.fullmatch(started.headers["set-cookie"])  # HttpOnly
    texts = [*shown, *map(repr, notp_env.events), *caplog.messages]
    assert [text for text in texts if any(each in text for each in references)] == []
