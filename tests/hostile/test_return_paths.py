"""Every redirect target of the tables, from the login's query to the bytes of Location (requirements 2.5).

That the rule itself refuses them is in ``tests/web/test_redirects.py``; here they go through the app.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import parse_qs, quote

import httpx
import pytest

from fastapi_descope.events import RedirectRejected
from tests.helpers.app_harness import EnvFactory
from tests.helpers.asgi_client import WireResponse
from tests.helpers.attack_target_app import AttackTargetApp, cookie, tokens_answer
from tests.helpers.tampering import Forge
from tests.hostile.tables.redirect_targets import ACCEPTED, CIRCULAR, REJECTED

pytestmark = pytest.mark.anyio

CLASSES = {**REJECTED, "RT-13-circular": CIRCULAR}
every_class = pytest.mark.parametrize("targets", CLASSES.values(), ids=CLASSES)

FORM = (b"content-type", b"application/x-www-form-urlencoded")
BY_A_PERSON = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-site", b"same-origin"))


class Login:
    """One login in one browser, as far as the app can tell."""

    def __init__(self, env: AttackTargetApp) -> None:
        self.env = env
        self.state = ""
        self.cookie = b""
        self.env.scripts["/v1/auth/sso/authorize"] = self._authorize

    async def begin(self, query: str) -> str:
        """Begin it; where it is to end, as the browser's cookie has it."""
        response = await self.env.ask(f"/login/sso?tenant=acme&{query}")
        assert (response.status, response.one("location")) == (303, "https://idp.example/")
        self.cookie = response.all("set-cookie")[0].partition(";")[0].encode()
        text = self.cookie.rpartition(b".")[2]
        return urlsafe_b64decode(text + b"=" * (-len(text) % 4)).decode()

    def tamper(self, target: str) -> None:
        """Have the browser's cookie name another end."""
        start = self.cookie.rpartition(b".")[0]
        raw = target.encode("utf-8", "surrogatepass")
        self.cookie = start + b"." + urlsafe_b64encode(raw).rstrip(b"=")

    async def complete(self) -> WireResponse:
        """The answer of the callback."""
        return await self.env.ask(f"/callback?code=good&state={self.state}", cookie(self.cookie))

    def _authorize(self, request: httpx.Request) -> dict[str, object]:
        redirect = httpx.URL(request.url.params["redirectURL"])
        assert (redirect.host, redirect.path) == ("app.example.com", "/callback")
        self.state = redirect.params["state"]
        return {"url": "https://idp.example/"}


@pytest.fixture
def login(besieged: Callable[..., AttackTargetApp], forge: Forge) -> Login:
    """A login that ends at /home unless it is told better."""
    env = besieged(post_login_path="/home", post_logout_path="/bye")
    env.scripts["/v1/auth/sso/exchange"] = tokens_answer(forge)
    return Login(env)


def quoted(target: str) -> str:
    """A target as a query spells it."""
    return quote(target, safe="", errors="surrogatepass")


@every_class
async def test_rt_a_refused_target_is_neither_stored_nor_sent(login: Login, targets: list[str]) -> None:
    """The login goes on as usual and ends at the default; the refusal is an event.

    An address with over 8 KB of query is none that a login answers at all.
    """
    refusals: list[object] = []
    login.env.descope.on_event(lambda event: refusals.append(type(event)))

    endless = [target for target in targets if len(f"tenant=acme&return_to={quoted(target)}") > 8_192]
    for target in endless:
        response = await login.env.ask(f"/login/sso?tenant=acme&return_to={quoted(target)}")
        assert (response.status, response.all("location")) == (400, []), target
    fitting = [target for target in targets if target not in endless]
    for target in fitting:
        assert await login.begin(f"return_to={quoted(target)}") == "/home", target
        response = await login.complete()
        assert (response.status, response.all("location")) == (303, ["/home"]), target

    assert refusals.count(RedirectRejected) == len(fitting)


@every_class
async def test_cb10_a_refused_target_in_a_tampered_cookie_is_not_sent(
    login: Login, targets: list[str]
) -> None:
    """Checked again when emitted. A cookie that is not spelt as ours are is no login at all."""
    for target in targets:
        await login.begin("return_to=/reports")
        login.tamper(target)
        response = await login.complete()
        readable = target.isascii() and len(target) <= 1_024
        expected: tuple[int, list[str]] = (303, ["/home"]) if readable else (400, [])
        assert (response.status, response.all("location")) == expected, target


@every_class
async def test_rt16_a_refused_target_is_not_sent_after_signing_out(login: Login, targets: list[str]) -> None:
    """The same rule, whoever asks to be sent on."""
    for target in targets:
        body = f"return_to={quoted(target)}".encode()
        response = await login.env.ask("/logout", *BY_A_PERSON, FORM, method="POST", body=body)
        assert (response.status, response.all("location")) == (303, ["/bye"]), target


@pytest.mark.parametrize("target", ACCEPTED, ids=lambda target: target[:40])
async def test_rt_an_accepted_target_arrives_byte_by_byte(login: Login, target: str) -> None:
    """From the query through the cookie into Location, and after signing out (RT-15).

    Starlette escapes a few characters that a URI must not have and browsers take; nothing else is rewritten.
    """
    sent = target.translate({ord(character): quote(character) for character in "`{|}^"})
    assert await login.begin(f"return_to={quoted(target)}") == target
    body = f"return_to={quoted(target)}".encode()

    back = await login.complete()
    out = await login.env.ask("/logout", *BY_A_PERSON, FORM, method="POST", body=body)

    assert (back.status, back.all("location")) == (303, [sent])
    assert (out.status, out.all("location")) == (303, [sent])


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
    """Which one is meant cannot be told."""
    assert await login.begin(query) == "/home"


async def test_cb12_a_target_adds_no_parameter_to_the_call(login: Login) -> None:
    """Nothing in a target, and no state of another's making, reaches the call to Descope (CVE-2025-67716)."""
    await login.begin("return_to=/a%26tenant%3Devil%26redirectURL%3Dhttps://evil.example&state=evil")
    assert len(login.state) == 43
    assert login.env.calls == ["/v1/auth/sso/authorize"]


@pytest.mark.parametrize("name", CLASSES)
async def test_rt_a_whole_journey_ends_at_home(make_env: EnvFactory, name: str) -> None:
    """One target of each class, through the emulator's page and back."""
    env = make_env()
    browser = env.browser()
    start = await browser.visit(f"/login/sso?tenant=acme&return_to={quoted(CLASSES[name][0])}")
    assert parse_qs(str(httpx.URL(start.headers["location"]).query)).get("return_to") is None

    chosen = await browser.choose(await browser.visit(start.headers["location"]), "ada@acme.example")
    response = await browser.visit(chosen.headers["location"])

    assert response.status_code == 303
    assert [value for key, value in response.headers.raw if key.lower() == b"location"] == [b"/"]
    assert browser.cookie("DS")
