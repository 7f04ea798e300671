"""Entering a login id on the sign-in page, and open sign-up."""

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


async def _enter(call: Call, emulator: Emulator, url: str, login_id: str) -> httpx.Response:
    """Enter a login id on the page and press Continue."""
    page = await call(emulator, "GET", url)
    token = re.findall(r'form_token" value="([^"]+)"', page.text)[0]
    return await _sent(call, emulator, url, form_token=token, login_id=login_id)


async def _sent(call: Call, emulator: Emulator, url: str, **form: str) -> httpx.Response:
    content = str(httpx.QueryParams(form)).encode()
    return await call(emulator, "POST", url, content=content)


@pytest.mark.parametrize("typed", ["grace@acme.example", " GRACE@acme.example "])
async def test_member_can_be_entered(call: Call, start: Start, make: Make, typed: str) -> None:
    """A member can be entered instead of chosen."""
    emulator = make()
    response = await _enter(call, emulator, await start(emulator), typed)
    assert response.status_code == 303
    assert "code=" in response.headers["location"]


@pytest.mark.parametrize(
    "typed",
    ["eve@acme.example", "hank@globex.example", "<b>@acme.example", SeedUser("ada@acme.example").user_id],
)
async def test_unknown_login_id_shows_the_page_again(
    call: Call, start: Start, make: Make, typed: str
) -> None:
    """An unknown login id is reported on the page, which stays open."""
    emulator = make()
    url = await start(emulator)
    before = emulator.project
    response = await _enter(call, emulator, url, typed)
    assert response.status_code == 422
    assert "Acme Corp has no such account." in response.text
    assert f'value="{escape(typed)}"' in response.text
    assert emulator.project is before
    assert (await _enter(call, emulator, url, "ada@acme.example")).status_code == 303


async def test_login_hint_of_an_unknown_user_is_in_the_field(call: Call, start: Start, make: Make) -> None:
    """The field has the login hint unless it is a member."""
    emulator = make()
    for hint, shown in (("eve@x.example", "eve@x.example"), ("ada@acme.example", "")):
        page = await call(emulator, "GET", await start(emulator, loginHint=hint))
        assert f'placeholder="name@company.example" value="{shown}"' in page.text


async def test_open_sign_up_adds_the_user(call: Call, start: Start, make: Make) -> None:
    """With open sign-up an entered e-mail address joins the tenant without roles, permanently."""
    emulator = make(Project(open_sign_up=True))
    response = await _enter(call, emulator, await start(emulator), "New@acme.example")
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


async def test_open_sign_up_adds_a_membership(call: Call, start: Start, make: Make) -> None:
    """A user of another tenant joins this one too, and keeps the others."""
    emulator = make(Project(open_sign_up=True))
    before = emulator.project.find_user("hank@globex.example")
    assert before is not None
    await _enter(call, emulator, await start(emulator), "hank@globex.example")
    after = emulator.project.find_user("hank@globex.example")
    assert after == replace(before, tenants={**before.tenants, "acme": Grants()})
    assert len(emulator.project.users) == 4


async def test_open_sign_up_without_a_tenant(call: Call, make: Make) -> None:
    """A social sign-in has no tenant to join."""
    emulator = make(Project(open_sign_up=True))
    query = {"provider": "github", "redirectURL": BACK}
    started = await call(emulator, "POST", "/v1/auth/oauth/authorize", params=query)
    assert (await _enter(call, emulator, started.json()["url"], "new@x.example")).status_code == 303
    user = emulator.project.find_user("new@x.example")
    assert user is not None
    assert dict(user.tenants) == {}


@pytest.mark.parametrize(
    "typed", ["eve", "@", "eve@", "a b@x.example", "eve@x@y", "\u00e9ve@x.example", "a" * 300 + "@x"]
)
async def test_open_sign_up_needs_an_email_address(call: Call, start: Start, make: Make, typed: str) -> None:
    """Other login ids than e-mail addresses cannot join."""
    emulator = make(Project(open_sign_up=True))
    response = await _enter(call, emulator, await start(emulator), typed)
    assert response.status_code == 422
    assert "Enter an e-mail address to join." in response.text
    assert len(emulator.project.users) == 4


@pytest.mark.parametrize(("typed", "status"), [("new@acme.example", 303), ("eve@acme.example", 422)])
async def test_open_sign_up_with_an_initiated_email(
    call: Call, start: Start, make: Make, typed: str, status: int
) -> None:
    """Only the initiated e-mail address can join."""
    emulator = make(Project(open_sign_up=True))
    url = await start(emulator, initiatedEmail="New@acme.example")
    assert (await _enter(call, emulator, url, typed)).status_code == status
    assert (emulator.project.find_user(typed) is not None) is (status == 303)


async def test_step_up_has_no_sign_up(call: Call, start: Start, make: Make) -> None:
    """The page of a step-up has no field, and a forged form is rejected."""
    emulator = make(Project(open_sign_up=True))
    token = emulator.issue("grace@acme.example").refresh_jwt
    url = await start(emulator, token)
    assert "login_id" not in (await call(emulator, "GET", url)).text
    assert (await _enter(call, emulator, url, "eve@acme.example")).status_code == 422
    assert (await _enter(call, emulator, url, "ada@acme.example")).status_code == 422
    assert (await _enter(call, emulator, url, "grace@acme.example")).status_code == 303


async def test_no_sign_up_to_a_removed_tenant(call: Call, start: Start, make: Make) -> None:
    """A tenant may be removed while a page is open."""
    emulator = make(Project(open_sign_up=True))
    url = await start(emulator)
    emulator.project = Project(tenants=(), users=(), access_keys=(), open_sign_up=True)
    assert (await _enter(call, emulator, url, "eve@acme.example")).status_code == 422
