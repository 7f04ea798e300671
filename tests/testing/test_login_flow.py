"""The testing kit goes the whole way of a login: the app's routes, the emulator's page, the app's hooks."""

from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp

from fastapi_descope import AuthSession, Descope, DescopeSettings, LoginRejected
from fastapi_descope.testing import emulated_descope
from tests.helpers.guarded_app import PROJECT, guarded_app

pytestmark = pytest.mark.anyio


def inner_app(**settings: object) -> tuple[FastAPI, Descope]:
    """An app with a prefix before the plugin's routes, and its plugin."""
    app = FastAPI()
    values: dict[str, object] = {"project_id": PROJECT, **settings}
    descope = Descope(app, settings=DescopeSettings(**values), prefix="/auth")  # type: ignore[arg-type] # any setting
    return app, descope


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"public_url": "http://localhost:3000"},
        {"public_url": "https://app.example.com", "cookie_prefix": "__Host-"},
    ],
)
def test_a_login_ends_where_it_was_to_end(settings: dict[str, object]) -> None:
    """With the app's own cookies in the client, at the app's own address."""
    with emulated_descope(guarded_app(**settings)) as emulation:
        client = emulation.client()
        response = emulation.log_in(client, "ada@acme.example", return_to="/me?x=1")

        assert (response.status_code, response.headers["location"]) == (303, "/me?x=1")
        assert client.get(response.headers["location"]).json() == ["ada@acme.example", "acme"]
        asked = [call.endpoint for call in emulation.emulator.requests]
        assert asked == ["authorize", "signin", "signin", "exchange", "keys"]
        assert len(client.cookies) == 2  # the login's own is gone


async def test_asynchronous_clients_log_in_as_well() -> None:
    """In the event loop of the test."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.async_client()
        response = await emulation.log_in_async(client, "hank@globex.example", tenant="globex")
        refused = await emulation.log_in_async(emulation.async_client(), refuse=True)
        lost = await emulation.log_in_async(emulation.async_client(), tenant=None)

        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert (await client.get("/me")).json() == ["hank@globex.example", "globex"]
        assert (refused.status_code, refused.json()["code"]) == (400, "login_rejected")
        assert (lost.status_code, lost.json()["code"]) == (400, "login_rejected")


def test_hooks_run_and_may_refuse() -> None:
    """``on_login`` sees the session; what it refuses is no session."""
    app, descope = inner_app()
    seen: list[str] = []

    @descope.on_login
    async def invited_only(request: Request, session: AuthSession) -> None:
        seen.append(session.user.email or "")
        if session.user.email != "ada@acme.example":
            raise LoginRejected("Ask for an invitation.", reason="uninvited")

    with emulated_descope(app) as emulation:
        ada, eve = emulation.client(), emulation.client()
        emulation.log_in(ada, "ada@acme.example")
        response = emulation.log_in(eve, "eve@acme.example")

        assert seen == ["ada@acme.example", "eve@acme.example"]
        assert response.json()["detail"] == "Ask for an invitation."
        assert ada.get("/auth/session").status_code == 200
        assert eve.get("/auth/session").status_code == 401


def test_whoever_refuses_is_not_signed_in() -> None:
    """The callback says so to the user."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.client()
        response = emulation.log_in(client, refuse=True)

        assert response.json()["detail"] == "The sign-in was cancelled, or your organisation refused it."
        assert client.get("/me").status_code == 401


def test_a_login_that_does_not_begin_shows_why() -> None:
    """The app's own answer, where it sends nobody to the page."""
    with emulated_descope(guarded_app()) as emulation:
        emulation.emulator.faults.add("authorize", status=503)

        assert emulation.log_in(emulation.client()).status_code == 503
        assert emulation.emulator.requests.count("signin") == 0


def test_the_apps_default_tenant_is_asked_for_by_none() -> None:
    """By default it is acme, as everywhere in the kit."""
    with emulated_descope(guarded_app(default_tenant="initech")) as emulation:
        client = emulation.client()
        emulation.log_in(client, "peter@initech.example", tenant=None)

        assert client.get("/me").json() == ["peter@initech.example", "initech"]


@pytest.mark.parametrize("user", ["ada@acme.example", "new@acme.example"])
def test_the_tenant_may_be_named_by_an_e_mail(user: str) -> None:
    """As people do on the app's own page; no tenant of that name comes of it."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.client()
        emulation.log_in(client, user, tenant="somebody@acme.example")

        assert client.get("/me").json() == [user, "acme"]
        assert [tenant.id for tenant in emulation.emulator.project.tenants] == ["acme", "globex"]


async def test_a_client_of_the_other_kind_is_said_to_be_one() -> None:
    """With the name of what goes with it, in place of a coroutine that nobody awaits."""
    with emulated_descope(guarded_app()) as emulation:
        wrong: Any = emulation.async_client()
        with pytest.raises(TypeError, match=r"await log_in_async\(client\)"):
            emulation.log_in(wrong)
        wrong = emulation.client()
        with pytest.raises(TypeError, match=r"log_in\(client\), without await"):
            await emulation.log_in_async(wrong)


def test_a_known_user_who_is_elsewhere_is_refused() -> None:
    """As in ``sign_in``, before anything happens."""
    with (
        emulated_descope(guarded_app()) as emulation,
        pytest.raises(LookupError, match="not a member of tenant 'acme'"),
    ):
        emulation.log_in(emulation.client(), "hank@globex.example")


def test_a_page_that_fails_is_not_taken_for_an_answer() -> None:
    """Neither one that is not shown, nor one that leads nowhere."""
    with emulated_descope(guarded_app()) as emulation:
        emulation.emulator.faults.add("signin", status=500)
        with pytest.raises(LookupError, match="showed no sign-in page"):
            emulation.log_in(emulation.client())
        emulation.emulator.faults.add("signin", delay=1e-9)  # the page itself is shown
        emulation.emulator.faults.add("signin", status=418)
        with pytest.raises(LookupError, match="sign-in page answered 418"):
            emulation.log_in(emulation.client())


def wrapped(app: FastAPI) -> ASGIApp:
    """The app behind somebody else's middleware."""
    return GZipMiddleware(app)


def mounted(app: FastAPI) -> ASGIApp:
    """The app below a path of another one."""
    return Starlette(routes=[Mount("/shop", app)])


@pytest.mark.parametrize("outside", [wrapped, mounted])
def test_the_login_is_found_wherever_it_is(outside: type) -> None:
    """Below a prefix and a mount, and behind other middleware."""
    app, descope = inner_app()
    with emulated_descope(outside(app), descope=descope) as emulation:
        client = emulation.client()
        response = emulation.log_in(client, "ada@acme.example", return_to="/somewhere")

        assert response.status_code == 303
        assert {cookie.name for cookie in client.cookies.jar} == {"DS", "DSR"}


def test_a_login_that_cannot_be_found_is_said_to_be_missing() -> None:
    """In an app that lists no routes, or has none of ours."""

    async def opaque(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    _, descope = inner_app()
    for app in (opaque, FastAPI()):
        with (
            emulated_descope(app, descope=descope) as emulation,
            pytest.raises(LookupError, match="/login/sso"),
        ):
            emulation.log_in(emulation.client())


async def test_a_client_of_the_app_stays_with_the_app() -> None:
    """At the emulator it would meet the app's own 404; it is told how to sign in instead."""
    with emulated_descope(guarded_app()) as emulation:
        client = emulation.client()
        page = client.get("/login/sso?tenant=acme").headers["location"]

        with pytest.raises(LookupError, match="log_in"):
            client.get(page)
        with pytest.raises(LookupError, match="log_in"):
            client.get("/login/sso?tenant=acme", follow_redirects=True)
        with pytest.raises(LookupError, match="log_in"):
            await emulation.async_client().get(page)
        assert client.get("/nowhere?next=//127.0.0.1:8787/").status_code == 404
    with emulated_descope(guarded_app(public_url="http://127.0.0.1:8787")) as emulation:
        assert emulation.client().get("/nowhere").status_code == 404
