"""Error responses for a navigation, a script, HTMX, Turbo and a prefetch."""

from urllib.parse import quote

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
from tests.helpers.app_harness import APP, Browser, EnvFactory

pytestmark = pytest.mark.anyio


def _guarded(app: FastAPI) -> None:
    app.get("/roles", dependencies=[Depends(require_roles("owner", "admin"))])(_ok)
    app.get("/permissions", dependencies=[Depends(require_permissions("reports:delete-all"))])(_ok)
    app.api_route("/step-up", methods=["GET", "POST"], dependencies=[Depends(require_step_up(max_age=300))])(
        _ok
    )
    app.get("/mfa", dependencies=[Depends(require_mfa())])(_ok)
    app.api_route("/me", methods=["GET", "HEAD", "POST"], dependencies=[Depends(require_roles("admin"))])(_ok)


async def _ok() -> dict[str, bool]:
    return {"ok": True}


async def test_a_navigation_is_redirected_to_the_login_and_back(make_env: EnvFactory) -> None:
    """A 303 with path and query in ``return_to``, not cached."""
    response = await make_env(routes=_guarded).browser().visit("/me?page=2&sort=up")

    assert response.status_code == 303
    assert response.headers["location"] == "/login/sso?return_to=%2Fme%3Fpage%3D2%26sort%3Dup"
    assert response.headers["cache-control"] == "no-store"


async def test_a_navigation_without_fetch_metadata_is_recognised_by_accept(make_env: EnvFactory) -> None:
    """``text/html`` in Accept marks a navigation too."""
    response = await make_env(routes=_guarded).browser().get("/me", accept="text/html,*/*")

    assert response.status_code == 303


async def test_a_script_gets_a_problem_document_with_the_login_url(make_env: EnvFactory) -> None:
    """RFC 9457 with a stable code, and the challenge of RFC 6750."""
    response = await make_env(routes=_guarded, prefix="/auth").browser().get("/me", sec_fetch_mode="cors")

    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json() == {
        "type": "https://fastapi-descope.readthedocs.io/errors/not_authenticated/",
        "title": "Sign in to continue",
        "status": 401,
        "code": "not_authenticated",
        "detail": "Sign in to continue",
        "login_url": "/auth/login/sso",
    }


async def test_htmx_navigates_the_whole_page_to_the_login(make_env: EnvFactory) -> None:
    """``HX-Redirect`` returns to the current page of the browser, not to the fragment."""
    response = (
        await make_env(routes=_guarded)
        .browser()
        .get("/me", hx_request="true", hx_current_url="http://127.0.0.1:8000/board?x=1")
    )

    assert response.status_code == 401
    back = "http%3A%2F%2F127.0.0.1%3A8000%2Fboard%3Fx%3D1"
    assert response.headers["hx-redirect"] == f"/login/sso?return_to={back}"


async def test_htmx_with_an_unsafe_current_url_goes_to_the_login_only(make_env: EnvFactory) -> None:
    """The header is validated like any return path, and a malformed URL is no crash."""
    browser = make_env(routes=_guarded).browser()

    for address in ("http://[", "https://evil.example//evil", ""):
        response = await browser.get("/me", hx_request="true", hx_current_url=address)
        assert response.headers["hx-redirect"] == "/login/sso"


async def test_a_prefetch_starts_no_login(make_env: EnvFactory) -> None:
    """A hovered link must not start a login."""
    response = await make_env(routes=_guarded).browser().visit("/me", sec_purpose="prefetch;prerender")

    assert response.status_code == 401
    assert "location" not in response.headers


async def test_an_unauthenticated_form_gets_a_page(make_env: EnvFactory) -> None:
    """A redirect to the login would lose the form data."""
    response = await make_env(routes=_guarded).browser().post("/me", sec_fetch_mode="navigate")

    assert response.status_code == 401
    assert '<a href="/login/sso">Sign in again</a>' in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_without_the_router_there_is_no_redirect(make_env: EnvFactory) -> None:
    """The location of the login is unknown, so the page only links to the start page."""
    env = make_env(routes=_guarded)
    env.app.router.routes[:] = [route for route in env.app.routes if getattr(route, "path", "") == "/me"]

    response = await env.browser().visit("/me")

    assert response.status_code == 401
    assert "/login/sso" not in response.text


async def test_the_middleware_works_around_any_asgi_app() -> None:
    """The middleware works around any ASGI app. Without routes there is no link to the login."""
    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise NotAuthenticated

    browser = Browser(
        httpx.AsyncClient(transport=httpx.ASGITransport(DescopeMiddleware(app, descope=descope)))
    )

    assert "login_url" not in (await browser.get("/me")).json()
    assert (await browser.visit("/me")).status_code == 401


async def test_missing_roles_are_named(make_env: EnvFactory) -> None:
    """The 403 lists the missing roles, which the user could find out anyway."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    response = await browser.get("/roles")

    assert response.status_code == 403
    assert response.json()["code"] == "missing_roles"
    assert response.json()["missing"] == ["owner"]
    assert "any_of" not in response.json()
    assert "www-authenticate" not in response.headers


async def test_missing_permissions_are_named(make_env: EnvFactory) -> None:
    """The 403 lists the missing permissions."""
    response = await (await make_env(routes=_guarded).signed_in_browser()).get("/permissions")

    assert response.status_code == 403
    assert response.json()["missing"] == ["reports:delete-all"]


async def test_a_forbidden_navigation_gets_a_page_and_keeps_the_session(make_env: EnvFactory) -> None:
    """A 403 does not clear the session."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    response = await browser.visit("/roles")

    assert response.status_code == 403
    assert "You do not have access to this" in response.text
    assert "set-cookie" not in response.headers


async def test_a_step_up_is_requested_by_rfc_9470(make_env: EnvFactory) -> None:
    """A script gets a challenge; a navigation is redirected through Descope and back."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    script, page = await browser.get("/step-up"), await browser.visit("/step-up")

    assert script.status_code == 401
    challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
    assert script.headers["www-authenticate"] == challenge
    assert page.headers["location"] == "/login/sso?step_up=true&return_to=%2Fstep-up"


async def test_a_missing_second_factor_is_requested(make_env: EnvFactory) -> None:
    """The same for ``amr``."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    script, page = await browser.get("/mfa"), await browser.visit("/mfa")

    challenge = 'Bearer error="insufficient_user_authentication", acr_values="mfa"'
    assert script.headers["www-authenticate"] == challenge
    assert page.headers["location"] == "/login/sso?mfa=true&return_to=%2Fmfa"


FRAME, VISIT = {"turbo_frame": "list"}, {"x_turbo_request_id": "2f0c"}
TURBO: list[dict[str, str]] = [FRAME, VISIT]
WHOLE_PAGE = '<meta name="turbo-visit-control" content="reload">'


def _refresh_to(url: str) -> str:
    return f'<meta http-equiv="refresh" content="0;url={url}">'


async def _request_by_turbo(
    browser: Browser, path: str, header: dict[str, str], method: str = "GET"
) -> httpx.Response:
    wire = {name.replace("_", "-"): value for name, value in header.items()}
    headers = {"sec-fetch-mode": "cors", "referer": f"{APP}/form", **wire}
    return await browser.http.request(method, f"{APP}{path}", headers=headers)


@pytest.mark.parametrize("header", TURBO, ids=str)
@pytest.mark.parametrize(("method", "back"), [("GET", "/me"), ("POST", f"{APP}/form")])
async def test_turbo_gets_a_page_that_leads_to_the_login(
    make_env: EnvFactory, method: str, back: str, header: dict[str, str]
) -> None:
    """It shows no JSON, and cannot follow a redirect to another origin. A form returns to its own page."""
    browser = make_env(routes=_guarded).browser()

    response = await _request_by_turbo(browser, "/me", header, method)

    assert response.status_code == 401
    assert response.headers["content-type"].startswith("text/html")
    assert _refresh_to(f"/login/sso?return_to={quote(back, safe='')}") in response.text
    assert (WHOLE_PAGE in response.text) is (header is FRAME)
    assert "http-equiv" not in (await browser.post("/me", sec_fetch_mode="navigate")).text


async def test_turbo_form_that_needs_a_step_up_gets_the_explanation_first(make_env: EnvFactory) -> None:
    """The form data is lost, and the page says so. A visit loses nothing."""
    browser = await make_env(routes=_guarded).signed_in_browser()

    form, visit = [await _request_by_turbo(browser, "/step-up", VISIT, each) for each in ("POST", "GET")]

    assert (form.status_code, visit.status_code) == (401, 401)
    assert "What you sent was not saved." in form.text
    assert "http-equiv" not in form.text
    assert _refresh_to("/login/sso?step_up=true&amp;return_to=%2Fstep-up") in visit.text


@pytest.mark.parametrize("header", TURBO, ids=str)
async def test_turbo_stays_on_a_page_about_an_error_that_a_login_does_not_end(
    make_env: EnvFactory, header: dict[str, str]
) -> None:
    """A missing role, and two session cookies."""
    env = make_env(routes=_guarded)
    browser = await env.signed_in_browser()
    forbidden = await _request_by_turbo(browser, "/roles", header)
    cookie = f"DS={browser.cookie('DS')}; DS={env.emulator.issue('grace@acme.example', 'acme').session_jwt}"

    conflicting = await _request_by_turbo(env.browser(), "/me", {**header, "cookie": cookie})

    assert (forbidden.status_code, conflicting.status_code) == (403, 401)
    assert "http-equiv" not in forbidden.text + conflicting.text


@pytest.mark.parametrize("header", TURBO, ids=str)
async def test_cb13_turbo_loads_the_login_again_as_a_navigation(
    make_env: EnvFactory, header: dict[str, str]
) -> None:
    """A link to the login, which Turbo has requested by a script."""
    env = make_env()

    response = await _request_by_turbo(env.browser(), "/login/sso?tenant=acme&return_to=/me", header)

    assert response.status_code == 403
    assert _refresh_to("/login/sso?tenant=acme&amp;return_to=/me") in response.text
    assert (env.calls("authorize"), env.events) == (0, [])
    assert "set-cookie" not in response.headers


async def test_cb13_htmx_loads_the_login_again_as_a_navigation(make_env: EnvFactory) -> None:
    """A link of a page with ``hx-boost``."""
    env = make_env()

    response = await env.browser().get("/login/sso?tenant=acme", hx_request="true", sec_fetch_mode="cors")

    assert (response.status_code, response.headers["hx-redirect"]) == (403, "/login/sso?tenant=acme")
    assert (env.calls("authorize"), env.events) == (0, [])


@pytest.mark.parametrize("header", TURBO, ids=str)
async def test_turbo_form_that_signs_out_is_redirected(make_env: EnvFactory, header: dict[str, str]) -> None:
    """Turbo requires a redirect in the response to a form."""
    browser = await make_env().signed_in_browser()

    response = await browser.post("/logout", None, sec_fetch_mode="cors", **header)

    assert (response.status_code, response.headers["location"]) == (303, "/")


async def test_turbo_prefetch_starts_no_login(make_env: EnvFactory) -> None:
    """Its script cannot set ``Sec-Purpose``."""
    env = make_env(routes=_guarded)

    assert (await env.browser().visit("/login/sso", x_sec_purpose="prefetch")).status_code == 403
    assert (await env.browser().visit("/me", x_sec_purpose="prefetch")).status_code == 401
