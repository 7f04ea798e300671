"""The test harness: the app is unchanged, talks to an emulator, and is restored afterwards."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from fastapi_descope import ConfigurationError, CurrentUser, Descope, DescopeMiddleware, DescopeSettings
from fastapi_descope.testing import emulated_descope
from tests.helpers.app_harness import EnvFactory
from tests.helpers.guarded_app import PROJECT, guarded_app

pytestmark = pytest.mark.anyio


def test_tokens_are_verified() -> None:
    """The app refuses the tokens of another emulator."""
    app = guarded_app()
    with emulated_descope(app) as other:
        client = other.sign_in()
        assert client.get("/me").status_code == 200

    with emulated_descope(app):
        refused = client.get("/me")

    assert refused.status_code == 401


def test_emulators_share_one_key_under_different_key_ids() -> None:
    """Generating a key takes longer than most tests."""
    with emulated_descope(guarded_app()) as one, emulated_descope(guarded_app()) as two:
        (first,), (second,) = one.emulator.public_keys, two.emulator.public_keys

    assert first["n"] == second["n"]
    assert first["kid"] != second["kid"]


@pytest.mark.parametrize(
    ("settings", "origin", "names"),
    [
        ({}, "https://127.0.0.1", ["DS", "DSR"]),
        ({"public_url": "http://localhost:3000"}, "http://localhost:3000", ["DS", "DSR"]),
        ({"cookie_prefix": "__Host-"}, "https://127.0.0.1", ["__Host-DS", "__Host-DSR"]),
        (
            {"public_url": "https://app.example.com", "cookie_domain": "example.com"},
            "https://app.example.com",
            ["__Secure-DS", "__Secure-DSR"],
        ),
        ({"public_url": "https://app.example.com"}, "https://app.example.com", ["__Host-DS", "__Host-DSR"]),
        ({"session_cookie_name": "seat", "cookie_samesite": "none"}, "https://127.0.0.1", ["DSR", "seat"]),
    ],
)
def test_the_app_keeps_its_settings(settings: dict[str, object], origin: str, names: list[str]) -> None:
    """Its own origin and cookie names. The app replaces the harness's cookies and never adds a second set."""
    with emulated_descope(guarded_app(**settings)) as harness:
        client = harness.sign_in()
        harness.expire_session(client)

        assert client.get("/me").status_code == 200
        assert sorted(client.cookies) == names
        assert harness.origin == str(client.base_url).rstrip("/") == origin


def test_the_emulator_plays_the_apps_own_project() -> None:
    """With the app's base URL, audience and management key. Redis is not used."""
    app = guarded_app(
        base_url="https://auth.example.com",
        audience="reports",
        auth_management_key="a-key",
        redis_url="redis://127.0.0.1:1/0",
    )
    with emulated_descope(app) as harness:
        client = harness.sign_in()
        harness.expire_session(client)

        assert client.get("/me").status_code == 200
        assert client.get("/session/profile").json()["login_ids"] == ["user1@made-up.example"]


def test_a_login_is_sent_to_the_emulator() -> None:
    """Clients do not follow redirects, so a test sees them."""
    with emulated_descope(guarded_app(public_url="https://app.example.com")) as harness:
        response = harness.client().get("/login/sso", params={"tenant": "acme"})

        assert response.status_code == 303
        assert response.headers["location"].startswith("https://127.0.0.1:8787/signin/")
        assert harness.emulator.requests.count("authorize") == 1


def test_descope_can_fail_on_demand() -> None:
    """The app sees the emulator's faults."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.sign_in()
        harness.expire_session(client)
        harness.emulator.faults.add("refresh", status=503)

        assert client.get("/me").status_code == 503
        assert sorted(client.cookies) == ["DS", "DSR"]


def test_websockets_open_at_the_apps_origin() -> None:
    """With the session's cookies and the app's origin, unless the test sets another."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.sign_in()

        with client.websocket_connect("/feed") as socket:
            assert socket.receive_text().startswith("U2")
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/feed", headers={"origin": "https://evil.example"}),
        ):
            pass


def test_a_websocket_that_waits_for_messages_ends_with_the_client() -> None:
    """The client of the test cancels the app, and the test goes on."""
    app = FastAPI()
    Descope(app, settings=DescopeSettings(project_id=PROJECT))

    @app.websocket("/echo")
    async def echo(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"{user.email} says {text}")

    with (
        emulated_descope(app) as harness,
        harness.sign_in("ada@acme.example").websocket_connect("/echo") as socket,
    ):
        socket.send_text("hello")
        received = socket.receive_text()

    assert received == "ada@acme.example says hello"


async def test_asynchronous_clients_use_the_event_loop_of_the_test() -> None:
    """Everything else works as with blocking clients."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.sign_in_async(roles=["admin"])
        assert (await client.get("/admin")).status_code == 200
        harness.expire_session(client)
        assert (await client.get("/admin")).status_code == 200
        harness.revoke_session(client)
        harness.expire_session(client)
        assert (await client.get("/admin")).status_code == 401
        assert (await harness.async_client().get("/admin")).status_code == 401


def test_a_client_in_a_with_statement_runs_the_lifespan() -> None:
    """As Starlette's client does. Otherwise the lifespan does not run."""
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        seen.append("up")
        yield
        seen.append("down")

    app = FastAPI(lifespan=lifespan)
    Descope(app, settings=DescopeSettings(project_id=PROJECT))
    with emulated_descope(app) as harness:
        harness.sign_in().get("/session")
        with harness.sign_in() as client:
            client.get("/session")
            seen.append("served")

    assert seen == ["up", "served", "down"]


def test_the_plugin_is_found_among_other_middleware() -> None:
    """The search does not stop at the first one."""
    app = guarded_app()
    app.add_middleware(GZipMiddleware)

    with emulated_descope(app) as harness:
        assert harness.sign_in().get("/me").status_code == 200


def test_a_subclass_of_the_middleware_is_found() -> None:
    """An app may extend ``DescopeMiddleware``."""

    class Louder(DescopeMiddleware):
        pass

    app = FastAPI()
    descope = Descope(settings=DescopeSettings(project_id=PROJECT))
    app.include_router(descope.router)
    app.add_middleware(Louder, descope=descope)

    with emulated_descope(app) as harness:
        assert harness.sign_in().get("/session").status_code == 200


@pytest.mark.parametrize("app", [guarded_app, FastAPI, "main:app", None])
def test_an_argument_that_is_not_an_app_is_reported(app: object) -> None:
    """With the likely cause: a factory that was not called, or that returned None."""
    with pytest.raises(ConfigurationError, match=r"[Aa] factory"), emulated_descope(app):  # type: ignore[arg-type] # the mistake
        pass


def test_a_wrapped_app_needs_its_descope() -> None:
    """The harness does not search a wrapped app."""
    app = FastAPI()
    descope = Descope(app, settings=DescopeSettings(project_id=PROJECT))
    wrapped: ASGIApp = GZipMiddleware(app)

    with pytest.raises(ConfigurationError, match="descope="), emulated_descope(wrapped):
        pass
    with pytest.raises(ConfigurationError, match=r"in this FastAPI\..*descope="), emulated_descope(FastAPI()):
        pass
    with emulated_descope(wrapped, descope=descope) as harness:
        assert harness.sign_in().get("/session").status_code == 200


async def test_the_app_is_restored_afterwards(make_env: EnvFactory) -> None:
    """Its sessions, its cached keys and its connection to Descope."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()

    with emulated_descope(env.app) as harness:
        assert (await browser.get("/me")).status_code == 401
        assert (await harness.sign_in_async().get("/me")).status_code == 200

    await browser.sign_in()
    assert (await browser.get("/me")).status_code == 200
    assert env.calls("keys") == 1


async def test_the_app_is_restored_after_an_exception(make_env: EnvFactory) -> None:
    """A failing test does not make the next one fail."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()

    with pytest.raises(ZeroDivisionError), emulated_descope(env.app):
        raise ZeroDivisionError

    assert (await browser.get("/me")).status_code == 200


async def test_tenant_switches_and_logouts_go_to_the_emulator(make_env: EnvFactory) -> None:
    """The routes that call Descope, not only the middleware."""
    env = make_env()

    with emulated_descope(env.app) as harness:
        client = harness.sign_in_async("ada@acme.example")
        switched = await client.post("/tenant/select", json={"tenant": "globex"})
        logged_out = await client.post("/logout")
        endpoints = [call.endpoint for call in harness.emulator.requests]

    assert (switched.json()["tenant"]["id"], logged_out.status_code) == ("globex", 204)
    assert endpoints == ["keys", "select", "logout"]
    assert list(env.emulator.requests) == []


def test_the_clients_are_starlettes_and_httpxs() -> None:
    """So their documented features work."""
    app = FastAPI()
    Descope(app, settings=DescopeSettings(project_id=PROJECT))
    with emulated_descope(app) as harness:
        assert isinstance(harness.sign_in(), TestClient)
        assert isinstance(harness.sign_in_async(), httpx.AsyncClient)
