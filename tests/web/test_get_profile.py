"""``get_user_profile``: Descope's user object, in a login hook and anywhere else."""

import asyncio
import json

import pytest
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from fastapi_descope import AuthSession, get_user_profile
from fastapi_descope.emulator import Project
from fastapi_descope.events import Event, LoginFailed, ProfileFetched, SignedIn
from tests.helpers.app_harness import World, WorldFactory

pytestmark = pytest.mark.anyio

PLAIN = Project(template_email=False)
"""A project whose tokens have neither name nor e-mail in them, as Descope's have by default."""


def _remember(town: World) -> list[str | None]:
    """The names that a login hook finds out."""
    names: list[str | None] = []

    @town.descope.on_login
    async def provision(request: Request, session: AuthSession) -> None:
        profile = await get_user_profile(request)
        assert (profile.user_id, session.user.name) == (session.user.id, None)
        names.append(profile.name)

    return names


async def test_a_login_hook_knows_the_user_without_a_further_call(world: WorldFactory) -> None:
    """The user object came along with the tokens, also where the tokens say nothing."""
    town = world(project=PLAIN)
    names = _remember(town)

    await town.signed_in()

    assert names == ["Ada Lovelace"]
    assert town.calls("me") == 0
    assert ProfileFetched() not in town.events


async def test_a_login_hook_asks_where_none_came_along(world: WorldFactory) -> None:
    """With the new tokens, not those of whoever was signed in before."""
    town = world(project=PLAIN)
    browser = await town.signed_in()
    names = _remember(town)
    callback = await browser.to_callback("grace@acme.example")
    grace = town.emulator.issue("grace@acme.example", "acme")
    tokens = {"sessionJwt": grace.session_jwt, "refreshJwt": grace.refresh_jwt}
    town.emulator.faults.add("exchange", status=200, body=json.dumps(tokens).encode())

    assert (await browser.visit(callback)).status_code == 303

    assert names == ["Grace Hopper"]
    assert town.calls("me") == 1


async def test_a_login_hook_asks_also_after_a_browser_that_does_not_wait(world: WorldFactory) -> None:
    """It runs to its end, and all that it has works as long."""
    town, names = world(project=PLAIN), list[str | None]()
    begun, gone, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @town.descope.subscribe
    def hear(event: Event) -> None:
        if isinstance(event, (SignedIn, LoginFailed)):
            ended.set()

    @town.descope.on_login
    async def provision(request: Request, session: AuthSession) -> None:
        begun.set()
        await gone.wait()
        names.append((await get_user_profile(request)).name)

    browser = town.browser()
    callback = asyncio.ensure_future(browser.visit(await browser.to_callback()))
    await begun.wait()
    callback.cancel()
    await asyncio.wait([callback])
    gone.set()
    await ended.wait()

    assert names == ["Ada Lovelace"]


async def test_what_a_login_hook_keeps_in_the_request_is_for_the_app_to_see(world: WorldFactory) -> None:
    """In its state, as elsewhere."""
    town, seen = world(), list[str]()

    @town.app.middleware("http")
    async def look(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        seen.append(getattr(request.state, "provisioned", "nobody"))
        return response

    @town.descope.on_login
    async def provision(request: Request, session: AuthSession) -> None:
        request.state.provisioned = session.user.name

    await town.signed_in()

    assert seen == ["nobody", "Ada Lovelace"]


async def test_a_handler_asks_for_the_profile_of_its_session(world: WorldFactory) -> None:
    """One call each time; nobody has none, and a bearer cannot ask."""
    town = world()

    @town.app.get("/name")
    async def name(request: Request) -> str | None:
        return (await get_user_profile(request)).name

    browser = await town.signed_in()
    bearer = f"Bearer {town.emulator.issue('ada@acme.example', 'acme').session_jwt}"

    assert (await browser.get("/name")).json() == "Ada Lovelace"
    assert town.calls("me") == 1
    assert town.events[-1] == ProfileFetched()
    assert (await town.browser().get("/name")).status_code == 401
    assert (await town.browser().get("/name", authorization=bearer)).status_code == 400
    assert town.calls("me") == 1
