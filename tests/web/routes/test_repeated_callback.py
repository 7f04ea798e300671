"""A browser can repeat the request of its callback for a minute, and no other client can (CB-04).

"Lost" is a response that the browser never got: its cookies are those from before the request.
"""

import asyncio
from copy import copy
from http.cookiejar import CookieJar

import httpx
import pytest
from starlette.requests import Request

from fastapi_descope import Login, LoginRejected
from fastapi_descope.emulator import Clock, Emulator, Project
from fastapi_descope.events import CallbackRepeated, LoginFailed, SignedIn
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory, add_routes
from tests.helpers.emulator import signing_key
from tests.helpers.redis_server import RedisServer

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000


@pytest.fixture
def env(make_env: EnvFactory) -> AppHarness:
    """Build an app of which the clock stands still, and whose refresh tokens can be used once."""
    return make_env(emulator=_emulator())


def _emulator() -> Emulator:
    project = Project(rotate_refresh=True)
    return Emulator(project, clock=Clock(lambda: NOW), signing_key=signing_key())


def _saved(browser: Browser) -> CookieJar:
    jar = CookieJar()
    for cookie in browser.http.cookies.jar:
        jar.set_cookie(copy(cookie))
    return jar


def _restore(browser: Browser, jar: CookieJar) -> None:
    browser.http.cookies.jar = jar


def _login_cookies(browser: Browser) -> list[str]:
    return [name for name in browser.names() if name.startswith("descope_login")]


async def _complete_and_lose(browser: Browser, callback: str) -> httpx.Response:
    """Request the callback, and forget the response."""
    before = _saved(browser)
    response = await browser.visit(callback)
    _restore(browser, before)
    return response


async def test_cb04_lost_response_is_made_up_for(env: AppHarness) -> None:
    """The same tokens and no second exchange. The login is one, and so is its event."""
    browser = env.browser()
    callback = await browser.open_callback()
    lost = await _complete_and_lose(browser, callback)

    response = await browser.visit(callback)

    assert (response.status_code, response.headers["location"]) == (303, "/me")
    assert [browser.cookie(name) for name in ("DS", "DSR")] == [
        lost.cookies["DS"],
        lost.cookies["DSR"],
    ]
    assert env.calls("exchange") == 1
    assert (await browser.get("/me")).status_code == 200
    signed_in = [event for event in env.events if isinstance(event, SignedIn)]
    assert len(signed_in) == 1
    assert CallbackRepeated(delivered=True) in env.events
    (login,) = [line for line in lost.headers.get_list("set-cookie") if line.startswith("descope_login")]
    assert "; Max-Age=60;" in login


async def test_cb04_minute_begins_with_the_success(env: AppHarness) -> None:
    """The user took their time at the identity provider, and 59 seconds later the browser repeats."""
    with_response, without = env.browser(), env.browser()
    callbacks = [await browser.open_callback() for browser in (with_response, without)]
    env.emulator.clock.advance(100)
    await with_response.visit(callbacks[0])
    await _complete_and_lose(without, callbacks[1])
    env.emulator.clock.advance(59)

    repeated = [await with_response.visit(callbacks[0]), await without.visit(callbacks[1])]

    assert [response.status_code for response in repeated] == [303, 303]
    assert (await without.get("/me")).status_code == 200


async def test_cb04_browser_that_has_the_login_is_redirected(env: AppHarness) -> None:
    """Its cookies stay as they are."""
    browser = env.browser()
    callback = await browser.open_callback()
    await browser.visit(callback)

    response = await browser.visit(callback)

    assert (response.status_code, response.headers["location"]) == (303, "/me")
    assert "set-cookie" not in response.headers
    assert env.events[-1] == CallbackRepeated(delivered=False)


async def test_rv02_revoked_login_is_not_repeated(env: AppHarness) -> None:
    """A tenant switch was in flight, so the store has tokens that Descope has issued after the revocation."""
    browser = env.browser()
    callback = await browser.open_callback()
    await browser.visit(callback)
    env.emulator.faults.add("select", hold=True)
    request = asyncio.ensure_future(browser.post("/tenant/select", {"tenant": "globex"}))
    await env.emulator.faults.wait_until_held()
    await env.descope.revoke_user("U22a1322415fff1b1aceaebe7855")
    env.emulator.clock.advance(2)
    env.emulator.faults.release()
    assert (await request).status_code == 401

    response = await browser.visit(callback)

    assert response.status_code == 400
    assert browser.session_names() == set()
    assert env.events[-1] == LoginFailed("repeated")


async def test_cb04_second_code_for_a_completed_login_continues(env: AppHarness) -> None:
    """A double click at the identity provider. The second code is not exchanged."""
    browser = env.browser()
    callback = await browser.open_callback()
    await browser.visit(callback)

    response = await browser.visit(httpx.URL(callback).copy_set_param("code", "second").__str__())

    assert (response.status_code, response.headers["location"]) == (303, "/me")
    assert env.calls("exchange") == 1
    assert (await browser.get("/me")).status_code == 200


async def test_cb04_repeat_gets_the_newest_tokens(env: AppHarness) -> None:
    """The browser has lost its cookies after a refresh that replaced the refresh token."""
    browser = env.browser()
    callback = await browser.open_callback()
    before = _saved(browser)
    lost = await browser.visit(callback)
    browser.http.cookies.delete("DS")
    await browser.get("/me")
    assert env.calls("refresh") == 1
    newest = browser.cookie("DSR")
    _restore(browser, before)

    await browser.visit(callback)

    assert browser.cookie("DSR") == newest != lost.cookies["DSR"]


@pytest.mark.parametrize("stays_marked", [True, False], ids=["used", "kept from before"])
async def test_cb04_repeat_after_a_minute_fails(env: AppHarness, *, stays_marked: bool) -> None:
    """Its cookie has expired. A client that keeps cookies for longer gets nothing either."""
    browser = env.browser()
    callback = await browser.open_callback()
    before = _saved(browser)
    await browser.visit(callback)
    if not stays_marked:
        _restore(browser, before)
    env.emulator.clock.advance(61)

    response = await browser.visit(callback)

    assert response.status_code == 400


@pytest.mark.parametrize("seconds", [61, 590])
async def test_cb04_state_of_a_completed_login_is_good_for_no_second_code(
    env: AppHarness, seconds: int
) -> None:
    """A client can keep the cookie as it was before, for as long as a pending login lives."""
    browser = env.browser()
    callback = await browser.open_callback()
    await _complete_and_lose(browser, callback)
    env.emulator.clock.advance(seconds)

    response = await browser.visit(httpx.URL(callback).copy_set_param("code", "second").__str__())

    assert response.status_code == 400
    assert env.calls("exchange") == 1


@pytest.mark.parametrize("url", ["/logout", "/logout/all"])
async def test_cb04_nothing_after_a_logout(env: AppHarness, url: str) -> None:
    """Neither with the cookies that remain, nor with those of any moment before."""
    browser = env.browser()
    callback = await browser.open_callback()
    jars = [_saved(browser)]
    await browser.visit(callback)
    jars.append(_saved(browser))
    await browser.post(url)
    assert not _login_cookies(browser)
    jars.append(_saved(browser))

    for jar in jars:
        _restore(browser, jar)
        response = await browser.visit(callback)
        assert response.status_code == 400
        assert not {"DS", "DSR"} & set(response.cookies)
    assert env.calls("exchange") == 1


async def test_cb04_nothing_after_the_session_was_ended_elsewhere(env: AppHarness) -> None:
    """A logout that does not have the login cookie ends the session."""
    browser = env.browser()
    callback = await browser.open_callback()
    lost = await _complete_and_lose(browser, callback)
    await env.browser().post("/logout", cookie=f"DS={lost.cookies['DS']}; DSR={lost.cookies['DSR']}")

    response = await browser.visit(callback)

    assert response.status_code == 400
    assert "DS" not in response.cookies


async def test_cb04_nothing_after_a_logout_that_follows_a_refresh(make_env: EnvFactory) -> None:
    """Also if the link from the login's token to the newest one is forgotten."""
    env = make_env(emulator=_emulator(), refresh_grace=0)
    browser = env.browser()
    callback = await browser.open_callback()
    before = _saved(browser)
    await browser.visit(callback)
    browser.http.cookies.delete("DS")
    await browser.get("/me")
    env.emulator.clock.advance(31)
    await browser.get("/me")
    await browser.post("/logout")
    _restore(browser, before)

    response = await browser.visit(callback)

    assert response.status_code == 400
    assert "DS" not in response.cookies


async def test_cb04_nothing_after_another_login(env: AppHarness) -> None:
    """The browser keeps the session of the later login, with the cookies of either moment."""
    browser = env.browser()
    callback = await browser.open_callback()
    before = _saved(browser)
    await browser.visit(callback)
    env.emulator.clock.advance(1)
    await browser.sign_in("grace@acme.example")
    assert len(_login_cookies(browser)) == 1
    after = _saved(browser)

    for jar in (before, after):
        _restore(browser, jar)
        response = await browser.visit(callback)
        assert response.status_code == 400
        assert "DS" not in response.cookies


async def test_cb04_login_whose_response_was_lost_does_not_replace_a_later_one(env: AppHarness) -> None:
    """The browser has another session, which began later and stays."""
    browser = env.browser()
    callback = await browser.open_callback()
    await _complete_and_lose(browser, callback)
    env.emulator.clock.advance(1)
    await browser.sign_in("grace@acme.example")
    session = browser.cookie("DS")

    response = await browser.visit(callback)

    assert response.status_code == 400
    assert browser.cookie("DS") == session


async def test_cb04_login_whose_response_was_lost_replaces_an_earlier_one(env: AppHarness) -> None:
    """The browser still has the session that the login has replaced."""
    browser = env.browser()
    await browser.sign_in("grace@acme.example")
    env.emulator.clock.advance(1)
    callback = await browser.open_callback()
    lost = await _complete_and_lose(browser, callback)

    response = await browser.visit(callback)

    assert response.status_code == 303
    assert browser.cookie("DSR") == lost.cookies["DSR"]


async def test_cb04_url_alone_is_worth_nothing(env: AppHarness) -> None:
    """From a log or a scanner, before, during and after the login: it uses nothing up either."""
    browser, scanner = env.browser(), env.browser()
    callback = await browser.open_callback()
    await scanner.open_callback("grace@acme.example")  # it has a login of its own

    early = await scanner.visit(callback)
    completed = await browser.visit(callback)
    late = await scanner.visit(callback)

    assert (early.status_code, completed.status_code, late.status_code) == (400, 303, 400)
    assert not {"DS", "DSR"} & {*early.cookies, *late.cookies}
    assert env.calls("exchange") == 1


async def test_cb04_refused_login_shows_its_page_whatever_the_browser_has(env: AppHarness) -> None:
    """A lost refusal is not repeated as a success, and its code is not exchanged again."""

    @env.descope.on_login
    async def only_ada(request: Request, login: Login) -> None:
        if login.session.user.email != "ada@acme.example":
            raise LoginRejected("You have not been invited yet.")

    browser = await env.signed_in_browser()
    callback = await browser.open_callback("grace@acme.example")
    await _complete_and_lose(browser, callback)

    again = await browser.visit(callback)
    once_more = await browser.visit(callback)

    assert (again.status_code, once_more.status_code) == (400, 400)
    assert "This sign-in was refused" in again.text
    assert env.calls("exchange") == 2
    assert (await browser.get("/me")).json()["user"] == "U22a1322415fff1b1aceaebe7855"


async def test_cb04_refusal_of_descope_shows_its_page_after_a_success(env: AppHarness) -> None:
    """It came with the state of a completed login."""
    browser = env.browser()
    callback = await browser.open_callback()
    await browser.visit(callback)

    response = await browser.visit(callback + "&err=access_denied")

    assert response.status_code == 400
    assert "cancelled" in response.text


async def test_error_page_of_a_callback_keeps_tenant_and_target(env: AppHarness) -> None:
    """Another try starts with what the browser asked for."""
    browser = env.browser()
    callback = await browser.open_callback(tenant="acme", return_to="/public?x=1&y=2")
    env.emulator.faults.add("exchange", status=401)

    response = await browser.visit(callback)

    assert 'href="/login/sso?tenant=acme&amp;return_to=%2Fpublic%3Fx%3D1%26y%3D2"' in response.text


async def test_cb16_code_works_in_one_browser_only(env: AppHarness) -> None:
    """Another browser with a login of its own and a stolen code fails while that is exchanged."""
    victim, attacker = env.browser(), env.browser()
    theirs, own = httpx.URL(await victim.open_callback()), httpx.URL(await attacker.open_callback())
    stolen = str(own.copy_set_param("code", theirs.params["code"]))
    env.emulator.faults.add("exchange", hold=True)
    first = asyncio.create_task(victim.visit(str(theirs)))
    await env.emulator.faults.wait_until_held()
    second = asyncio.create_task(attacker.visit(stolen))
    env.emulator.faults.release()

    responses = await asyncio.gather(first, second)

    assert sorted(response.status_code for response in responses) == [303, 400]
    assert len([event for event in env.events if isinstance(event, SignedIn)]) == 1


async def _two_workers(make_env: EnvFactory, redis: RedisServer) -> tuple[AppHarness, AppHarness]:
    emulator = _emulator()
    one, two = (make_env(emulator=emulator, routes=add_routes, redis_url=redis.url) for _ in range(2))
    return one, two


def _move(browser: Browser, env: AppHarness) -> Browser:
    """Return a browser with the same cookies whose requests reach another worker."""
    other = env.browser()
    other.http.cookies = browser.http.cookies
    return other


async def test_cb04_reload_that_reaches_another_worker_waits(
    make_env: EnvFactory, redis_server: RedisServer
) -> None:
    """The first worker still runs ``on_login``. One exchange, and both get the same tokens."""
    one, two = await _two_workers(make_env, redis_server)
    running, go_on = asyncio.Event(), asyncio.Event()

    @one.descope.on_login
    async def provision(request: Request, login: Login) -> None:
        running.set()
        await go_on.wait()

    browser = one.browser()
    callback = await browser.open_callback()
    reload = _move(browser, two)
    reload.http.cookies.jar = _saved(browser)
    first = asyncio.create_task(browser.visit(callback))
    await running.wait()
    second = asyncio.create_task(reload.visit(callback))
    await asyncio.sleep(0)
    go_on.set()
    responses = await asyncio.gather(first, second)

    assert [response.status_code for response in responses] == [303, 303]
    assert browser.cookie("DSR") == reload.cookie("DSR") is not None
    assert one.calls("exchange") == 1
    await one.descope.aclose()
    await two.descope.aclose()


async def test_cb04_callback_of_another_worker_is_repeated_until_the_logout(
    make_env: EnvFactory, redis_server: RedisServer
) -> None:
    """The tokens are in the shared store. After a logout at either worker there are none."""
    one, two = await _two_workers(make_env, redis_server)
    browser = one.browser()
    callback = await browser.open_callback()
    before = _saved(browser)
    await browser.visit(callback)
    reload = two.browser()
    _restore(reload, before)

    repeated = await reload.visit(callback)
    await reload.post("/logout")
    _restore(browser, before)
    after = await browser.visit(callback)

    assert (repeated.status_code, after.status_code) == (303, 400)
    assert "DS" not in after.cookies
    await one.descope.aclose()
    await two.descope.aclose()


async def test_cb04_repeat_that_reaches_another_process_without_a_shared_store(make_env: EnvFactory) -> None:
    """The browser has a session, and its login was completed, so it is redirected. Without one it is not."""
    emulator = _emulator()
    one, two = make_env(emulator=emulator), make_env(emulator=emulator)
    browser = one.browser()
    callback = await browser.open_callback()
    await browser.visit(callback)
    other = _move(browser, two)

    redirected = await other.visit(callback)
    for name in ("DS", "DSR"):
        other.http.cookies.delete(name)
    refused = await other.visit(callback)

    assert (redirected.status_code, refused.status_code) == (303, 400)
    assert two.events[-1] == LoginFailed("repeated")
    assert emulator.requests.count("exchange") == 1


@pytest.mark.parametrize(
    "headers",
    [{"sec_purpose": "prefetch"}, {"sec_purpose": "prefetch;prerender"}, {"purpose": "prefetch"}],
)
async def test_cb13_prefetch_of_a_callback_uses_nothing_up(env: AppHarness, headers: dict[str, str]) -> None:
    """503, which browsers discard, and no call. The callback works afterwards."""
    browser = env.browser()
    callback = await browser.open_callback()

    early = await browser.visit(callback, **headers)

    assert (early.status_code, early.headers["cache-control"]) == (503, "no-store")
    assert "set-cookie" not in early.headers
    assert env.calls("exchange") == 0
    assert (await browser.visit(callback)).headers["location"] == "/me"


async def test_cb14_login_that_the_identity_provider_starts_is_explained(env: AppHarness) -> None:
    """The page does not say that something has expired, and offers a login."""
    response = await env.browser().visit("/callback?code=good")

    assert response.status_code == 400
    assert "Your organisation sent you here" in response.text
    assert 'href="/login/sso"' in response.text
    assert env.events[-1] == LoginFailed("idp_initiated")
    assert env.calls("exchange") == 0
