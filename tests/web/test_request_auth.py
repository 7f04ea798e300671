"""The lazy authentication of a request: done once, by the rules of RFC 6750 (KD-08, RF-14, TN-11)."""

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from fastapi_descope import ConfigurationError, CurrentSession, CurrentUser, OptionalUser, get_auth_session
from fastapi_descope._web.auth_scope import request_auth
from fastapi_descope.emulator import Project
from fastapi_descope.errors import Forbidden
from fastapi_descope.events import ConflictingCookies, TokenRejected
from tests.helpers.app_harness import APP, EnvFactory, no_routes

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_kd08_bearer_scheme_is_case_insensitive(make_env: EnvFactory, scheme: str) -> None:
    """The scheme is case-insensitive (RFC 9110)."""
    env = make_env()
    token = env.emulator.issue("ada@acme.example", tenant="acme").session_jwt

    assert (await env.browser().get("/me", authorization=f"{scheme} {token}")).status_code == 200


@pytest.mark.parametrize(
    ("header", "scheme"),
    [
        ("", "other"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer\t{token}", "other"),
        ("Bearer  {token}", None),
        ("Bearer {token} {token}", None),
        ("Bearer {token},{token}", None),
        ("Bearer {token}\t", None),
        ("Basic YTpi", "basic"),
        ("DPoP {token}", "dpop"),
        ("{token}", "other"),
        ("Bearer é{token}", None),
    ],
)
async def test_kd08_any_other_authorization_is_an_invalid_token_and_cookies_do_not_count(
    make_env: EnvFactory, header: str, scheme: str | None
) -> None:
    """401 in spite of a valid session cookie, and nothing is refreshed; no secret is taken for a scheme."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example", tenant="acme")
    headers = [
        (b"authorization", header.format(token=pair.session_jwt).encode("latin-1")),
        (b"cookie", f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}".encode()),
    ]

    response = await env.browser().http.get(APP + "/me", headers=headers)

    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    assert "set-cookie" not in response.headers
    assert env.events == [TokenRejected("malformed", "bearer", scheme)]


async def test_kd08_two_authorization_headers_are_an_invalid_token(make_env: EnvFactory) -> None:
    """It is unknown which one is meant."""
    env = make_env()
    good = f"Bearer {env.emulator.issue('ada@acme.example', tenant='acme').session_jwt}"

    response = await env.browser().http.get(
        APP + "/me", headers=[("authorization", good), ("authorization", good)]
    )

    assert response.status_code == 401


async def test_ck02_two_different_session_cookies_authenticate_no_user(make_env: EnvFactory) -> None:
    """A sibling sub-domain may have planted one of them."""
    env = make_env()
    mine = env.emulator.issue("ada@acme.example", tenant="acme").session_jwt
    planted = env.emulator.issue("hank@globex.example", tenant="globex").session_jwt

    response = await env.browser().get("/me", cookie=f"DS={planted}; DS={mine}")

    assert response.status_code == 401
    assert response.json()["code"] == "conflicting_cookies"
    assert env.events == [ConflictingCookies()]


async def test_rf13_prefetch_refreshes_nothing(make_env: EnvFactory) -> None:
    """The user did not ask for it: the session is unknown, and the cookies stay."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)

    response = await browser.get("/session-of", sec_purpose="prefetch")

    assert response.status_code == 503
    assert "set-cookie" not in response.headers
    assert env.calls("refresh") == 0


async def test_rf13_options_request_refreshes_nothing(make_env: EnvFactory) -> None:
    """A route of the app may respond to OPTIONS and ask for the session."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)

    @env.app.options("/maybe")
    async def maybe(user: OptionalUser) -> bool:
        return user is not None

    assert (await browser.http.options(APP + "/maybe")).json() is False
    assert env.calls("refresh") == 0


async def test_rf13_post_of_the_apps_own_page_refreshes_and_keeps_its_body(make_env: EnvFactory) -> None:
    """A refresh does not read the body."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)

    @env.app.post("/echo")
    async def echo(request: Request, user: CurrentUser) -> str:
        return (await request.body()).decode()

    response = await browser.post("/echo", {"text": "hello"})

    assert response.json() == "text=hello"
    assert len(response.headers.get_list("set-cookie")) == 2
    assert env.calls("refresh") == 1


async def test_refresh_ahead_runs_concurrently_with_the_handler(make_env: EnvFactory) -> None:
    """The handler has the old session, which is still valid; the response has the new cookies."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(560)
    env.emulator.faults.add("refresh", hold=True)

    @env.app.get("/slow")
    async def slow(user: CurrentUser) -> str:
        await env.emulator.faults.wait_until_held()
        env.emulator.faults.release()
        return user.id

    response = await browser.get("/slow")

    assert response.status_code == 200
    assert len(response.headers.get_list("set-cookie")) == 2
    assert env.calls("refresh") == 1


async def test_outage_during_a_refresh_ahead_changes_nothing(make_env: EnvFactory) -> None:
    """The old session is still valid: 200, and the cookies stay."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(560)
    env.emulator.faults.add("refresh", status=500)

    response = await browser.get("/session-of")

    assert response.status_code == 200
    assert "set-cookie" not in response.headers


async def test_rf14_a_response_without_cookies_does_not_lose_the_rotated_token(
    make_env: EnvFactory,
) -> None:
    """The app failed after the refresh, and the server's 500 had no cookies; the next request gets them."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)

    @env.app.get("/broken")
    async def broken(user: CurrentUser) -> None:
        raise RuntimeError(user.id)

    with pytest.raises(RuntimeError):
        await browser.get("/broken")
    env.emulator.clock.advance(200)
    response = await browser.get("/session-of")

    assert response.status_code == 200
    assert len(response.headers.get_list("set-cookie")) == 2
    assert env.calls("refresh") == 1


@pytest.mark.parametrize("status", [418, 403])
async def test_rf14_error_response_carries_the_new_cookies(make_env: EnvFactory, status: int) -> None:
    """It may be an HTTPException or an error of ours, raised after the refresh."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)

    @env.app.get("/refused")
    async def refused(user: CurrentUser) -> None:
        raise HTTPException(status) if status == 418 else Forbidden

    response = await browser.get("/refused")

    assert response.status_code == status
    assert [cookie.partition("=")[0] for cookie in response.headers.get_list("set-cookie")] == ["DS", "DSR"]
    assert response.headers["cache-control"] == "private, no-store"
    assert (await browser.get("/session-of")).status_code == 200
    assert env.calls("refresh") == 1


async def test_kd02_session_token_in_the_refresh_cookie_is_deleted_alone(make_env: EnvFactory) -> None:
    """It is never sent to Descope."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example")

    response = await env.browser().get("/me", cookie=f"DSR={pair.session_jwt}")

    assert response.status_code == 401
    assert [cookie.partition("=")[0] for cookie in response.headers.get_list("set-cookie")] == ["DSR"]
    assert env.calls("refresh") == 0


async def test_ck09_cookies_of_a_route_override_those_of_a_refresh(make_env: EnvFactory) -> None:
    """CK-09: a response never sets and clears the same cookie."""
    env = make_env()
    browser = env.browser()
    await browser.sign_in()
    env.emulator.clock.advance(660)

    @env.app.get("/leave")
    async def leave(request: Request, user: CurrentUser) -> str:
        request_auth(request.scope).cookies.clear()
        return user.id

    response = await browser.get("/leave")

    assert all("Max-Age=0" in cookie for cookie in response.headers.get_list("set-cookie"))
    assert len(response.headers.get_list("set-cookie")) == 2


async def test_added_cookie_is_sent_without_a_session(make_env: EnvFactory) -> None:
    """Like any other, it keeps the response out of shared caches."""
    env = make_env(routes=no_routes)

    @env.app.get("/queue")
    async def queue(request: Request) -> None:
        request_auth(request.scope).cookies.add([b"a=b"])

    response = await env.browser().get("/queue")

    assert response.headers.get_list("set-cookie") == ["a=b"]
    assert response.headers["cache-control"] == "private, no-store"


async def test_mounted_app_of_another_project_is_independent() -> None:
    """With two Descope objects in one process, each request belongs to the innermost one."""
    from tests.helpers.app_harness import build_app_harness  # noqa: PLC0415 - two worlds, by hand

    outer, inner = build_app_harness(), build_app_harness(project=Project(project_id="P2inner" + "0" * 21))
    outer.app.mount("/inner", inner.app)
    theirs = inner.emulator.issue("hank@globex.example", tenant="globex").session_jwt
    ours = outer.emulator.issue("ada@acme.example", tenant="acme").session_jwt
    browser = outer.browser()

    assert (await browser.get("/inner/me", authorization=f"Bearer {theirs}")).json()["tenant"] == "globex"
    assert (await browser.get("/inner/me", authorization=f"Bearer {ours}")).status_code == 401
    assert (await browser.get("/me", authorization=f"Bearer {ours}")).json()["tenant"] == "acme"
    assert (await browser.get("/me", authorization=f"Bearer {theirs}")).status_code == 401


async def test_tn11_a_thousand_concurrent_users_see_themselves() -> None:
    """No request sees the result of another, also when it reads the session a second time."""
    from tests.helpers.app_harness import build_app_harness  # noqa: PLC0415 - with routes of its own

    async def let_others_run() -> None:
        await asyncio.sleep(0)

    def routes(app: FastAPI) -> None:
        @app.get("/who")
        async def who(
            request: Request,
            user: CurrentUser,
            others: Annotated[None, Depends(let_others_run)],
            session: CurrentSession,
        ) -> set[str | None]:
            known = await get_auth_session(request)
            return {user.id, session.user.id, known.user.id if known else None}

    env = build_app_harness(routes=routes)
    tokens = {
        f"U{n}": env.emulator.issue("ada@acme.example", claims={"sub": f"U{n}"}).session_jwt
        for n in range(1000)
    }
    async with httpx.AsyncClient(transport=httpx.ASGITransport(env.app), base_url=APP) as client:
        responses = await asyncio.gather(
            *(client.get("/who", headers={"authorization": f"Bearer {jwt}"}) for jwt in tokens.values())
        )

    assert [response.json() for response in responses] == [[user] for user in tokens]


async def test_tn11_threads_and_background_tasks_see_their_own_user() -> None:
    """The result is in the scope of the request, which no thread shares with another request."""
    from tests.helpers.app_harness import build_app_harness  # noqa: PLC0415 - with routes of its own

    noted: dict[str, str] = {}

    def routes(app: FastAPI) -> None:
        @app.get("/note/{name}")
        def note(name: str, user: CurrentUser, later: BackgroundTasks) -> str:
            later.add_task(noted.__setitem__, name, user.id)
            return user.id

    env = build_app_harness(routes=routes)
    names = [f"U{number}" for number in range(200)]
    tokens = [env.emulator.issue("ada@acme.example", claims={"sub": name}).session_jwt for name in names]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(env.app), base_url=APP) as client:
        responses = await asyncio.gather(
            *(
                client.get(f"/note/{name}", headers={"authorization": f"Bearer {jwt}"})
                for name, jwt in zip(names, tokens, strict=True)
            )
        )

    assert [response.json() for response in responses] == names
    assert noted == {name: name for name in names}


async def test_middleware_outside_ours_gets_an_error_about_the_order(make_env: EnvFactory) -> None:
    """``Descope(app)`` is there; the later middleware runs before it."""
    env = make_env()

    @env.app.middleware("http")
    async def outside(request: Request, call_next: RequestResponseEndpoint) -> Response:
        with pytest.raises(ConfigurationError, match="Add this one before Descope"):
            await get_auth_session(request)
        return await call_next(request)

    assert (await env.browser().get("/public")).status_code == 200
