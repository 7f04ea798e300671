"""Typing a login id into the sign-in page, and joining a tenant that way."""

import re
from collections.abc import Callable, Coroutine
from dataclasses import replace
from html import escape

import httpx
import pytest

from fastapi_descope.emulator import Emulator, Grants, Project, SeedUser
from tests.emulator.conftest import BACK

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]
Start = Callable[..., Coroutine[None, None, str]]


async def _typed(call: Call, emulator: Emulator, url: str, login_id: str) -> httpx.Response:
    """Type a login id into the page and press Continue."""
    page = await call(emulator, "GET", url)
    token = re.findall(r'form_token" value="([^"]+)"', page.text)[0]
    return await _sent(call, emulator, url, form_token=token, login_id=login_id)


async def _sent(call: Call, emulator: Emulator, url: str, **form: str) -> httpx.Response:
    content = str(httpx.QueryParams(form)).encode()
    return await call(emulator, "POST", url, content=content)


@pytest.mark.parametrize("typed", ["grace@acme.example", " GRACE@acme.example "])
async def test_typing_a_member(call: Call, start: Start, make: Make, typed: str) -> None:
    """A member may be typed as well as chosen."""
    emulator = make()
    response = await _typed(call, emulator, await start(emulator), typed)
    assert response.status_code == 303
    assert "code=" in response.headers["location"]


@pytest.mark.parametrize(
    "typed",
    ["eve@acme.example", "hank@globex.example", "<b>@acme.example", SeedUser("ada@acme.example").user_id],
)
async def test_typing_somebody_else(call: Call, start: Start, make: Make, typed: str) -> None:
    """Whoever is not in the tenant is told so on the same page, which stays open."""
    emulator = make()
    url = await start(emulator)
    before = emulator.project
    response = await _typed(call, emulator, url, typed)
    assert response.status_code == 422
    assert "Acme Corp has no such account." in response.text
    assert f'value="{escape(typed)}"' in response.text
    assert emulator.project is before
    assert (await _typed(call, emulator, url, "ada@acme.example")).status_code == 303


async def test_hint_for_a_stranger(call: Call, start: Start, make: Make) -> None:
    """A login hint that is no member stands in the field; one that is, is not repeated there."""
    emulator = make()
    for hint, shown in (("eve@x.example", "eve@x.example"), ("ada@acme.example", "")):
        page = await call(emulator, "GET", await start(emulator, loginHint=hint))
        assert f'placeholder="name@company.example" value="{shown}"' in page.text


async def test_newcomer(call: Call, start: Start, make: Make) -> None:
    """Where the project is open, whoever types an address joins the tenant, without roles, and is there."""
    emulator = make(Project(open_sign_up=True))
    response = await _typed(call, emulator, await start(emulator), "New@acme.example")
    assert response.status_code == 303
    user = emulator.project.find_user("new@acme.example")
    assert user is not None
    assert (user.login_id, dict(user.tenants)) == ("New@acme.example", {"acme": Grants()})
    page = await call(emulator, "GET", await start(emulator))
    assert re.findall(r'class="detail">([^ <]+)', page.text) == [
        "ada@acme.example",
        "grace@acme.example",
        "New@acme.example",
    ]


async def test_newcomer_to_the_tenant(call: Call, start: Start, make: Make) -> None:
    """A user of another tenant joins this one, too, and keeps what they have."""
    emulator = make(Project(open_sign_up=True))
    before = emulator.project.find_user("hank@globex.example")
    assert before is not None
    await _typed(call, emulator, await start(emulator), "hank@globex.example")
    after = emulator.project.find_user("hank@globex.example")
    assert after == replace(before, tenants={**before.tenants, "acme": Grants()})
    assert len(emulator.project.users) == 4


async def test_newcomer_without_a_tenant(call: Call, make: Make) -> None:
    """A social sign-in has no tenant to join."""
    emulator = make(Project(open_sign_up=True))
    query = {"provider": "github", "redirectURL": BACK}
    started = await call(emulator, "POST", "/v1/auth/oauth/authorize", params=query)
    assert (await _typed(call, emulator, started.json()["url"], "new@x.example")).status_code == 303
    user = emulator.project.find_user("new@x.example")
    assert user is not None
    assert dict(user.tenants) == {}


@pytest.mark.parametrize(
    "typed", ["eve", "@", "eve@", "a b@x.example", "eve@x@y", "\u00e9ve@x.example", "a" * 300 + "@x"]
)
async def test_no_address(call: Call, start: Start, make: Make, typed: str) -> None:
    """Nobody joins under what is no e-mail address."""
    emulator = make(Project(open_sign_up=True))
    response = await _typed(call, emulator, await start(emulator), typed)
    assert response.status_code == 422
    assert "Enter an e-mail address to join." in response.text
    assert len(emulator.project.users) == 4


@pytest.mark.parametrize(("typed", "status"), [("new@acme.example", 303), ("eve@acme.example", 422)])
async def test_joining_under_the_initiated_address(
    call: Call, start: Start, make: Make, typed: str, status: int
) -> None:
    """Who was asked for may join, and nobody in their place."""
    emulator = make(Project(open_sign_up=True))
    url = await start(emulator, initiatedEmail="New@acme.example")
    assert (await _typed(call, emulator, url, typed)).status_code == status
    assert (emulator.project.find_user(typed) is not None) is (status == 303)


async def test_nobody_joins_by_step_up(call: Call, start: Start, make: Make) -> None:
    """Who confirms a step-up is settled: the page has no field, and a forged form does not get in."""
    emulator = make(Project(open_sign_up=True))
    token = emulator.issue("grace@acme.example").refresh_jwt
    url = await start(emulator, token)
    assert "login_id" not in (await call(emulator, "GET", url)).text
    assert (await _typed(call, emulator, url, "eve@acme.example")).status_code == 422
    assert (await _typed(call, emulator, url, "ada@acme.example")).status_code == 422
    assert (await _typed(call, emulator, url, "grace@acme.example")).status_code == 303


async def test_nobody_joins_a_tenant_that_is_gone(call: Call, start: Start, make: Make) -> None:
    """A page may outlive its tenant."""
    emulator = make(Project(open_sign_up=True))
    url = await start(emulator)
    emulator.project = Project(tenants=(), users=(), access_keys=(), open_sign_up=True)
    assert (await _typed(call, emulator, url, "eve@acme.example")).status_code == 422
