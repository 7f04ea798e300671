"""The kit for the tests of an app: real sessions, really verified, and nothing left behind."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from fastapi_descope import (
    ConfigurationError,
    CurrentSession,
    CurrentTenant,
    CurrentUser,
    Descope,
    DescopeSettings,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
)
from fastapi_descope.testing import emulated
from tests.support.world import WorldFactory

pytestmark = pytest.mark.anyio

PROJECT = "P" + "a" * 27

AppFactory = Callable[..., FastAPI]


@pytest.fixture
def app_with() -> AppFactory:
    """Builds an app as its author wrote it, knowing nothing of tests; keywords are settings."""

    def build(**settings: object) -> FastAPI:
        app = FastAPI()
        values: dict[str, object] = {"project_id": PROJECT, **settings}
        Descope(app, settings=DescopeSettings(**values))  # type: ignore[arg-type] # any setting, by keyword
        _add_routes(app)
        return app

    return build


def _add_routes(app: FastAPI) -> None:
    for path, guard in (
        ("/admin", require_roles("admin")),
        ("/project-admin", require_roles("admin", project=True)),
        ("/write", require_permissions("reports.write")),
        ("/mfa", require_mfa()),
        ("/step-up", require_step_up()),
    ):
        app.add_api_route(path, _yes, dependencies=[Depends(guard)])

    @app.get("/me")
    async def me(user: CurrentUser, tenant: CurrentTenant) -> tuple[str | None, str]:
        return user.email, tenant.id

    @app.get("/plan")
    async def plan(session: CurrentSession) -> object:
        return session.claims["plan"]

    @app.websocket("/feed")
    async def feed(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.send_text(user.id)
        await socket.close()


async def _yes() -> str:
    return "yes"


@pytest.mark.parametrize(
    ("path", "holding"),
    [
        ("/admin", {"roles": ["admin"]}),
        ("/project-admin", {"roles": ["admin"], "tenant": None}),
        ("/write", {"permissions": ["reports.write"]}),
        ("/mfa", {"amr": ["mfa"]}),
        ("/step-up", {"step_up": True}),
    ],
)
def test_a_guard_lets_in_whoever_holds_what_it_demands(
    app_with: AppFactory, path: str, holding: dict[str, object]
) -> None:
    """And nobody else: a session without it is refused, a stranger is nobody."""
    with emulated(app_with()) as emulation:
        assert emulation.sign_in(**holding).get(path).status_code == 200  # type: ignore[arg-type] # one of several
        assert emulation.sign_in().get(path).status_code in (401, 403)
        assert emulation.client().get(path).json()["code"] == "not_authenticated"


def test_tokens_are_verified_as_ever(app_with: AppFactory) -> None:
    """Those of another emulator are forgeries to this one's app."""
    app = app_with()
    with emulated(app) as elsewhere:
        client = elsewhere.sign_in()
        assert client.get("/me").status_code == 200

    with emulated(app):
        refused = client.get("/me")

    assert refused.status_code == 401


def test_each_new_person_is_another_one(app_with: AppFactory) -> None:
    """So what one of them does is not the other's doing."""
    with emulated(app_with()) as emulation:
        one, two = emulation.sign_in().get("/me").json(), emulation.sign_in().get("/me").json()

    assert one == ["user1@made-up.example", "acme"]
    assert two == ["user2@made-up.example", "acme"]


def test_a_known_user_comes_as_they_are(app_with: AppFactory) -> None:
    """The emulator's Hank is an admin of Globex, and of nothing else."""
    with emulated(app_with()) as emulation:
        hank = emulation.sign_in("hank@globex.example", tenant="globex")

        assert hank.get("/me").json() == ["hank@globex.example", "globex"]
        assert hank.get("/admin").status_code == 200
        with pytest.raises(LookupError, match="not a member of tenant 'acme'"):
            emulation.sign_in("hank@globex.example")


def test_what_is_given_replaces_what_a_user_holds(app_with: AppFactory) -> None:
    """For the session and for what it is refreshed to; in other tenants everything stays."""
    with emulated(app_with()) as emulation:
        ada = emulation.sign_in("ada@acme.example", permissions=["reports.write"])
        before = [ada.get(path).status_code for path in ("/write", "/admin")]
        emulation.expire_session(ada)
        after = [ada.get(path).status_code for path in ("/write", "/admin")]
        person = emulation.emulator.project.user("ada@acme.example")

    assert before == after == [200, 403]
    assert person is not None
    assert person.held_in("globex").roles == ("viewer",)


def test_users_and_tenants_that_nobody_knows_join_the_project(app_with: AppFactory) -> None:
    """By whichever name; beside those who are there already."""
    with emulated(app_with()) as emulation:
        client = emulation.sign_in("peter@initech.example", tenant="initech")

        assert client.get("/me").json() == ["peter@initech.example", "initech"]
        assert [each.id for each in emulation.emulator.project.tenants] == ["acme", "globex", "initech"]


def test_a_session_can_be_without_a_tenant(app_with: AppFactory) -> None:
    """Signed in, and in no organisation."""
    with emulated(app_with()) as emulation:
        answer = emulation.sign_in(tenant=None).get("/me")

    assert (answer.status_code, answer.json()["code"]) == (403, "no_tenant")


def test_further_claims_go_into_the_session(app_with: AppFactory) -> None:
    """As a JWT template of the project would put them there."""
    with emulated(app_with()) as emulation:
        assert emulation.sign_in(claims={"plan": "pro"}).get("/plan").json() == "pro"


@pytest.mark.parametrize("name", ["roles", "permissions", "amr"])
def test_a_string_is_not_several_names(app_with: AppFactory, name: str) -> None:
    """It would be one role for each letter, and a 403 that nobody understands."""
    with emulated(app_with()) as emulation, pytest.raises(TypeError, match=r"several names.*\['admin'\]"):
        emulation.sign_in(**{name: "admin"})  # type: ignore[arg-type] # the mistake in question


def test_a_bearer_client_has_no_cookies(app_with: AppFactory) -> None:
    """An API's caller: its token works until it expires, and nothing renews it."""
    with emulated(app_with()) as emulation:
        caller = emulation.sign_in(bearer=True, roles=["admin"])
        before = caller.get("/admin")
        emulation.expire_session(caller)
        after = caller.get("/admin")

    assert not caller.cookies
    assert (before.status_code, after.status_code) == (200, 401)
    assert after.headers["www-authenticate"].startswith(
        'Bearer realm="fastapi-descope", error="invalid_token"'
    )


def test_a_session_that_expires_is_renewed(app_with: AppFactory) -> None:
    """By a real refresh, whose cookies the client keeps. Time passes for everybody, and once."""
    with emulated(app_with()) as emulation:
        one, two = emulation.sign_in(), emulation.sign_in()
        emulation.expire_session(one)
        time = emulation.emulator.clock()
        emulation.expire_session(two)

        assert 0 <= emulation.emulator.clock() - time < 300
        assert "DS=" in one.get("/me").headers["set-cookie"]
        assert "DS=" in two.get("/me").headers["set-cookie"]
        assert "set-cookie" not in one.get("/me").headers
        assert emulation.emulator.requests.count("refresh") == 2


def test_a_revoked_session_ends_with_its_token(app_with: AppFactory) -> None:
    """As in reality: not before, since nobody asks Descope about a token that is still good."""
    with emulated(app_with()) as emulation:
        client, other = emulation.sign_in(), emulation.sign_in()
        emulation.revoke_session(client)
        assert client.get("/me").status_code == 200

        emulation.expire_session(client)

        assert client.get("/me").json()["code"] == "session_ended"
        assert not client.cookies
        assert other.get("/me").status_code == 200


def test_nobody_has_no_session_to_end(app_with: AppFactory) -> None:
    """The mistake is named."""
    with emulated(app_with()) as emulation:
        for end in (emulation.expire_session, emulation.revoke_session):
            with pytest.raises(LookupError, match="nobody is signed in"):
                end(emulation.client())


def test_a_session_that_needs_several_cookies_is_one_all_the_same(app_with: AppFactory) -> None:
    """The kit writes and reads cookies as the app does, in chunks too."""
    with emulated(app_with()) as emulation:
        client = emulation.sign_in(claims={"plan": "p" * 6_000})

        assert sorted(client.cookies) == ["DS.0", "DS.1", "DS.2", "DSR"]
        assert client.get("/plan").json() == "p" * 6_000
        emulation.expire_session(client)
        assert client.get("/me").status_code == 200
        assert sorted(client.cookies) == ["DS", "DSR"]


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
def test_the_app_keeps_its_settings(
    app_with: AppFactory, settings: dict[str, object], origin: str, names: list[str]
) -> None:
    """Its own address and its own cookies, which the app replaces and never doubles."""
    with emulated(app_with(**settings)) as emulation:
        client = emulation.sign_in()
        emulation.expire_session(client)

        assert client.get("/me").status_code == 200
        assert sorted(client.cookies) == names
        assert emulation.origin == str(client.base_url).rstrip("/") == origin


def test_the_emulator_plays_the_apps_own_project(app_with: AppFactory) -> None:
    """Behind its own address, with its audience and its key; a Redis is not asked."""
    app = app_with(
        base_url="https://auth.example.com",
        audience="reports",
        auth_management_key="a-key",
        redis_url="redis://127.0.0.1:1/0",
    )
    with emulated(app) as emulation:
        client = emulation.sign_in()
        emulation.expire_session(client)

        assert client.get("/me").status_code == 200
        assert client.get("/session/profile").json()["login_ids"] == ["user1@made-up.example"]


def test_a_login_is_sent_to_the_emulator(app_with: AppFactory) -> None:
    """And no further: clients do not follow redirects, so that a test sees them."""
    with emulated(app_with(public_url="https://app.example.com")) as emulation:
        answer = emulation.client().get("/login/sso", params={"tenant": "acme"})

        assert answer.status_code == 303
        assert answer.headers["location"].startswith("https://127.0.0.1:8787/signin/")
        assert emulation.emulator.requests.count("authorize") == 1


def test_descope_can_fail_on_demand(app_with: AppFactory) -> None:
    """The emulator's faults happen to the app."""
    with emulated(app_with()) as emulation:
        client = emulation.sign_in()
        emulation.expire_session(client)
        emulation.emulator.faults.add("refresh", status=503)

        assert client.get("/me").status_code == 503
        assert sorted(client.cookies) == ["DS", "DSR"]


def test_websockets_open_where_the_app_is(app_with: AppFactory) -> None:
    """With the session's cookies and the Origin of the app's own pages, unless a test says otherwise."""
    with emulated(app_with()) as emulation:
        client = emulation.sign_in()

        with client.websocket_connect("/feed") as socket:
            assert socket.receive_text().startswith("U2")
        with (
            pytest.raises(WebSocketDisconnect),
            client.websocket_connect("/feed", headers={"origin": "https://evil.example"}),
        ):
            pass


async def test_asynchronous_clients_share_the_tests_event_loop(app_with: AppFactory) -> None:
    """Everything else is as with the others."""
    with emulated(app_with()) as emulation:
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
    with emulated(app) as emulation:
        emulation.sign_in().get("/session")
        with emulation.sign_in() as client:
            client.get("/session")
            seen.append("served")

    assert seen == ["up", "served", "down"]


def test_the_plugin_is_found_among_other_middleware(app_with: AppFactory) -> None:
    """Whatever else the app has."""
    app = app_with()
    app.add_middleware(GZipMiddleware)

    with emulated(app) as emulation:
        assert emulation.sign_in().get("/me").status_code == 200


def test_an_app_that_hides_its_plugin_names_it() -> None:
    """Wrapped, it cannot be looked into."""
    app = FastAPI()
    descope = Descope(app, settings=DescopeSettings(project_id=PROJECT))
    wrapped: ASGIApp = GZipMiddleware(app)

    with pytest.raises(ConfigurationError, match="descope="), emulated(wrapped):
        pass
    with pytest.raises(ConfigurationError, match="descope="), emulated(FastAPI()):
        pass
    with emulated(wrapped, descope=descope) as emulation:
        assert emulation.sign_in().get("/session").status_code == 200


async def test_afterwards_the_app_is_as_it_was(world: WorldFactory) -> None:
    """Its sessions, its keys and its Descope: even the memory of them."""
    town = world()
    browser = town.browser()
    await browser.sign_in()

    with emulated(town.app) as emulation:
        assert (await browser.get("/me")).status_code == 401
        assert (await emulation.sign_in_async().get("/me")).status_code == 200

    await browser.sign_in()
    assert (await browser.get("/me")).status_code == 200
    assert town.calls("keys") == 1


async def test_a_with_that_fails_puts_everything_back_too(world: WorldFactory) -> None:
    """A test that fails does not make the next one fail."""
    town = world()
    browser = town.browser()
    await browser.sign_in()

    with pytest.raises(ZeroDivisionError), emulated(town.app):
        raise ZeroDivisionError

    assert (await browser.get("/me")).status_code == 200


async def test_logins_and_logouts_go_to_the_emulator_as_well(world: WorldFactory) -> None:
    """The routes that talk to Descope themselves, not only the middleware."""
    town = world()

    with emulated(town.app) as emulation:
        client = emulation.sign_in_async("ada@acme.example")
        switched = await client.post("/tenant/select", json={"tenant": "globex"})
        gone = await client.post("/logout")
        endpoints = [call.endpoint for call in emulation.emulator.requests]

    assert (switched.json()["tenant"]["id"], gone.status_code) == ("globex", 204)
    assert endpoints == ["keys", "select", "logout"]
    assert list(town.emulator.requests) == []


def test_the_clients_are_what_they_say() -> None:
    """Starlette's and httpx's own, with all that users know of them."""
    app = FastAPI()
    Descope(app, settings=DescopeSettings(project_id=PROJECT))
    with emulated(app) as emulation:
        assert isinstance(emulation.sign_in(), TestClient)
        assert isinstance(emulation.sign_in_async(), httpx.AsyncClient)
