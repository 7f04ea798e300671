"""The sign-in page: what it shows, what it takes, and where it sends the browser."""

import re
from collections.abc import Callable, Coroutine
from dataclasses import replace

import httpx
import pytest

from fastapi_descope.emulator import Clock, Emulator, Grants, Project, SeedTenant, SeedUser
from tests.emulator.conftest import BACK

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Start = Callable[..., Coroutine[None, None, str]]
GetCode = Callable[..., Coroutine[None, None, str]]


def _people(page: str) -> list[str]:
    return re.findall(r'class="detail">([^ <]+)', page)


async def test_page(call: Call, start: Start, make: Make) -> None:
    """The page names the tenant and lists its members with their roles, and may not be cached or framed."""
    emulator = make()
    response = await call(emulator, "GET", await start(emulator))
    policy = response.headers["content-security-policy"]
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch(
        r"default-src 'none'; style-src 'nonce-[0-9A-Za-z_-]{22}'; img-src data:; base-uri 'none'; "
        r"frame-ancestors 'none'; form-action 'self' http: https:",
        policy,
    )
    assert "<title>Sign in to Acme Corp</title>" in response.text
    assert _people(response.text) == ["ada@acme.example", "grace@acme.example"]
    assert "ada@acme.example · admin<" in response.text
    assert "autofocus" not in response.text


async def test_page_is_self_contained(call: Call, start: Start, make: Make) -> None:
    """The page loads nothing from anywhere, and only its own style is allowed."""
    emulator = make()
    response = await call(emulator, "GET", await start(emulator))
    nonce = re.search(r"'nonce-([^']+)'", response.headers["content-security-policy"])
    assert nonce is not None
    assert f'<style nonce="{nonce[1]}">' in response.text
    assert re.findall(r'(?:src|href)="([^"]*)"', response.text) == ["data:,"]
    assert "url(" not in response.text


async def test_tokens_of_a_page_are_its_own(call: Call, start: Start, make: Make) -> None:
    """Nonces differ at every showing, form tokens at every sign-in."""
    emulator = make()
    urls = [await start(emulator) for _ in range(2)]
    pages = [await call(emulator, "GET", url) for url in (urls[0], urls[0], urls[1])]
    tokens = [re.findall(r'form_token" value="([^"]+)"', page.text)[0] for page in pages]
    assert len({page.headers["content-security-policy"] for page in pages}) == 3
    assert tokens[0] == tokens[1] != tokens[2]


async def test_login_hint_preselects(call: Call, start: Start, make: Make) -> None:
    """The hinted member has the focus."""
    emulator = make()
    page = await call(emulator, "GET", await start(emulator, loginHint="GRACE@acme.example"))
    assert re.findall(r'value="([^"]+)" data-hinted autofocus', page.text) == [
        SeedUser("grace@acme.example").user_id
    ]


async def test_step_up_asks_the_same_person(call: Call, start: Start, make: Make) -> None:
    """For step-up only the one who is signed in can confirm."""
    emulator = make()
    token = emulator.issue("grace@acme.example").refresh_jwt
    page = await call(emulator, "GET", await start(emulator, token))
    assert _people(page.text) == ["grace@acme.example"]
    assert "Confirm that it is you." in page.text


async def test_nobody_to_choose(call: Call, start: Start, make: Make) -> None:
    """A tenant without members says so; refusing is still possible."""
    emulator = make(Project(tenants=(SeedTenant("acme"),), users=()))
    page = await call(emulator, "GET", await start(emulator))
    assert "Sign in to acme" in page.text
    assert "This tenant has no users." in page.text
    assert 'name="refuse"' in page.text


async def test_names_are_escaped(call: Call, start: Start, make: Make) -> None:
    """Names from the seed are text, not markup."""
    user = SeedUser("x@acme.example", "<script>alert(1)</script>", tenants={"acme": Grants()})
    emulator = make(Project(tenants=(SeedTenant("acme", '"><b>'),), users=(user,)))
    page = await call(emulator, "GET", await start(emulator))
    assert "<script" not in page.text
    assert "<b>" not in page.text


async def test_choosing_sends_the_code(start: Start, make: Make, confirm: Call) -> None:
    """The browser goes back by 303, the code behind the query as the app wrote it, the fragment last."""
    emulator = make()
    response = await confirm(emulator, await start(emulator), "ada@acme.example")
    assert response.status_code == 303
    assert response.content == b""
    assert response.headers["cache-control"] == "no-store"
    assert re.fullmatch(
        r"http://localhost:8000/callback\?state=a%20b&code=[0-9A-Za-z_-]{43}#top",
        response.headers["location"],
    )


async def test_refusing_sends_the_error(start: Start, make: Make, confirm: Call) -> None:
    """A refusal goes back in both spellings that apps look for, without a code."""
    emulator = make()
    response = await confirm(emulator, await start(emulator), None)
    assert response.status_code == 303
    assert response.headers["location"] == (
        "http://localhost:8000/callback?state=a%20b&err=access_denied&error=access_denied"
        "&error_description=The+sign-in+was+refused#top"
    )


@pytest.mark.parametrize("user", ["ada@acme.example", None])
async def test_page_works_once(call: Call, start: Start, make: Make, confirm: Call, user: str | None) -> None:
    """An answered page is gone, whatever the answer was."""
    emulator = make()
    url = await start(emulator)
    await confirm(emulator, url, user)
    for method in ("GET", "POST"):
        response = await call(emulator, method, url)
        assert response.status_code == 404
        assert "This sign-in has ended" in response.text
        assert response.headers["content-security-policy"].endswith("form-action 'none'")


@pytest.mark.parametrize(("seconds", "status"), [(599, 200), (600, 404)])
async def test_page_lives_ten_minutes(
    call: Call, start: Start, make: Make, clock: Clock, seconds: int, status: int
) -> None:
    """A page that nobody answers dies, and is forgotten when the next one is opened."""
    emulator = make()
    url = await start(emulator)
    clock.advance(seconds)
    await start(emulator)
    assert (await call(emulator, "GET", url)).status_code == status


@pytest.mark.parametrize(
    "changes",
    [
        {"form_token": "guessed"},
        {"form_token": ""},
        {"user": "Unobody"},
        {"user": SeedUser("hank@globex.example").user_id},
        {"user": ""},
        {"refuse": "yes"},
    ],
)
async def test_foreign_form(start: Start, make: Make, confirm: Call, changes: dict[str, str]) -> None:
    """A form without the page's token, for a stranger, or with two answers is refused; the page stays."""
    emulator = make()
    url = await start(emulator)
    response = await confirm(emulator, url, "ada@acme.example", **changes)
    assert response.status_code == 400
    assert "location" not in response.headers
    assert (await confirm(emulator, url, "ada@acme.example")).status_code == 303


@pytest.mark.parametrize("content", [b"", b"\xff=\xff", b"user", b"&&==", b"form_token=%ed%a0%80"])
async def test_garbage_form(call: Call, start: Start, make: Make, content: bytes) -> None:
    """Bytes that are no form are no answer."""
    emulator = make()
    response = await call(emulator, "POST", await start(emulator), content=content)
    assert response.status_code == 400


async def test_step_up_by_another_person(start: Start, make: Make, confirm: Call) -> None:
    """Another member cannot confirm somebody's step-up."""
    emulator = make()
    token = emulator.issue("grace@acme.example").refresh_jwt
    response = await confirm(emulator, await start(emulator, token), "ada@acme.example")
    assert response.status_code == 400


async def test_member_who_left(start: Start, make: Make, confirm: Call) -> None:
    """Membership is looked at when the form arrives."""
    emulator = make()
    url = await start(emulator)
    emulator.project = replace(emulator.project, users=(SeedUser("ada@acme.example"),))
    assert (await confirm(emulator, url, "ada@acme.example")).status_code == 400


async def test_ipv6_redirect(make: Make, get_code: GetCode) -> None:
    """An IPv6 loopback may be returned to."""
    assert await get_code(make(), redirectURL="http://[::1]:8000/callback")


@pytest.mark.parametrize("path", ["sso/authorize", "saml/authorize", "oauth/authorize"])
async def test_initiated_email(call: Call, make: Make, confirm: Call, path: str) -> None:
    """Who has another address than the sign-in was started for comes back with an error, not with a code."""
    emulator = make()
    query = {"tenant": "acme", "provider": "google", "redirectURL": BACK}
    query["initiatedEmail"] = "ADA@acme.example"
    outcomes: dict[str, str | None] = {}
    for user in ("ada@acme.example", "grace@acme.example"):
        started = await call(emulator, "POST", f"/v1/auth/{path}", params=query)
        back = httpx.URL((await confirm(emulator, started.json()["url"], user)).headers["location"])
        outcomes[user] = back.params.get("error", "code" if "code" in back.params else None)
    assert outcomes == {"ada@acme.example": "code", "grace@acme.example": "access_denied"}


async def test_disabled_user(start: Start, make: Make, confirm: Call) -> None:
    """Who is disabled comes back with an error, and was told nothing else."""
    ada = SeedUser("ada@acme.example", tenants={"acme": Grants()}, status="disabled")
    emulator = make(Project(users=(ada,)))
    response = await confirm(emulator, await start(emulator), "ada@acme.example")
    query = httpx.URL(response.headers["location"]).params
    assert (query["error"], query["error_description"]) == ("access_denied", "The user is disabled")
    assert "code" not in query


async def test_invited_user(start: Start, make: Make, confirm: Call) -> None:
    """Who is invited may come."""
    ada = SeedUser("ada@acme.example", tenants={"acme": Grants()}, status="invited")
    emulator = make(Project(users=(ada,)))
    response = await confirm(emulator, await start(emulator), "ada@acme.example")
    assert "code=" in response.headers["location"]
