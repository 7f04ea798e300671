"""The limits of shared caches: they store none of our responses, and none that sets a cookie."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fastapi_descope import CurrentUser, get_auth_session
from tests.helpers.app_harness import AppHarness, Browser, EnvFactory, add_routes

pytestmark = pytest.mark.anyio

Ask = Callable[[AppHarness], Awaitable[httpx.Response]]

# Without a body of their own, or a part of one: a cache writes their headers into what it holds.
_STATUSES = (200, 204, 206, 304)


def _bodiless(app: FastAPI) -> None:
    @app.api_route("/as/{status}", methods=["GET", "HEAD"])
    async def as_status(status: int, user: CurrentUser) -> Response:
        del user
        return Response(status_code=status, headers={"Cache-Control": "public, max-age=600", "ETag": '"1"'})


async def _expired(env: AppHarness) -> Browser:
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)
    return browser


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", _STATUSES)
async def test_ca04_no_status_or_method_makes_a_cookie_cacheable(
    make_env: EnvFactory, status: int, method: str
) -> None:
    """CA-04: a cache that updates its headers from a 304 must not store a session."""
    browser = await _expired(make_env(routes=_bodiless))

    response = await browser.http.request(method, f"http://127.0.0.1:8000/as/{status}")

    assert response.status_code == status
    assert len(response.headers.get_list("set-cookie")) == 2
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["vary"] == "Cookie"


async def _unauthenticated(env: AppHarness) -> httpx.Response:
    return await env.browser().get("/me")


async def _a_bad_bearer(env: AppHarness) -> httpx.Response:
    return await env.browser().get("/me", authorization="Bearer a.b.c")


async def _without_a_tenant(env: AppHarness) -> httpx.Response:
    token = env.emulator.issue("nomad@example.org", tenant=None).session_jwt
    return await env.browser().get("/me", authorization=f"Bearer {token}")


async def _in_an_outage(env: AppHarness) -> httpx.Response:
    browser = await _expired(env)
    env.emulator.faults.add("refresh", status=500)
    return await browser.get("/me")


async def _to_the_login(env: AppHarness) -> httpx.Response:
    return await env.browser().visit("/me")


async def _to_descope(env: AppHarness) -> httpx.Response:
    return await env.browser().visit("/login/sso?tenant=acme")


async def _a_bad_callback(env: AppHarness) -> httpx.Response:
    return await env.browser().visit("/callback?code=x")


async def _a_repeated_callback(env: AppHarness) -> httpx.Response:
    browser = env.browser()
    callback = await browser.open_callback()
    await browser.visit(callback)
    return await browser.visit(callback)


async def _a_slash_too_many(env: AppHarness) -> httpx.Response:
    return await env.browser().visit("/callback/?code=x")


async def _the_session(env: AppHarness) -> httpx.Response:
    return await (await env.signed_in_browser()).get("/session")


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        pytest.param(_unauthenticated, 401, id="unauthenticated"),
        pytest.param(_a_bad_bearer, 401, id="bad bearer"),
        pytest.param(_without_a_tenant, 403, id="no tenant"),
        pytest.param(_in_an_outage, 503, id="outage"),
        pytest.param(_to_the_login, 303, id="to the login"),
        pytest.param(_to_descope, 303, id="to Descope"),
        pytest.param(_a_bad_callback, 400, id="bad callback"),
        pytest.param(_a_repeated_callback, 303, id="repeated callback"),
        pytest.param(_a_slash_too_many, 404, id="slash too many"),
        pytest.param(_the_session, 200, id="session"),
    ],
)
async def test_ca05_none_of_our_responses_is_stored(make_env: EnvFactory, ask: Ask, status: int) -> None:
    """CA-05: errors and redirects are for one client, whatever caches do with their status."""
    response = await ask(make_env(routes=add_routes))

    assert response.status_code == status
    assert "no-store" in response.headers["cache-control"].split(", ")


def _mixed_pages(app: FastAPI) -> None:
    _bodiless(app)

    @app.get("/varied")
    async def varied(user: CurrentUser) -> Response:
        del user
        return Response(headers={"Vary": "Accept-Encoding"})

    @app.get("/private")
    async def private(user: CurrentUser) -> Response:
        del user
        return Response(headers={"Cache-Control": "max-age=60"})

    @app.get("/public")
    async def public() -> None:
        pass


async def test_ca06_pages_with_a_session_are_not_stored_if_configured(make_env: EnvFactory) -> None:
    """CA-06: browsers keep no copy for their Back button. Public pages, and what the app decides, stay."""
    browser = await make_env(routes=_mixed_pages, no_store=True).signed_in_browser()

    varied, decided, public = [await browser.get(path) for path in ("/varied", "/as/200", "/public")]

    assert varied.headers["cache-control"] == "private, no-store"
    assert varied.headers["vary"] == "Accept-Encoding, Cookie, Authorization"
    assert decided.headers["cache-control"] == "public, max-age=600"
    assert "cache-control" not in public.headers


async def test_ca06_page_with_a_caching_rule_of_its_own_varies_by_session(make_env: EnvFactory) -> None:
    """It keeps its rule."""
    response = await (await make_env(routes=_mixed_pages).signed_in_browser()).get("/private")

    assert response.headers["cache-control"] == "max-age=60"
    assert response.headers["vary"] == "Cookie, Authorization"


async def test_ca06_names_of_headers_are_written_in_lower_case(make_env: EnvFactory) -> None:
    """As ASGI and HTTP/2 demand of an application."""
    response = await make_env(routes=add_routes).browser().get("/maybe")

    names = {name for name, _ in response.headers.raw}
    assert names >= {b"cache-control", b"vary"}
    assert all(name == name.lower() for name in names)


async def _respond_without_headers(scope: Scope, receive: Receive, send: Send) -> None:
    del receive
    await get_auth_session(Request(scope))
    await send({"type": "http.response.start", "status": 204})
    await send({"type": "http.response.body"})


def _mount_bare_app(app: FastAPI) -> None:
    app.mount("/bare", _respond_without_headers)


async def test_ca06_response_without_headers_gets_them(make_env: EnvFactory) -> None:
    """ASGI lets an application leave the headers out."""
    response = await make_env(routes=_mount_bare_app).browser().get("/bare/")

    assert response.status_code == 204
    assert response.headers["vary"] == "Cookie, Authorization"


async def test_ca06_page_without_headers_of_its_own_is_not_stored_if_configured(make_env: EnvFactory) -> None:
    """CA-06: the usual case."""
    response = await make_env(routes=add_routes, no_store=True).browser().get("/maybe")

    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["vary"] == "Cookie, Authorization"
