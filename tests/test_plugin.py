"""``Descope``: installed in one line or by hand, nothing touched before it is needed, closed cleanly."""

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette

from fastapi_descope import (
    ConfigurationError,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    current_user,
    optional_user,
    require_roles,
)
from fastapi_descope._refresh.store import MemoryRefreshStore
from fastapi_descope.emulator import Emulator
from fastapi_descope.events import JwksFetched, StoreDegraded
from tests.helpers.app_harness import APP, IDP, Browser, EnvFactory, add_routes

pytestmark = pytest.mark.anyio

PROJECT = "P" + "a" * 27


def _settings(emulator: Emulator, **more: object) -> DescopeSettings:
    values: dict[str, object] = {"project_id": emulator.project_id, "base_url": IDP, "public_url": APP}
    return DescopeSettings(**{**values, **more})  # type: ignore[arg-type] # any setting, by keyword


def _browser(app: FastAPI, emulator: Emulator) -> Browser:
    mounts = {f"{APP}/": httpx.ASGITransport(app), f"{IDP}/": httpx.ASGITransport(emulator)}
    return Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app), mounts=mounts))


async def test_the_explicit_form_works_as_the_one_line_form_does() -> None:
    """Router under a prefix, middleware by hand; nothing else is needed."""
    emulator, app = Emulator(), FastAPI()
    descope = Descope(
        settings=_settings(emulator), clock=emulator.clock, transport=httpx.ASGITransport(emulator)
    )
    app.include_router(descope.router, prefix="/auth")
    app.add_middleware(DescopeMiddleware, descope=descope)
    add_routes(app)
    browser = _browser(app, emulator)

    response = await browser.sign_in(prefix="/auth")

    assert response.headers["location"] == "/me"
    assert (await browser.get("/me")).status_code == 200
    assert (await browser.post("/auth/logout")).status_code == 204


@pytest.mark.parametrize("guard", [current_user, require_roles("admin")], ids=["a user", "a role"])
def test_an_app_whose_every_route_demands_a_session_is_refused(guard: Callable[..., object]) -> None:
    """Nobody could sign in to it: in one line at once, in the explicit form as it starts."""
    settings = DescopeSettings(project_id=PROJECT)
    app, explicit = FastAPI(dependencies=[Depends(guard)]), FastAPI(dependencies=[Depends(guard)])
    explicit.include_router(Descope(settings=settings).router)

    with pytest.raises(ConfigurationError, match=re.escape("DescopeMiddleware(protect=True)")):
        Descope(app, settings=settings)
    with (
        pytest.raises(ConfigurationError, match=re.escape("DescopeMiddleware(protect=True)")),
        TestClient(explicit),
    ):
        pass


def test_an_app_may_know_everywhere_who_is_signed_in() -> None:
    """An optional session demands nothing."""
    app = FastAPI(dependencies=[Depends(optional_user)])

    Descope(app, settings=DescopeSettings(project_id=PROJECT))

    with TestClient(app) as client:
        assert client.get("/session").status_code == 401


def test_construction_touches_no_network() -> None:
    """Neither a name is looked up nor a socket opened, and no event loop is needed."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    Descope(FastAPI(), settings=DescopeSettings(project_id=PROJECT), transport=httpx.MockTransport(refuse))


def test_import_opens_no_optional_package() -> None:
    """What the extras need is imported when it is asked for by name, and not before."""
    code = (
        "import sys, fastapi_descope;"
        "print([m for m in ('redis', 'typer', 'uvicorn', 'jinja2', 'pytest', 'ecdsa', 'rsa',"
        " 'fastapi_descope.emulator', 'fastapi_descope.testing') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter

    assert done.stdout.strip() == "[]"


def test_the_lifespan_of_the_router_loads_the_keys_and_closes() -> None:
    """``include_router`` alone is enough, beside a lifespan of the app's own."""
    emulator = Emulator()
    descope = Descope(
        settings=_settings(emulator), clock=emulator.clock, transport=httpx.ASGITransport(emulator)
    )
    seen: list[object] = []
    descope.on_event(seen.append)
    app = FastAPI()
    app.include_router(descope.router)

    with TestClient(app) as client, pytest.raises(ConfigurationError, match="add_middleware"):
        client.get("/session")  # there is no middleware: the mistake is named

    assert seen == [JwksFetched(1)]


def test_a_descope_out_of_reach_does_not_keep_the_app_from_starting() -> None:
    """It starts at once, and public pages work."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        settings = DescopeSettings(
            project_id=PROJECT, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}", public_url=APP
        )
        app = FastAPI()
        Descope(app, settings=settings)
        add_routes(app)

        with TestClient(app) as client:
            assert client.get("/public").json() == {"page": "public"}


async def test_without_a_lifespan_everything_works_lazily(make_env: EnvFactory) -> None:
    """The world of the tests has none; the keys are fetched with the first token."""
    env = make_env()

    await env.browser().sign_in()

    assert env.calls("keys") == 1


async def test_the_lifespan_serves_an_app_of_any_kind() -> None:
    """One of Starlette's, say, that runs it as its own, or one whose routes nobody can see."""
    emulator = Emulator()
    descope = Descope(
        settings=_settings(emulator), clock=emulator.clock, transport=httpx.ASGITransport(emulator)
    )

    for app in (Starlette(), object()):
        async with descope.lifespan(app):
            pass


async def test_a_shutdown_lands_the_refreshes_in_flight() -> None:
    """What Descope has rotated is remembered before the process goes."""
    emulator, app, store = Emulator(), FastAPI(), MemoryRefreshStore(time.monotonic)
    descope = Descope(
        app,
        settings=_settings(emulator),
        clock=emulator.clock,
        transport=httpx.ASGITransport(emulator),
        refresh_store=store,
    )
    add_routes(app)
    pair = emulator.issue("ada@acme.example", session_seconds=-60)
    emulator.faults.add("refresh", hold=True)
    asking = asyncio.ensure_future(
        _browser(app, emulator).get("/session-of", cookie=f"DSR={pair.refresh_jwt}")
    )
    await emulator.faults.wait_until_held()

    closing = asyncio.ensure_future(descope.aclose())
    await asyncio.sleep(0)
    emulator.faults.release()
    await closing

    assert (await asking).status_code == 200
    assert await store.get(pair.refresh_jwt) is not None


async def test_it_can_be_used_again_after_it_was_closed(make_env: EnvFactory) -> None:
    """Tests start and stop an app many times; connections are simply made anew."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()

    await env.descope.aclose()
    env.emulator.clock.advance(660)

    assert (await browser.get("/session-of")).status_code == 200


async def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable is enough to start."""
    monkeypatch.setenv("DESCOPE_PROJECT_ID", PROJECT)

    assert Descope().settings.base_url == "https://api.descope.com"


async def test_two_projects_in_one_process_do_not_disturb_each_other(make_env: EnvFactory) -> None:
    """Each has its keys, its sessions and its cookies."""
    from fastapi_descope.emulator import Project  # noqa: PLC0415 - for this test alone

    one, two = make_env(), make_env(project=Project(project_id="P2other" + "0" * 21))
    ours = f"Bearer {one.emulator.issue('ada@acme.example', tenant='acme').session_jwt}"

    assert (await one.browser().get("/me", authorization=ours)).status_code == 200
    assert (await two.browser().get("/me", authorization=ours)).status_code == 401


async def test_a_subscriber_can_leave(make_env: EnvFactory) -> None:
    """The result of ``EventBus.subscribe`` ends it."""
    env = make_env()
    seen: list[object] = []
    env.descope.events.subscribe(seen.append)()

    await env.browser().sign_in()

    assert seen == []


async def test_a_redis_url_turns_the_fleets_store_on(make_env: EnvFactory) -> None:
    """It is asked with the first refresh; where it cannot be reached, that is told of, and nothing fails."""
    env = make_env(redis_url="redis://127.0.0.1:1/0")
    browser = await env.signed_in_browser()
    assert StoreDegraded not in map(type, env.events)
    env.emulator.clock.advance(660)

    assert (await browser.get("/session-of")).status_code == 200
    assert StoreDegraded in map(type, env.events)


def test_a_redis_url_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence. ``None`` in ``sys.modules`` is Python's own way to say that a package is not there."""
    for name in ["redis", *(name for name in sys.modules if name.startswith("redis."))]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("fastapi_descope._refresh.redis")]:
        monkeypatch.delitem(sys.modules, name)
    settings = DescopeSettings(project_id=PROJECT, redis_url="redis://127.0.0.1:1/0")

    with pytest.raises(ConfigurationError, match="fastapi-descope\\[redis\\]"):
        Descope(settings=settings)


def test_a_wrong_prefix_is_fastapis_to_refuse() -> None:
    """A prefix starts with a slash and does not end with one."""
    with pytest.raises(AssertionError, match="prefix"):
        Descope(FastAPI(), settings=DescopeSettings(project_id=PROJECT), prefix="auth")


def test_wrong_settings_fail_at_construction() -> None:
    """Not at the first login."""
    with pytest.raises(ConfigurationError, match="DESCOPE_PUBLIC_URL"):
        Descope(settings=DescopeSettings(project_id=PROJECT, public_url="http://app.example.com"))
