"""``Descope``: both forms of installation, no network access before it is needed, and a clean shutdown."""

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest
import uvicorn
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
from fastapi_descope._refresh.memory_store import MemoryRefreshStore
from fastapi_descope.emulator import Emulator
from fastapi_descope.events import JwksFetched, StoreDegraded
from tests.helpers.app_harness import APP, IDP, Browser, EnvFactory, add_routes
from tests.helpers.event_loop import run_ready

pytestmark = pytest.mark.anyio

PROJECT = "P" + "a" * 27


def _settings(emulator: Emulator, **more: object) -> DescopeSettings:
    values: dict[str, object] = {"project_id": emulator.project_id, "base_url": IDP, "public_url": APP}
    return DescopeSettings(**{**values, **more})  # type: ignore[arg-type] # any setting, by keyword


def _browser(app: FastAPI, emulator: Emulator) -> Browser:
    mounts = {f"{APP}/": httpx.ASGITransport(app), f"{IDP}/": httpx.ASGITransport(emulator)}
    return Browser(httpx.AsyncClient(transport=httpx.ASGITransport(app), mounts=mounts))


async def test_explicit_form_works_like_the_one_line_form() -> None:
    """It includes the router under a prefix and adds the middleware; nothing else is needed."""
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
def test_app_whose_login_would_require_a_session_is_rejected(guard: Callable[..., object]) -> None:
    """No user could sign in. The one-line form fails at once, the explicit form as the app starts."""
    settings = DescopeSettings(project_id=PROJECT)
    app, explicit = FastAPI(dependencies=[Depends(guard)]), FastAPI(dependencies=[Depends(guard)])
    explicit.include_router(Descope(settings=settings).router)

    with pytest.raises(ConfigurationError, match=re.escape("Descope(app, protect=True)")):
        Descope(app, settings=settings)
    with (
        pytest.raises(ConfigurationError, match=re.escape("Descope(app, protect=True)")),
        TestClient(explicit),
    ):
        pass


def test_app_may_have_an_optional_session_on_every_route() -> None:
    """An optional session requires nothing."""
    app = FastAPI(dependencies=[Depends(optional_user)])

    Descope(app, settings=DescopeSettings(project_id=PROJECT))

    with TestClient(app) as client:
        assert client.get("/session").status_code == 401


@pytest.mark.parametrize(
    "arguments", [(), ({"type": "lifespan"}, None, None)], ids=["uvicorn", "other servers"]
)
def test_serving_a_descope_instead_of_the_app_names_the_mistake(arguments: tuple[object, ...]) -> None:
    """``app = Descope(FastAPI())``: each server calls it before the first request."""
    descope = Descope(FastAPI(), settings=DescopeSettings(project_id=PROJECT))

    with pytest.raises(ConfigurationError, match="let the server run the app"):
        descope(*arguments)


def test_uvicorn_does_not_start_with_a_descope_instead_of_the_app() -> None:
    """It would answer every request with a 500 otherwise."""
    descope = Descope(FastAPI(), settings=DescopeSettings(project_id=PROJECT))

    with pytest.raises(ConfigurationError, match="neither an app nor a dependency"):
        uvicorn.Config(descope).load()


def test_a_descope_as_a_dependency_names_the_mistake() -> None:
    """When the route is declared."""
    app = FastAPI()
    descope = Descope(app, settings=DescopeSettings(project_id=PROJECT))

    with pytest.raises(ConfigurationError, match="write parameters as `user: CurrentUser`"):
        app.get("/x", dependencies=[Depends(descope)])(lambda: None)


def test_construction_does_not_use_the_network() -> None:
    """No name is resolved, no socket is opened, and no event loop is needed."""
    code = (
        "import sys; from fastapi import FastAPI; from fastapi_descope import Descope, DescopeSettings;"
        "used = []; sys.addaudithook(lambda event, _: used.append(event));"
        f"Descope(FastAPI(), settings=DescopeSettings(project_id='{PROJECT}', redis_url='redis://redis'));"
        "print([event for event in used if event.startswith('socket.')]);"
        "import socket; socket.socket().close(); print(used[-1])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["[]", "socket.__new__"]


def test_import_loads_no_optional_package() -> None:
    """Packages of the extras are imported when a feature that needs them is used."""
    code = (
        "import sys, fastapi_descope;"
        "print([m for m in ('redis', 'typer', 'uvicorn', 'jinja2', 'pytest', 'ecdsa', 'rsa',"
        " 'fastapi_descope.emulator', 'fastapi_descope.testing') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_lifespan_of_the_router_fetches_the_keys() -> None:
    """``include_router`` is enough, also if the app has a lifespan of its own."""
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


def test_app_starts_while_descope_is_unreachable() -> None:
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


async def test_keys_are_fetched_with_the_first_token_without_a_lifespan(make_env: EnvFactory) -> None:
    """The apps of these tests have no lifespan."""
    env = make_env()

    await env.browser().sign_in()

    assert env.calls("keys") == 1


async def test_lifespan_accepts_an_app_of_any_kind() -> None:
    """A Starlette app may use it as its own, and some apps do not list their routes."""
    emulator = Emulator()
    descope = Descope(
        settings=_settings(emulator), clock=emulator.clock, transport=httpx.ASGITransport(emulator)
    )

    for app in (Starlette(), object()):
        async with descope.lifespan(app):
            pass


async def _held_refresh(
    emulator: Emulator, store: MemoryRefreshStore
) -> tuple[Descope, str, asyncio.Future[httpx.Response]]:
    """Send a request whose refresh the emulator holds. Return its ``Descope``, refresh token and response."""
    app = FastAPI()
    descope = Descope(
        app,
        settings=_settings(emulator),
        clock=emulator.clock,
        transport=httpx.ASGITransport(emulator),
        refresh_store=store,
    )
    add_routes(app)
    refresh_jwt = emulator.issue("ada@acme.example", session_seconds=-60).refresh_jwt
    emulator.faults.add("refresh", hold=True)
    asking = asyncio.ensure_future(_browser(app, emulator).get("/session-of", cookie=f"DSR={refresh_jwt}"))
    await emulator.faults.wait_until_held()
    return descope, refresh_jwt, asking


async def test_shutdown_waits_for_refreshes_in_flight() -> None:
    """A rotated refresh token is stored before the process exits."""
    emulator, store = Emulator(), MemoryRefreshStore(time.monotonic)
    descope, refresh_jwt, asking = await _held_refresh(emulator, store)

    closing = asyncio.ensure_future(descope.aclose())
    await asyncio.sleep(0)
    emulator.faults.release()
    await closing

    assert (await asking).status_code == 200
    assert await store.get(refresh_jwt) is not None


async def test_shutdown_that_is_cancelled_closes_everything() -> None:
    """A server cancels a shutdown that takes too long, here because Descope does not respond."""

    class Store(MemoryRefreshStore):
        is_closed = False

        async def aclose(self) -> None:
            self.is_closed = True

    emulator, store = Emulator(), Store(time.monotonic)
    descope, _, asking = await _held_refresh(emulator, store)

    closing = asyncio.ensure_future(descope.aclose())
    await run_ready()
    closing.cancel()
    await asyncio.wait([closing])

    assert closing.cancelled()
    assert store.is_closed
    emulator.faults.release()
    assert (await asking).status_code == 200


async def test_plugin_can_be_used_again_after_it_was_closed(make_env: EnvFactory) -> None:
    """Tests start and stop an app many times; new connections are opened."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()

    await env.descope.aclose()
    env.emulator.clock.advance(660)

    assert (await browser.get("/session-of")).status_code == 200


async def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable is enough."""
    monkeypatch.setenv("DESCOPE_PROJECT_ID", PROJECT)

    assert Descope().settings.base_url == "https://api.descope.com"


async def test_two_projects_in_one_process_are_independent(make_env: EnvFactory) -> None:
    """Each has its own keys, sessions and cookies."""
    from fastapi_descope.emulator import Project  # noqa: PLC0415 - for this test alone

    one, two = make_env(), make_env(project=Project(project_id="P2other" + "0" * 21))
    ours = f"Bearer {one.emulator.issue('ada@acme.example', tenant='acme').session_jwt}"

    assert (await one.browser().get("/me", authorization=ours)).status_code == 200
    assert (await two.browser().get("/me", authorization=ours)).status_code == 401


async def test_subscriber_can_unsubscribe(make_env: EnvFactory) -> None:
    """``EventBus.subscribe`` returns a function for that."""
    env = make_env()
    seen: list[object] = []
    env.descope.events.subscribe(seen.append)()

    await env.browser().sign_in()

    assert seen == []


async def test_redis_url_enables_the_shared_store(make_env: EnvFactory) -> None:
    """It is used from the first login. If Redis is unreachable, an event is emitted and nothing fails."""
    env = make_env(redis_url="redis://127.0.0.1:1/0")
    browser = env.browser()
    await browser.get("/session-of")
    assert StoreDegraded not in map(type, env.events)

    await browser.sign_in()
    assert StoreDegraded in map(type, env.events)
    env.emulator.clock.advance(660)
    assert (await browser.get("/session-of")).status_code == 200


def test_redis_url_without_the_extra_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """``None`` in ``sys.modules`` makes an import fail as if the package were not installed."""
    for name in ["redis", *(name for name in sys.modules if name.startswith("redis."))]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("fastapi_descope._refresh.redis")]:
        monkeypatch.delitem(sys.modules, name)
    settings = DescopeSettings(project_id=PROJECT, redis_url="redis://127.0.0.1:1/0")

    with pytest.raises(ConfigurationError, match="fastapi-descope\\[redis\\]"):
        Descope(settings=settings)


def test_fastapi_rejects_an_invalid_prefix() -> None:
    """A prefix starts with a slash and does not end with one."""
    with pytest.raises(AssertionError, match="prefix"):
        Descope(FastAPI(), settings=DescopeSettings(project_id=PROJECT), prefix="auth")


def test_invalid_settings_fail_at_construction() -> None:
    """They do not wait for the first login."""
    with pytest.raises(ConfigurationError, match="DESCOPE_PUBLIC_URL"):
        Descope(settings=DescopeSettings(project_id=PROJECT, public_url="http://app.example.com"))


async def test_st03_development_mode_is_logged_once_at_start_up(caplog: pytest.LogCaptureFixture) -> None:
    """Without DESCOPE_PUBLIC_URL. The line names the variable."""
    for public_url in (None, APP):
        app = FastAPI()
        Descope(app, settings=DescopeSettings(project_id=PROJECT, base_url=IDP, public_url=public_url))
        async with app.router.lifespan_context(app):
            pass

    (line,) = [line for line in caplog.messages if "DESCOPE_PUBLIC_URL" in line]
    assert line == (
        "fastapi_descope: DESCOPE_PUBLIC_URL is not set, so this is development mode: logins work for"
        " browsers on this machine only. In production, set it to the https origin that browsers use; the"
        " cookies then get a name prefix"
    )
