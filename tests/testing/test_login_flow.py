"""The testing kit goes the whole way of a login: the app's routes, the emulator's page, the app's hooks."""

from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp

from fastapi_descope import Descope, DescopeSettings, LoginRejected, Session
from fastapi_descope.testing import emulated
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
    with emulated(guarded_app(**settings)) as emulation:
        client = emulation.client()
        answer = emulation.walk_through_login(client, "ada@acme.example", return_to="/me?x=1")

        assert (answer.status_code, answer.headers["location"]) == (303, "/me?x=1")
        assert client.get(answer.headers["location"]).json() == ["ada@acme.example", "acme"]
        asked = [call.endpoint for call in emulation.emulator.requests]
        assert asked == ["authorize", "signin", "signin", "exchange", "keys"]
        assert len(client.cookies) == 2  # the login's own is gone


async def test_asynchronous_clients_log_in_as_well() -> None:
    """In the event loop of the test."""
    with emulated(guarded_app()) as emulation:
        client = emulation.async_client()
        answer = await emulation.walk_through_login_async(client, "hank@globex.example", tenant="globex")
        refused = await emulation.walk_through_login_async(emulation.async_client(), refuse=True)
        lost = await emulation.walk_through_login_async(emulation.async_client(), tenant=None)

        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await client.get("/me")).json() == ["hank@globex.example", "globex"]
        assert (refused.status_code, refused.json()["code"]) == (400, "login_rejected")
        assert (lost.status_code, lost.json()["code"]) == (400, "login_rejected")


def test_hooks_run_and_may_refuse() -> None:
    """``on_login`` sees the session; what it refuses is no session."""
    app, descope = inner_app()
    seen: list[str] = []

    @descope.on_login
    async def invited_only(request: Request, session: Session) -> None:
        seen.append(session.user.email or "")
        if session.user.email != "ada@acme.example":
            raise LoginRejected("Ask for an invitation.", reason="uninvited")

    with emulated(app) as emulation:
        ada, eve = emulation.client(), emulation.client()
        emulation.walk_through_login(ada, "ada@acme.example")
        answer = emulation.walk_through_login(eve, "eve@acme.example")

        assert seen == ["ada@acme.example", "eve@acme.example"]
        assert answer.json()["detail"] == "Ask for an invitation."
        assert ada.get("/auth/session").status_code == 200
        assert eve.get("/auth/session").status_code == 401


def test_whoever_refuses_is_not_signed_in() -> None:
    """The callback says so to the user."""
    with emulated(guarded_app()) as emulation:
        client = emulation.client()
        answer = emulation.walk_through_login(client, refuse=True)

        assert answer.json()["detail"] == "The sign-in was cancelled, or your organisation refused it."
        assert client.get("/me").status_code == 401


def test_a_login_that_does_not_begin_shows_why() -> None:
    """The app's own answer, where it sends nobody to the page."""
    with emulated(guarded_app()) as emulation:
        emulation.emulator.faults.add("authorize", status=503)

        assert emulation.walk_through_login(emulation.client()).status_code == 503
        assert emulation.emulator.requests.count("signin") == 0


def test_the_apps_default_tenant_is_asked_for_by_none() -> None:
    """By default it is acme, as everywhere in the kit."""
    with emulated(guarded_app(default_tenant="initech")) as emulation:
        client = emulation.client()
        emulation.walk_through_login(client, "peter@initech.example", tenant=None)

        assert client.get("/me").json() == ["peter@initech.example", "initech"]


@pytest.mark.parametrize("user", ["ada@acme.example", "new@acme.example"])
def test_the_tenant_may_be_named_by_an_e_mail(user: str) -> None:
    """As people do on the app's own page; no tenant of that name comes of it."""
    with emulated(guarded_app()) as emulation:
        client = emulation.client()
        emulation.walk_through_login(client, user, tenant="somebody@acme.example")

        assert client.get("/me").json() == [user, "acme"]
        assert [tenant.id for tenant in emulation.emulator.project.tenants] == ["acme", "globex"]


async def test_a_client_of_the_other_kind_is_said_to_be_one() -> None:
    """With the name of what goes with it, in place of a coroutine that nobody awaits."""
    with emulated(guarded_app()) as emulation:
        wrong: Any = emulation.async_client()
        with pytest.raises(TypeError, match=r"await walk_through_login_async\(client\)"):
            emulation.walk_through_login(wrong)
        wrong = emulation.client()
        with pytest.raises(TypeError, match=r"walk_through_login\(client\), without await"):
            await emulation.walk_through_login_async(wrong)


def test_a_known_user_who_is_elsewhere_is_refused() -> None:
    """As in ``sign_in``, before anything happens."""
    with (
        emulated(guarded_app()) as emulation,
        pytest.raises(LookupError, match="not a member of tenant 'acme'"),
    ):
        emulation.walk_through_login(emulation.client(), "hank@globex.example")


def test_a_page_that_fails_is_not_taken_for_an_answer() -> None:
    """Neither one that is not shown, nor one that leads nowhere."""
    with emulated(guarded_app()) as emulation:
        emulation.emulator.faults.add("signin", status=500)
        with pytest.raises(LookupError, match="showed no sign-in page"):
            emulation.walk_through_login(emulation.client())
        emulation.emulator.faults.add("signin", delay=1e-9)  # the page itself is shown
        emulation.emulator.faults.add("signin", status=418)
        with pytest.raises(LookupError, match="sign-in page answered 418"):
            emulation.walk_through_login(emulation.client())


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
    with emulated(outside(app), descope=descope) as emulation:
        client = emulation.client()
        answer = emulation.walk_through_login(client, "ada@acme.example", return_to="/somewhere")

        assert answer.status_code == 303
        assert {cookie.name for cookie in client.cookies.jar} == {"DS", "DSR"}


def test_a_login_that_cannot_be_found_is_said_to_be_missing() -> None:
    """In an app that lists no routes, or has none of ours."""

    async def opaque(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    _, descope = inner_app()
    for app in (opaque, FastAPI()):
        with emulated(app, descope=descope) as emulation, pytest.raises(LookupError, match="/login/sso"):
            emulation.walk_through_login(emulation.client())


async def test_a_client_of_the_app_stays_with_the_app() -> None:
    """At the emulator it would meet the app's own 404; it is told how to sign in instead."""
    with emulated(guarded_app()) as emulation:
        client = emulation.client()
        page = client.get("/login/sso?tenant=acme").headers["location"]

        with pytest.raises(LookupError, match="walk_through_login"):
            client.get(page)
        with pytest.raises(LookupError, match="walk_through_login"):
            client.get("/login/sso?tenant=acme", follow_redirects=True)
        with pytest.raises(LookupError, match="walk_through_login"):
            await emulation.async_client().get(page)
        assert client.get("/nowhere?next=//127.0.0.1:8787/").status_code == 404
    with emulated(guarded_app(public_url="http://127.0.0.1:8787")) as emulation:
        assert emulation.client().get("/nowhere").status_code == 404
