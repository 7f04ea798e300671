"""Every redirect target of the tables, from the query of the login to the Location header (requirements 2.5).

``tests/web/test_redirects.py`` has the tests of the rule alone.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import parse_qs, quote

import httpx
import pytest

from fastapi_descope.events import RedirectRejected
from tests.helpers.app_harness import EnvFactory
from tests.helpers.asgi_client import WireResponse
from tests.helpers.attack_target_app import AttackTargetApp, cookie, token_response
from tests.helpers.tampering import Forge
from tests.hostile.tables.redirect_targets import ACCEPTED, CIRCULAR, REJECTED

pytestmark = pytest.mark.anyio

CLASSES = {**REJECTED, "RT-13-circular": CIRCULAR}
every_class = pytest.mark.parametrize("targets", CLASSES.values(), ids=CLASSES)

FORM = (b"content-type", b"application/x-www-form-urlencoded")
USER_NAVIGATION = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-site", b"same-origin"))


class Login:
    """One login in one browser."""

    def __init__(self, env: AttackTargetApp) -> None:
        self.env = env
        self.state = ""
        self.cookie = b""
        self.env.scripts["/v1/auth/sso/authorize"] = self._authorize

    async def start(self, query: str) -> str:
        """Start the login and return the target that the cookie of the browser has."""
        response = await self.env.request(f"/login/sso?tenant=acme&{query}")
        assert (response.status, response.one("location")) == (303, "https://idp.example/")
        self.cookie = response.all("set-cookie")[0].partition(";")[0].encode()
        text = self.cookie.split(b".")[4]
        return urlsafe_b64decode(text + b"=" * (-len(text) % 4)).decode()

    def tamper(self, target: str) -> None:
        """Replace the target in the cookie of the browser."""
        parts = self.cookie.split(b".")
        parts[4] = urlsafe_b64encode(target.encode("utf-8", "surrogatepass")).rstrip(b"=")
        self.cookie = b".".join(parts)

    async def complete(self) -> WireResponse:
        """Request the callback and return the response."""
        return await self.env.request(f"/callback?code=good&state={self.state}", cookie(self.cookie))

    def _authorize(self, request: httpx.Request) -> dict[str, object]:
        redirect = httpx.URL(request.url.params["redirectURL"])
        assert (redirect.host, redirect.path) == ("app.example.com", "/callback")
        self.state = redirect.params["state"]
        return {"url": "https://idp.example/"}


@pytest.fixture
def login(make_target: Callable[..., AttackTargetApp], forge: Forge) -> Login:
    """Return a login that ends at /home by default."""
    env = make_target(post_login_path="/home", post_logout_path="/bye")
    env.scripts["/v1/auth/sso/exchange"] = token_response(forge)
    return Login(env)


def quoted(target: str) -> str:
    """Return a target percent-encoded for a query."""
    return quote(target, safe="", errors="surrogatepass")


@every_class
async def test_rt_a_rejected_target_is_neither_stored_nor_sent(login: Login, targets: list[str]) -> None:
    """The login continues and ends at the default; each rejection emits an event.

    A query over 8 KB is a 400 response.
    """
    recorded_events: list[object] = []
    login.env.descope.on_event(lambda event: recorded_events.append(type(event)))

    too_long = [target for target in targets if len(f"tenant=acme&return_to={quoted(target)}") > 8_192]
    for target in too_long:
        response = await login.env.request(f"/login/sso?tenant=acme&return_to={quoted(target)}")
        assert (response.status, response.all("location")) == (400, []), target
    short_enough = [target for target in targets if target not in too_long]
    for target in short_enough:
        assert await login.start(f"return_to={quoted(target)}") == "/home", target
        response = await login.complete()
        assert (response.status, response.all("location")) == (303, ["/home"]), target

    assert recorded_events.count(RedirectRejected) == len(short_enough)


@every_class
async def test_cb10_a_rejected_target_in_a_tampered_cookie_is_not_sent(
    login: Login, targets: list[str]
) -> None:
    """The target is checked again before it is sent. A cookie with any other encoding is not a login."""
    for target in targets:
        await login.start("return_to=/reports")
        login.tamper(target)
        response = await login.complete()
        readable = target.isascii() and len(target) <= 1_024
        expected: tuple[int, list[str]] = (303, ["/home"]) if readable else (400, [])
        assert (response.status, response.all("location")) == expected, target


@every_class
async def test_rt16_a_rejected_target_is_not_sent_after_logout(login: Login, targets: list[str]) -> None:
    """The rule is the same for logins and logouts."""
    for target in targets:
        body = f"return_to={quoted(target)}".encode()
        response = await login.env.request("/logout", *USER_NAVIGATION, FORM, method="POST", body=body)
        assert (response.status, response.all("location")) == (303, ["/bye"]), target


@pytest.mark.parametrize("target", ACCEPTED, ids=lambda target: target[:40])
async def test_rt_an_accepted_target_arrives_byte_by_byte(login: Login, target: str) -> None:
    """It is unchanged from the query through the cookie to Location, and after logout (RT-15).

    Starlette escapes a few characters that browsers accept and a URI must not contain. Nothing else is
    rewritten.
    """
    sent = target.translate({ord(character): quote(character) for character in "`{|}^"})
    assert await login.start(f"return_to={quoted(target)}") == target
    body = f"return_to={quoted(target)}".encode()

    callback = await login.complete()
    logout = await login.env.request("/logout", *USER_NAVIGATION, FORM, method="POST", body=body)

    assert (callback.status, callback.all("location")) == (303, [sent])
    assert (logout.status, logout.all("location")) == (303, [sent])


@pytest.mark.parametrize(
    "query",
    [
        "return_to=/a&return_to=//evil.example",
        "return_to=//evil.example&return_to=/a",
        "return_to=/a&return_to=/a",
        "return_to=/a&return_to=",
        "return_to=",
        "",
    ],
)
async def test_rt14_a_repeated_or_empty_target_is_the_default(login: Login, query: str) -> None:
    """It is unknown which of the targets is meant."""
    assert await login.start(query) == "/home"


async def test_cb12_a_target_adds_no_parameter_to_the_call(login: Login) -> None:
    """Neither a target nor a state of the query reaches the call to Descope (CVE-2025-67716)."""
    await login.start("return_to=/a%26tenant%3Devil%26redirectURL%3Dhttps://evil.example&state=evil")
    assert len(login.state) == 43
    assert login.env.calls == ["/v1/auth/sso/authorize"]


@pytest.mark.parametrize("name", CLASSES)
async def test_rt_a_login_with_a_rejected_target_ends_at_the_default(make_env: EnvFactory, name: str) -> None:
    """One target of each class, through the emulator's login page and back."""
    env = make_env()
    browser = env.browser()
    start = await browser.visit(f"/login/sso?tenant=acme&return_to={quoted(CLASSES[name][0])}")
    assert parse_qs(str(httpx.URL(start.headers["location"]).query)).get("return_to") is None

    chosen = await browser.choose(await browser.visit(start.headers["location"]), "ada@acme.example")
    response = await browser.visit(chosen.headers["location"])

    assert response.status_code == 303
    assert [value for key, value in response.headers.raw if key.lower() == b"location"] == [b"/"]
    assert browser.cookie("DS")
