"""``get_user_profile``: Descope's user object, in a login hook and elsewhere."""

import asyncio
import json

import pytest
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from fastapi_descope import Login, get_user_profile
from fastapi_descope.emulator import Project
from fastapi_descope.events import Event, LoginFailed, ProfileFetched, SignedIn
from tests.helpers.app_harness import AppHarness, EnvFactory

pytestmark = pytest.mark.anyio

PLAIN = Project(template_email=False)
"""A project whose tokens have neither name nor e-mail in them, as Descope's have by default."""


def _record_names(env: AppHarness) -> list[str | None]:
    """Register a login hook that records the name of the user."""
    names: list[str | None] = []

    @env.descope.on_login
    async def provision(request: Request, login: Login) -> None:
        profile = await get_user_profile(request)
        assert (profile.user_id, login.session.user.name) == (login.session.user.id, None)
        names.append(profile.name)

    return names


async def test_login_hook_gets_the_profile_without_a_call(make_env: EnvFactory) -> None:
    """It came with the tokens, even if they have no claims about the user."""
    env = make_env(project=PLAIN)
    names = _record_names(env)

    await env.signed_in_browser()

    assert names == ["Ada Lovelace"]
    assert env.calls("me") == 0
    assert ProfileFetched() not in env.events


async def test_login_hook_fetches_the_profile_if_none_came_with_the_tokens(make_env: EnvFactory) -> None:
    """It uses the new tokens, not those of the former session."""
    env = make_env(project=PLAIN)
    browser = await env.signed_in_browser()
    names = _record_names(env)
    callback = await browser.open_callback("grace@acme.example")
    grace = env.emulator.issue("grace@acme.example", "acme")
    tokens = {"sessionJwt": grace.session_jwt, "refreshJwt": grace.refresh_jwt}
    env.emulator.faults.add("exchange", status=200, body=json.dumps(tokens).encode())

    assert (await browser.visit(callback)).status_code == 303

    assert names == ["Grace Hopper"]
    assert env.calls("me") == 1


async def test_login_hook_fetches_the_profile_after_a_disconnect(make_env: EnvFactory) -> None:
    """It runs to its end, and everything in the request still works."""
    env, names = make_env(project=PLAIN), list[str | None]()
    begun, gone, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @env.descope.on_event
    def hear(event: Event) -> None:
        if isinstance(event, (SignedIn, LoginFailed)):
            ended.set()

    @env.descope.on_login
    async def provision(request: Request, login: Login) -> None:
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


async def test_state_that_a_login_hook_sets_is_visible_to_the_app(make_env: EnvFactory) -> None:
    """It is in ``request.state``."""
    env, seen = make_env(), list[str]()

    @env.app.middleware("http")
    async def look(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        seen.append(getattr(request.state, "provisioned", "nobody"))
        return response

    @env.descope.on_login
    async def provision(request: Request, login: Login) -> None:
        request.state.provisioned = login.user.name

    await env.signed_in_browser()

    assert seen == ["nobody", "Ada Lovelace"]


async def test_handler_fetches_the_profile_of_its_session(make_env: EnvFactory) -> None:
    """One call each time; without a session or with a bearer it raises."""
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
