"""Our errors as answers: the same one differs for a person, a script, HTMX and a prefetch."""

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.types import Receive, Scope, Send

from fastapi_descope import (
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    NotAuthenticated,
    require_mfa,
    require_permissions,
    require_roles,
    require_step_up,
)
from tests.helpers.app_harness import Browser, EnvFactory

pytestmark = pytest.mark.anyio


def _guarded(app: FastAPI) -> None:
    app.get("/roles", dependencies=[Depends(require_roles("owner", "admin"))])(_ok)
    app.get("/permissions", dependencies=[Depends(require_permissions("reports:delete-all"))])(_ok)
    app.get("/step-up", dependencies=[Depends(require_step_up(max_age=300))])(_ok)
    app.get("/mfa", dependencies=[Depends(require_mfa())])(_ok)
    app.api_route("/me", methods=["GET", "HEAD", "POST"], dependencies=[Depends(require_roles("admin"))])(_ok)


async def _ok() -> dict[str, bool]:
    return {"ok": True}


async def test_a_person_is_sent_to_the_login_and_back_here(make_env: EnvFactory) -> None:
    """303 with the path and query in return_to; it is not to be cached."""
    response = await make_env(routes=_guarded).browser().visit("/me?page=2&sort=up")

    assert response.status_code == 303
    assert response.headers["location"] == "/login/sso?return_to=%2Fme%3Fpage%3D2%26sort%3Dup"
    assert response.headers["cache-control"] == "no-store"


async def test_an_old_browser_without_fetch_metadata_is_known_by_accept(make_env: EnvFactory) -> None:
    """``text/html`` in Accept is as good a sign of a person."""
    response = await make_env(routes=_guarded).browser().get("/me", accept="text/html,*/*")

    assert response.status_code == 303


async def test_a_script_gets_a_problem_document_with_the_way_to_the_login(make_env: EnvFactory) -> None:
    """RFC 9457, a stable code, and RFC 6750's challenge."""
    response = await make_env(routes=_guarded, prefix="/auth").browser().get("/me", sec_fetch_mode="cors")

    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json() == {
        "type": "urn:fastapi-descope:not_authenticated",
        "title": "Sign in to continue",
        "status": 401,
        "code": "not_authenticated",
        "detail": "Sign in to continue",
        "login_url": "/auth/login/sso",
    }


async def test_htmx_is_told_to_send_the_whole_page_to_the_login(make_env: EnvFactory) -> None:
    """``HX-Redirect`` comes back to the page that the person is on, not to the fragment."""
    response = (
        await make_env(routes=_guarded)
        .browser()
        .get("/me", hx_request="true", hx_current_url="http://127.0.0.1:8000/board?x=1")
    )

    assert response.status_code == 401
    back = "http%3A%2F%2F127.0.0.1%3A8000%2Fboard%3Fx%3D1"
    assert response.headers["hx-redirect"] == f"/login/sso?return_to={back}"


async def test_htmx_with_a_hostile_page_address_just_goes_to_the_login(make_env: EnvFactory) -> None:
    """What the header says is checked like any return path; broken addresses are no crash."""
    browser = make_env(routes=_guarded).browser()

    for address in ("http://[", "https://evil.example//evil", ""):
        response = await browser.get("/me", hx_request="true", hx_current_url=address)
        assert response.headers["hx-redirect"] == "/login/sso"


async def test_a_prefetch_starts_no_login(make_env: EnvFactory) -> None:
    """A hovered link must not begin a sign-in."""
    response = await make_env(routes=_guarded).browser().visit("/me", sec_purpose="prefetch;prerender")

    assert response.status_code == 401
    assert "location" not in response.headers


async def test_a_form_of_a_person_not_signed_in_gets_a_page(make_env: EnvFactory) -> None:
    """A POST cannot be sent to the login and back without losing what was typed."""
    response = await make_env(routes=_guarded).browser().post("/me", sec_fetch_mode="navigate")

    assert response.status_code == 401
    assert '<a href="/login/sso">Sign in again</a>' in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_without_the_router_nobody_is_sent_anywhere(make_env: EnvFactory) -> None:
    """Where the login is cannot be known, so the page offers only the way home."""
    env = make_env(routes=_guarded)
    env.app.router.routes[:] = [route for route in env.app.routes if getattr(route, "path", "") == "/me"]

    response = await env.browser().visit("/me")

    assert response.status_code == 401
    assert "/login/sso" not in response.text


async def test_around_any_asgi_app_a_person_is_told_without_a_way_to_a_login() -> None:
    """The middleware needs neither FastAPI nor Starlette; only routes that it can look up are linked to."""
    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise NotAuthenticated

    browser = Browser(
        httpx.AsyncClient(transport=httpx.ASGITransport(DescopeMiddleware(app, descope=descope)))
    )

    assert "login_url" not in (await browser.get("/me")).json()
    assert (await browser.visit("/me")).status_code == 401


async def test_missing_roles_are_named(make_env: EnvFactory) -> None:
    """403, and which roles: nothing that the person could not find out anyway."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    response = await browser.get("/roles")

    assert response.status_code == 403
    assert response.json()["code"] == "missing_roles"
    assert response.json()["missing"] == ["owner"]
    assert "www-authenticate" not in response.headers


async def test_missing_permissions_are_named(make_env: EnvFactory) -> None:
    """As with roles."""
    response = await (await make_env(routes=_guarded).signed_in_browser()).get("/permissions")

    assert response.status_code == 403
    assert response.json()["missing"] == ["reports:delete-all"]


async def test_a_person_who_may_not_gets_a_page_and_stays_signed_in(make_env: EnvFactory) -> None:
    """403 is not a reason to sign in again by itself."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    response = await browser.visit("/roles")

    assert response.status_code == 403
    assert "You do not have access to this" in response.text
    assert "set-cookie" not in response.headers


async def test_a_step_up_is_asked_for_by_rfc_9470(make_env: EnvFactory) -> None:
    """A script learns what is missing; a page goes through Descope and comes back."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    script, page = await browser.get("/step-up"), await browser.visit("/step-up")

    assert script.status_code == 401
    challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
    assert script.headers["www-authenticate"] == challenge
    assert page.headers["location"] == "/login/sso?step_up=true&return_to=%2Fstep-up"


async def test_a_missing_second_factor_is_asked_for(make_env: EnvFactory) -> None:
    """The same round trip, for ``amr``."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    script, page = await browser.get("/mfa"), await browser.visit("/mfa")

    challenge = 'Bearer error="insufficient_user_authentication", acr_values="mfa"'
    assert script.headers["www-authenticate"] == challenge
    assert page.headers["location"] == "/login/sso?mfa=true&return_to=%2Fmfa"
