"""The kit for the tests of an app: the app as it is, an emulator behind it, and nothing left behind."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from fastapi_descope import ConfigurationError, Descope, DescopeMiddleware, DescopeSettings
from fastapi_descope.testing import emulated_descope
from tests.helpers.app_harness import EnvFactory
from tests.helpers.guarded_app import PROJECT, guarded_app

pytestmark = pytest.mark.anyio


def test_tokens_are_verified_as_ever() -> None:
    """Those of another emulator are forgeries to this one's app."""
    app = guarded_app()
    with emulated_descope(app) as elsewhere:
        client = elsewhere.sign_in()
        assert client.get("/me").status_code == 200

    with emulated_descope(app):
        refused = client.get("/me")

    assert refused.status_code == 401


def test_emulators_share_the_work_of_making_a_key() -> None:
    """It takes longer than most tests. They publish it under ids of their own, so nothing else is shared."""
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
            ["DS", "DSR"],
        ),
        ({"session_cookie_name": "seat", "cookie_samesite": "none"}, "https://127.0.0.1", ["DSR", "seat"]),
    ],
)
def test_the_app_keeps_its_settings(settings: dict[str, object], origin: str, names: list[str]) -> None:
    """Its own address and its own cookies, which the app replaces and never doubles."""
    with emulated_descope(guarded_app(**settings)) as emulation:
        client = emulation.sign_in()
        emulation.expire_session(client)

        assert client.get("/me").status_code == 200
        assert sorted(client.cookies) == names
        assert emulation.origin == str(client.base_url).rstrip("/") == origin


def test_the_emulator_plays_the_apps_own_project() -> None:
    """Behind its own address, with its audience and its key; a Redis is not asked."""
    app = guarded_app(
        base_url="https://auth.example.com",
        audience="reports",
        auth_management_key="a-key",
        redis_url="redis://127.0.0.1:1/0",
    )
    with emulated_descope(app) as emulation:
        client = emulation.sign_in()
        emulation.expire_session(client)

        assert client.get("/me").status_code == 200
        assert client.get("/session/profile").json()["login_ids"] == ["user1@made-up.example"]


def test_a_login_is_sent_to_the_emulator() -> None:
    """And no further: clients do not follow redirects, so that a test sees them."""
    with emulated_descope(guarded_app(public_url="https://app.example.com")) as emulation:
        response = emulation.client().get("/login/sso", params={"tenant": "acme"})

        assert response.status_code == 303
        assert response.headers["location"].startswith("https://127.0.0.1:8787/signin/")
        assert emulation.emulator.requests.count("authorize") == 1


def test_descope_can_fail_on_demand() -> None:
    """The emulator's faults happen to the app."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.sign_in()
        emulation.expire_session(client)
        emulation.emulator.faults.add("refresh", status=503)

        assert client.get("/me").status_code == 503
        assert sorted(client.cookies) == ["DS", "DSR"]


def test_websockets_open_where_the_app_is() -> None:
    """With the session's cookies and the Origin of the app's own pages, unless a test says otherwise."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.sign_in()

        with client.websocket_connect("/feed") as socket:
            assert socket.receive_text().startswith("U2")
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/feed", headers={"origin": "https://evil.example"}),
        ):
            pass


async def test_asynchronous_clients_share_the_tests_event_loop() -> None:
    """Everything else is as with the others."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.sign_in_async(roles=["admin"])
        assert (await client.get("/admin")).status_code == 200
        emulation.expire_session(client)
        assert (await client.get("/admin")).status_code == 200
        emulation.revoke_session(client)
        emulation.expire_session(client)
        assert (await client.get("/admin")).status_code == 401
        assert (await emulation.async_client().get("/admin")).status_code == 401


def test_a_client_in_a_with_runs_the_lifespan() -> None:
    """As Starlette's own does; without, there is none."""
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        seen.append("up")
        yield
        seen.append("down")

    app = FastAPI(lifespan=lifespan)
    Descope(app, settings=DescopeSettings(project_id=PROJECT))
    with emulated_descope(app) as emulation:
        emulation.sign_in().get("/session")
        with emulation.sign_in() as client:
            client.get("/session")
            seen.append("served")

    assert seen == ["up", "served", "down"]


def test_the_plugin_is_found_among_other_middleware() -> None:
    """Whatever else the app has."""
    app = guarded_app()
    app.add_middleware(GZipMiddleware)

    with emulated_descope(app) as emulation:
        assert emulation.sign_in().get("/me").status_code == 200


def test_a_middleware_made_of_ours_is_ours() -> None:
    """Whatever it adds."""

    class Louder(DescopeMiddleware):
        pass

    app = FastAPI()
    descope = Descope(settings=DescopeSettings(project_id=PROJECT))
    app.include_router(descope.router)
    app.add_middleware(Louder, descope=descope)

    with emulated_descope(app) as emulation:
        assert emulation.sign_in().get("/session").status_code == 200


@pytest.mark.parametrize("app", [guarded_app, FastAPI, "main:app", None])
def test_what_is_no_app_is_said_to_be_none(app: object) -> None:
    """With the likely cause: a factory that was not called, or that returned nothing."""
    with pytest.raises(ConfigurationError, match="a factory"), emulated_descope(app):  # type: ignore[arg-type] # the mistake
        pass


def test_an_app_that_hides_its_plugin_names_it() -> None:
    """Wrapped, it cannot be looked into."""
    app = FastAPI()
    descope = Descope(app, settings=DescopeSettings(project_id=PROJECT))
    wrapped: ASGIApp = GZipMiddleware(app)

    with pytest.raises(ConfigurationError, match="descope="), emulated_descope(wrapped):
        pass
    with pytest.raises(ConfigurationError, match=r"in this FastAPI\..*descope="), emulated_descope(FastAPI()):
        pass
    with emulated_descope(wrapped, descope=descope) as emulation:
        assert emulation.sign_in().get("/session").status_code == 200


async def test_afterwards_the_app_is_as_it_was(make_env: EnvFactory) -> None:
    """Its sessions, its keys and its Descope: even the memory of them."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()

    with emulated_descope(env.app) as emulation:
        assert (await browser.get("/me")).status_code == 401
        assert (await emulation.sign_in_async().get("/me")).status_code == 200

    await browser.sign_in()
    assert (await browser.get("/me")).status_code == 200
    assert env.calls("keys") == 1


async def test_a_with_that_fails_puts_everything_back_too(make_env: EnvFactory) -> None:
    """A test that fails does not make the next one fail."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()

    with pytest.raises(ZeroDivisionError), emulated_descope(env.app):
        raise ZeroDivisionError

    assert (await browser.get("/me")).status_code == 200


async def test_logins_and_logouts_go_to_the_emulator_as_well(make_env: EnvFactory) -> None:
    """The routes that talk to Descope themselves, not only the middleware."""
    env = make_env()

    with emulated_descope(env.app) as emulation:
        client = emulation.sign_in_async("ada@acme.example")
        switched = await client.post("/tenant/select", json={"tenant": "globex"})
        gone = await client.post("/logout")
        endpoints = [call.endpoint for call in emulation.emulator.requests]

    assert (switched.json()["tenant"]["id"], gone.status_code) == ("globex", 204)
    assert endpoints == ["keys", "select", "logout"]
    assert list(env.emulator.requests) == []


def test_the_clients_are_what_they_say() -> None:
    """Starlette's and httpx's own, with all that users know of them."""
    app = FastAPI()
    Descope(app, settings=DescopeSettings(project_id=PROJECT))
    with emulated_descope(app) as emulation:
        assert isinstance(emulation.sign_in(), TestClient)
        assert isinstance(emulation.sign_in_async(), httpx.AsyncClient)
