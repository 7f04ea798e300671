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
from tests.helpers.app_harness import AppHarness, EnvFactory

pytestmark = pytest.mark.anyio

PLAIN = Project(template_email=False)
"""A project whose tokens have neither name nor e-mail in them, as Descope's have by default."""


def _remember(env: AppHarness) -> list[str | None]:
    """The names that a login hook finds out."""
    names: list[str | None] = []

    @env.descope.on_login
    async def provision(request: Request, session: AuthSession) -> None:
        profile = await get_user_profile(request)
        assert (profile.user_id, session.user.name) == (session.user.id, None)
        names.append(profile.name)

    return names


async def test_a_login_hook_knows_the_user_without_a_further_call(make_env: EnvFactory) -> None:
    """The user object came along with the tokens, also where the tokens say nothing."""
    env = make_env(project=PLAIN)
    names = _remember(env)

    await env.signed_in_browser()

    assert names == ["Ada Lovelace"]
    assert env.calls("me") == 0
    assert ProfileFetched() not in env.events


async def test_a_login_hook_asks_where_none_came_along(make_env: EnvFactory) -> None:
    """With the new tokens, not those of whoever was signed in before."""
    env = make_env(project=PLAIN)
    browser = await env.signed_in_browser()
    names = _remember(env)
    callback = await browser.open_callback("grace@acme.example")
    grace = env.emulator.issue("grace@acme.example", "acme")
    tokens = {"sessionJwt": grace.session_jwt, "refreshJwt": grace.refresh_jwt}
    env.emulator.faults.add("exchange", status=200, body=json.dumps(tokens).encode())

    assert (await browser.visit(callback)).status_code == 303

    assert names == ["Grace Hopper"]
    assert env.calls("me") == 1


async def test_a_login_hook_asks_also_after_a_browser_that_does_not_wait(make_env: EnvFactory) -> None:
    """It runs to its end, and all that it has works as long."""
    env, names = make_env(project=PLAIN), list[str | None]()
    begun, gone, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @env.descope.on_event
    def hear(event: Event) -> None:
        if isinstance(event, (SignedIn, LoginFailed)):
            ended.set()

    @env.descope.on_login
    async def provision(request: Request, session: AuthSession) -> None:
        begun.set()
        await gone.wait()
        names.append((await get_user_profile(request)).name)

    browser = env.browser()
    callback = asyncio.ensure_future(browser.visit(await browser.open_callback()))
    await begun.wait()
    callback.cancel()
    await asyncio.wait([callback])
    gone.set()
    await ended.wait()

    assert names == ["Ada Lovelace"]


async def test_what_a_login_hook_keeps_in_the_request_is_for_the_app_to_see(make_env: EnvFactory) -> None:
    """In its state, as elsewhere."""
    env, seen = make_env(), list[str]()

    @env.app.middleware("http")
    async def look(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        seen.append(getattr(request.state, "provisioned", "nobody"))
        return response

    @env.descope.on_login
    async def provision(request: Request, session: AuthSession) -> None:
        request.state.provisioned = session.user.name

    await env.signed_in_browser()

    assert seen == ["nobody", "Ada Lovelace"]


async def test_a_handler_asks_for_the_profile_of_its_session(make_env: EnvFactory) -> None:
    """One call each time; nobody has none, and a bearer cannot ask."""
    env = make_env()

    @env.app.get("/name")
    async def name(request: Request) -> str | None:
        return (await get_user_profile(request)).name

    browser = await env.signed_in_browser()
    bearer = f"Bearer {env.emulator.issue('ada@acme.example', 'acme').session_jwt}"

    assert (await browser.get("/name")).json() == "Ada Lovelace"
    assert env.calls("me") == 1
    assert env.events[-1] == ProfileFetched()
    assert (await env.browser().get("/name")).status_code == 401
    assert (await env.browser().get("/name", authorization=bearer)).status_code == 400
    assert env.calls("me") == 1
