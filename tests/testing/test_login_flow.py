"""Logins in tests: the app's login route, the emulator's page, the app's callback and hooks."""

from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from fastapi_descope import Descope, DescopeSettings, Login, LoginRejected
from fastapi_descope.emulator import Project
from fastapi_descope.testing import emulated_descope
from tests.helpers.guarded_app import PROJECT, guarded_app

pytestmark = pytest.mark.anyio


def inner_app(**settings: object) -> tuple[FastAPI, Descope]:
    """Return an app with a prefix for the plugin's routes, and its ``Descope``."""
    app = FastAPI()
    values: dict[str, object] = {"project_id": PROJECT, **settings}
    descope = Descope(app, settings=DescopeSettings(**values), prefix="/auth")  # type: ignore[arg-type] # any setting
    return app, descope


def session_cookies(client: TestClient) -> set[str]:
    """Return the names of the client's cookies, without those of the login, which stay for a minute."""
    return {name for name in (cookie.name for cookie in client.cookies.jar) if "descope_" not in name}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"public_url": "http://localhost:3000"},
        {"public_url": "https://app.example.com", "cookie_prefix": "__Host-"},
    ],
)
def test_a_login_returns_to_the_requested_page(settings: dict[str, object]) -> None:
    """The client has the app's cookies and can use the session."""
    with emulated_descope(guarded_app(**settings)) as harness:
        client = harness.client()
        response = harness.log_in(client, "ada@acme.example", return_to="/me?x=1")

        assert (response.status_code, response.headers["location"]) == (303, "/me?x=1")
        assert client.get(response.headers["location"]).json() == ["ada@acme.example", "acme"]
        calls = [call.endpoint for call in harness.emulator.requests]
        assert calls == ["authorize", "signin", "signin", "exchange", "keys"]
        assert len(session_cookies(client)) == 2


async def test_asynchronous_clients_log_in() -> None:
    """In the event loop of the test."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.async_client()
        response = await harness.log_in_async(client, "hank@globex.example", tenant="globex")
        refused = await harness.log_in_async(harness.async_client(), refuse=True)
        no_tenant = await harness.log_in_async(harness.async_client(), tenant=None)

        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert (await client.get("/me")).json() == ["hank@globex.example", "globex"]
        assert (refused.status_code, refused.json()["code"]) == (400, "login_rejected")
        assert (no_tenant.status_code, no_tenant.json()["code"]) == (400, "login_rejected")


def test_on_login_hooks_run_and_may_reject() -> None:
    """A rejected login leaves no session."""
    app, descope = inner_app()
    seen: list[str] = []

    @descope.on_login
    async def invited_only(request: Request, login: Login) -> None:
        seen.append(login.session.user.email or "")
        if login.session.user.email != "ada@acme.example":
            raise LoginRejected("Ask for an invitation.", reason="uninvited")

    with emulated_descope(app) as harness:
        ada, eve = harness.client(), harness.client()
        harness.log_in(ada, "ada@acme.example")
        response = harness.log_in(eve, "eve@acme.example")

        assert seen == ["ada@acme.example", "eve@acme.example"]
        assert response.json()["detail"] == "Ask for an invitation."
        assert ada.get("/auth/session").status_code == 200
        assert eve.get("/auth/session").status_code == 401


def test_a_refused_login_leaves_no_session() -> None:
    """The callback's page names the reason."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.client()
        response = harness.log_in(client, refuse=True)

        assert response.json()["detail"] == "The sign-in was cancelled, or your organisation refused it."
        assert client.get("/me").status_code == 401


def test_a_login_that_fails_to_start_returns_the_apps_response() -> None:
    """If the app does not redirect to the sign-in page."""
    with emulated_descope(guarded_app()) as harness:
        harness.emulator.faults.add("authorize", status=503)

        assert harness.log_in(harness.client()).status_code == 503
        assert harness.emulator.requests.count("signin") == 0


def test_tenant_none_uses_the_apps_default_tenant() -> None:
    """Without the argument the tenant is acme."""
    with emulated_descope(guarded_app(default_tenant="initech")) as harness:
        client = harness.client()
        harness.log_in(client, "peter@initech.example", tenant=None)

        assert client.get("/me").json() == ["peter@initech.example", "initech"]


@pytest.mark.parametrize("user", ["ada@acme.example", "new@acme.example"])
def test_the_tenant_may_be_an_e_mail_address(user: str) -> None:
    """As on the app's login page. It creates no tenant of that name."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.client()
        harness.log_in(client, user, tenant="somebody@acme.example")

        assert client.get("/me").json() == [user, "acme"]
        assert [tenant.id for tenant in harness.emulator.project.tenants] == ["acme", "globex"]


async def test_a_client_of_the_wrong_kind_is_reported() -> None:
    """With the method to use, instead of a coroutine that is never awaited."""
    with emulated_descope(guarded_app()) as harness:
        wrong: Any = harness.async_client()
        with pytest.raises(TypeError, match=r"await log_in_async\(client\)"):
            harness.log_in(wrong)
        wrong = harness.client()
        with pytest.raises(TypeError, match=r"log_in\(client\), without await"):
            await harness.log_in_async(wrong)


def test_a_known_user_of_another_tenant_is_refused() -> None:
    """As in ``sign_in``, before any request."""
    with (
        emulated_descope(guarded_app()) as harness,
        pytest.raises(LookupError, match="not a member of tenant 'acme'"),
    ):
        harness.log_in(harness.client(), "hank@globex.example")


def test_a_failing_sign_in_page_is_reported() -> None:
    """Whether it is not shown or does not redirect."""
    with emulated_descope(guarded_app()) as harness:
        harness.emulator.faults.add("signin", status=500)
        with pytest.raises(LookupError, match="has no sign-in form"):
            harness.log_in(harness.client())
        harness.emulator.faults.add("signin", delay=1e-9)  # the page itself is shown
        harness.emulator.faults.add("signin", status=418)
        with pytest.raises(LookupError, match="sign-in page responded with status 418"):
            harness.log_in(harness.client())


def wrapped(app: FastAPI) -> ASGIApp:
    """Wrap the app in other middleware."""
    return GZipMiddleware(app)


def mounted(app: FastAPI) -> ASGIApp:
    """Mount the app in another one."""
    return Starlette(routes=[Mount("/shop", app)])


@pytest.mark.parametrize("outer", [wrapped, mounted])
def test_the_login_route_is_found_in_wrapped_and_mounted_apps(outer: type) -> None:
    """Also with a prefix."""
    app, descope = inner_app()
    with emulated_descope(outer(app), descope=descope) as harness:
        client = harness.client()
        response = harness.log_in(client, "ada@acme.example", return_to="/somewhere")

        assert response.status_code == 303
        assert session_cookies(client) == {"DS", "DSR"}


def test_a_missing_login_route_is_reported() -> None:
    """For an app without a list of routes, and for one without the plugin's routes."""

    async def opaque(scope: object, receive: object, send: object) -> None:
        raise AssertionError

    _, descope = inner_app()
    for app in (opaque, FastAPI()):
        with (
            emulated_descope(app, descope=descope) as harness,
            pytest.raises(LookupError, match="/login/sso"),
        ):
            harness.log_in(harness.client())


async def test_a_client_of_the_app_refuses_the_emulators_pages() -> None:
    """The error names the method to use."""
    with emulated_descope(guarded_app()) as harness:
        client = harness.client()
        page = client.get("/login/sso?tenant=acme").headers["location"]

        with pytest.raises(LookupError, match="log_in"):
            client.get(page)
        with pytest.raises(LookupError, match="log_in"):
            client.get("/login/sso?tenant=acme", follow_redirects=True)
        with pytest.raises(LookupError, match="log_in"):
            await harness.async_client().get(page)
        assert client.get("/nowhere?next=//127.0.0.1:8787/").status_code == 404
    with emulated_descope(guarded_app(public_url="http://127.0.0.1:8787")) as harness:
        assert harness.client().get("/nowhere").status_code == 404


async def test_a_login_at_a_social_provider() -> None:
    """The user joins the tenant, and the session has it only if the project selects it."""
    app = guarded_app(login_methods=["sso", "google"])
    with emulated_descope(app, project=Project(auto_tenant=True)) as harness:
        client = harness.client()
        response = harness.log_in(client, "zoe@acme.example", provider="google", return_to="/me")
        refused = await harness.log_in_async(harness.async_client(), provider="google", refuse=True)

        assert (response.status_code, response.headers["location"]) == (303, "/me")
        assert client.get("/me").json() == ["zoe@acme.example", "acme"]
        assert refused.status_code == 400
        with pytest.raises(LookupError, match="no /login/oauth/github route"):
            harness.log_in(client, provider="github")


async def test_a_login_by_link() -> None:
    """The client that has asked for the link, and one that stands for another browser."""
    app = guarded_app(login_methods=["sso", "magiclink"])
    with emulated_descope(app, project=Project(auto_tenant=True)) as harness:
        harness.sign_in("zoe@acme.example")
        client, other = harness.client(), harness.async_client()
        with pytest.raises(LookupError, match="no e-mail to this address"):
            harness.open_link(client, "zoe@acme.example")
        client.post("/login/magiclink", data={"email": "zoe@acme.example", "return_to": "/me"})
        response = harness.open_link(client, "zoe@acme.example")

        assert (response.status_code, response.headers["location"]) == (303, "/me")
        assert client.get("/me").json() == ["zoe@acme.example", "acme"]
        assert (await harness.open_link_async(other, "zoe@acme.example")).status_code == 400
        await other.post("/login/magiclink", data={"email": "zoe@acme.example"})
        assert (await harness.open_link_async(other, "zoe@acme.example")).status_code == 303


async def test_a_link_without_a_button() -> None:
    """The response to the link is returned: here it leads to an app that has no such route."""
    app = guarded_app(login_methods=["sso", "magiclink"])
    with emulated_descope(app) as harness:
        harness.sign_in("zoe@acme.example")
        harness.client().post("/login/magiclink", data={"email": "zoe@acme.example"})
        app.router.routes.clear()

        assert harness.open_link(harness.client(), "zoe@acme.example").status_code == 404
        response = await harness.open_link_async(harness.async_client(), "zoe@acme.example")
        assert response.status_code == 404
