"""The sign-in page: its content, its form and its redirects."""

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
    """The page has the tenant and its members with their roles, and cannot be cached or framed."""
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
    """The page loads nothing, and allows only its own style."""
    emulator = make()
    response = await call(emulator, "GET", await start(emulator))
    nonce = re.search(r"'nonce-([^']+)'", response.headers["content-security-policy"])
    assert nonce is not None
    assert f'<style nonce="{nonce[1]}">' in response.text
    assert re.findall(r'(?:src|href)="([^"]*)"', response.text) == ["data:,"]
    assert "url(" not in response.text


async def test_nonce_and_form_token_are_unique(call: Call, start: Start, make: Make) -> None:
    """The nonce differs at every request, the form token at every sign-in."""
    emulator = make()
    urls = [await start(emulator) for _ in range(2)]
    pages = [await call(emulator, "GET", url) for url in (urls[0], urls[0], urls[1])]
    tokens = [re.findall(r'form_token" value="([^"]+)"', page.text)[0] for page in pages]
    assert len({page.headers["content-security-policy"] for page in pages}) == 3
    assert tokens[0] == tokens[1] != tokens[2]


async def test_login_hint_preselects(call: Call, start: Start, make: Make) -> None:
    """The member of the login hint has the focus."""
    emulator = make()
    page = await call(emulator, "GET", await start(emulator, loginHint="GRACE@acme.example"))
    assert re.findall(r'value="([^"]+)" data-hinted autofocus', page.text) == [
        SeedUser("grace@acme.example").user_id
    ]


async def test_step_up_lists_the_signed_in_user_only(call: Call, start: Start, make: Make) -> None:
    """Only the signed-in user can confirm a step-up."""
    emulator = make()
    token = emulator.issue("grace@acme.example").refresh_jwt
    page = await call(emulator, "GET", await start(emulator, token))
    assert _people(page.text) == ["grace@acme.example"]
    assert "Confirm that it is you." in page.text


async def test_tenant_without_members(call: Call, start: Start, make: Make) -> None:
    """The page says that there are no members; a refusal is still possible."""
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


async def test_choice_redirects_with_the_code(start: Start, make: Make, confirm: Call) -> None:
    """The redirect is a 303 with the code after the app's unchanged query and the fragment last."""
    emulator = make()
    response = await confirm(emulator, await start(emulator), "ada@acme.example")
    assert response.status_code == 303
    assert response.content == b""
    assert response.headers["cache-control"] == "no-store"
    assert re.fullmatch(
        r"http://localhost:8000/callback\?state=a%20b&code=[0-9A-Za-z_-]{43}#top",
        response.headers["location"],
    )


async def test_refusal_redirects_with_the_error(start: Start, make: Make, confirm: Call) -> None:
    """A refusal has the error in both spellings and no code."""
    emulator = make()
    response = await confirm(emulator, await start(emulator), None)
    assert response.status_code == 303
    assert response.headers["location"] == (
        "http://localhost:8000/callback?state=a%20b&err=access_denied&error=access_denied"
        "&error_description=The+sign-in+was+refused#top"
    )


@pytest.mark.parametrize("user", ["ada@acme.example", None])
async def test_page_works_once(call: Call, start: Start, make: Make, confirm: Call, user: str | None) -> None:
    """A submitted page is closed, whatever the choice was."""
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
    """A page expires, and is removed when the next one is opened."""
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
async def test_forged_form(start: Start, make: Make, confirm: Call, changes: dict[str, str]) -> None:
    """A form without the token, for another user, or with two choices is rejected; the page stays open."""
    emulator = make()
    url = await start(emulator)
    response = await confirm(emulator, url, "ada@acme.example", **changes)
    assert response.status_code == 400
    assert "location" not in response.headers
    assert (await confirm(emulator, url, "ada@acme.example")).status_code == 303


@pytest.mark.parametrize("content", [b"", b"\xff=\xff", b"user", b"&&==", b"form_token=%ed%a0%80"])
async def test_garbage_form(call: Call, start: Start, make: Make, content: bytes) -> None:
    """Bytes that are not a form are rejected."""
    emulator = make()
    response = await call(emulator, "POST", await start(emulator), content=content)
    assert response.status_code == 400


async def test_step_up_by_another_user_is_rejected(start: Start, make: Make, confirm: Call) -> None:
    """Another member cannot confirm a step-up."""
    emulator = make()
    token = emulator.issue("grace@acme.example").refresh_jwt
    response = await confirm(emulator, await start(emulator, token), "ada@acme.example")
    assert response.status_code == 400


async def test_membership_is_checked_at_submission(start: Start, make: Make, confirm: Call) -> None:
    """A user who has left the tenant since the page was opened is rejected."""
    emulator = make()
    url = await start(emulator)
    emulator.project = replace(emulator.project, users=(SeedUser("ada@acme.example"),))
    assert (await confirm(emulator, url, "ada@acme.example")).status_code == 400


async def test_ipv6_redirect(make: Make, get_code: GetCode) -> None:
    """A redirect to the IPv6 loopback address works."""
    assert await get_code(make(), redirectURL="http://[::1]:8000/callback")


@pytest.mark.parametrize("path", ["sso/authorize", "saml/authorize", "oauth/authorize"])
async def test_initiated_email(call: Call, make: Make, confirm: Call, path: str) -> None:
    """A user with another e-mail address than the initiated one is redirected with an error."""
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
    """A disabled user is redirected with an error."""
    ada = SeedUser("ada@acme.example", tenants={"acme": Grants()}, status="disabled")
    emulator = make(Project(users=(ada,)))
    response = await confirm(emulator, await start(emulator), "ada@acme.example")
    query = httpx.URL(response.headers["location"]).params
    assert (query["error"], query["error_description"]) == ("access_denied", "The user is disabled")
    assert "code" not in query


async def test_invited_user(start: Start, make: Make, confirm: Call) -> None:
    """An invited user can sign in."""
    ada = SeedUser("ada@acme.example", tenants={"acme": Grants()}, status="invited")
    emulator = make(Project(users=(ada,)))
    response = await confirm(emulator, await start(emulator), "ada@acme.example")
    assert "code=" in response.headers["location"]
