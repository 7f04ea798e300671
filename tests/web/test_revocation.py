"""A revoked session is over: for requests with cookies and bearers, WebSockets and event streams.

Requirements LO-04, RV-01, RV-02 and RV-03.
"""

import asyncio
import gc
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message
from typing_extensions import override

from fastapi_descope import AuthSession, CurrentCaller, CurrentUser
from fastapi_descope.emulator import Emulator, Project
from fastapi_descope.events import TokenRejected, UserRevoked
from tests.helpers.app_harness import APP, IDP, AppHarness, EnvFactory, add_routes, build_app_harness
from tests.helpers.emulator import signing_key
from tests.helpers.event_loop import run_ready
from tests.helpers.stream_client import StreamClient
from tests.helpers.websocket_client import WebSocketClient

pytestmark = pytest.mark.anyio

ADA = "U22a1322415fff1b1aceaebe7855"

_API = "https://api.example.com"


async def _bearer(env: AppHarness, token: str | None) -> httpx.Response:
    return await env.browser().get("/session-of", authorization=f"Bearer {token}")


def _clears_cookies(response: httpx.Response) -> bool:
    names = {
        value.partition("=")[0] for value in response.headers.get_list("set-cookie") if "Max-Age=0" in value
    }
    return names >= {"DS", "DSR"}


async def test_rv01_lo04_copied_session_token_is_refused_after_a_logout(make_env: EnvFactory) -> None:
    """As a bearer and as a cookie, although it has not expired and was in the cache."""
    env = make_env()
    browser = await env.signed_in_browser()
    token = browser.cookie("DS")
    assert (await _bearer(env, token)).status_code == 200

    await browser.post("/logout")

    response = await _bearer(env, token)
    assert response.status_code == 401
    assert response.json()["code"] == "invalid_token"
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert env.events[-1] == TokenRejected("revoked", "bearer")
    assert (await env.browser(cookie=f"DS={token}").get("/me")).status_code == 401


async def test_rv01_copied_cookies_are_refused_and_cleared_after_a_logout(make_env: EnvFactory) -> None:
    """No call to Descope is made for them."""
    env = make_env()
    browser = await env.signed_in_browser()
    thief = env.browser(cookie=f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}")
    assert (await thief.get("/me")).status_code == 200

    await browser.post("/logout")
    response = await thief.get("/me")

    assert (response.status_code, response.json()["code"]) == (401, "session_ended")
    assert _clears_cookies(response)
    assert env.calls("refresh") == 0


async def test_rv01_session_that_a_refresh_has_issued_in_the_meantime_is_refused(
    make_env: EnvFactory,
) -> None:
    """The logout comes with the token before it: another tab has the new one."""
    env = make_env(project=Project(rotate_refresh=True))
    browser = await env.signed_in_browser()
    old = f"DS={browser.cookie('DS')}; DSR={browser.cookie('DSR')}"
    env.emulator.clock.advance(700)
    assert (await browser.get("/me")).status_code == 200
    renewed = browser.cookie("DS")

    await env.browser(cookie=old).post("/logout")

    assert (await _bearer(env, renewed)).status_code == 401


async def test_rv01_other_sessions_of_the_user_continue_after_a_logout(make_env: EnvFactory) -> None:
    """On another device, also if both have signed in within the same second."""
    env = make_env()
    browser, other = await env.signed_in_browser(), await env.signed_in_browser()

    await browser.post("/logout")

    assert (await other.get("/me")).status_code == 200
    assert (await browser.sign_in()).status_code == 303
    assert (await browser.get("/me")).status_code == 200


async def test_rv01_refresh_token_stays_refused_if_descope_has_not_confirmed_the_logout(
    make_env: EnvFactory,
) -> None:
    """Descope would accept it for weeks."""
    env = make_env()
    browser = await env.signed_in_browser()
    thief = env.browser(cookie=f"DSR={browser.cookie('DSR')}")
    env.emulator.faults.add("logout", status=500)

    await browser.post("/logout")
    env.emulator.clock.advance(24 * 3600)
    response = await thief.get("/me")

    assert (response.status_code, response.json()["code"]) == (401, "session_ended")
    assert env.calls("refresh") == 0


async def test_rv01_logout_without_a_refresh_token_denies_the_session_token(make_env: EnvFactory) -> None:
    """Descope cannot be told, so only this app knows."""
    env = make_env()
    pair = env.emulator.issue("ada@acme.example", "acme")

    response = await env.browser(cookie=f"DS={pair.session_jwt}").post("/logout")

    assert response.status_code == 204
    assert (await _bearer(env, pair.session_jwt)).status_code == 401


async def test_rv02_logout_everywhere_ends_the_sessions_of_all_devices_at_once(make_env: EnvFactory) -> None:
    """Their session tokens have not expired. Other users stay signed in."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(1)  # otherwise both have the same session token
    phone = await env.signed_in_browser()
    hank = env.browser()
    await hank.sign_in("hank@globex.example", "globex")
    assert (await phone.get("/me")).status_code == 200

    await browser.post("/logout/all")

    response = await phone.get("/me")
    assert (response.status_code, response.json()["code"]) == (401, "session_ended")
    assert _clears_cookies(response)
    assert (await hank.get("/me")).status_code == 200


async def test_rv02_login_after_a_revocation_works(make_env: EnvFactory) -> None:
    """Tokens that are issued later are not concerned."""
    env = make_env()
    browser = await env.signed_in_browser()
    await env.descope.revoke_user(ADA)
    env.emulator.clock.advance(1)

    await browser.sign_in()

    assert (await browser.get("/me")).status_code == 200


async def test_rv02_revoked_user_has_no_session_and_cannot_refresh(make_env: EnvFactory) -> None:
    """Not by Descope's doing: it is not called."""
    env = make_env()
    browser = await env.signed_in_browser()
    fresh, refresh = browser.cookie("DS"), browser.cookie("DSR")

    await env.descope.revoke_user(ADA)

    assert (await browser.get("/me")).status_code == 401
    assert (await _bearer(env, fresh)).status_code == 401
    env.emulator.clock.advance(7 * 24 * 3600)
    response = await env.browser(cookie=f"DSR={refresh}").get("/me")
    assert (response.status_code, response.json()["code"]) == (401, "session_ended")
    assert env.calls("refresh") == 0
    assert env.events.count(UserRevoked(ADA, "app")) == 1


async def test_rv02_revocation_during_a_refresh_lets_no_new_token_out(make_env: EnvFactory) -> None:
    """Descope issues the new pair after the revocation."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(700)
    env.emulator.faults.add("refresh", hold=True)
    request = asyncio.ensure_future(browser.get("/me"))
    await env.emulator.faults.wait_until_held()

    await env.descope.revoke_user(ADA)
    env.emulator.clock.advance(2)
    env.emulator.faults.release()

    response = await request
    assert response.status_code == 401
    assert _clears_cookies(response)


async def test_rv02_revocation_during_a_tenant_switch_lets_no_new_token_out(make_env: EnvFactory) -> None:
    """The response is that of a session that has ended."""
    env = make_env()
    browser = await env.signed_in_browser()
    env.emulator.faults.add("select", hold=True)
    request = asyncio.ensure_future(browser.post("/tenant/select", {"tenant": "globex"}))
    await env.emulator.faults.wait_until_held()

    await env.descope.revoke_user(ADA)
    env.emulator.clock.advance(2)
    env.emulator.faults.release()

    response = await request
    assert (response.status_code, response.json()["code"]) == (401, "session_ended")
    assert _clears_cookies(response)


async def test_rv02_revocation_during_the_handler_lets_no_new_token_out(make_env: EnvFactory) -> None:
    """The refresh runs concurrently with the handler, which answers with the session of its start."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    def routes(app: FastAPI) -> None:
        @app.get("/slow")
        async def slow(user: CurrentUser) -> str:
            arrived.set()
            await go_on.wait()
            return user.id

    env = make_env(routes=routes)
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(570)
    request = asyncio.ensure_future(browser.get("/slow"))
    await arrived.wait()
    await env.descope.revoke_user(ADA)
    go_on.set()

    response = await request
    assert response.status_code == 200
    assert response.headers.get_list("set-cookie") == []


async def test_rv02_revocation_during_an_authentication_is_not_forgotten(make_env: EnvFactory) -> None:
    """The result of a request that began before it does not become a known session."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    env = make_env()

    @env.descope.on_session
    async def slow(session: AuthSession) -> None:
        arrived.set()
        await go_on.wait()

    go_on.set()
    await _bearer(env, env.emulator.issue("hank@globex.example").session_jwt)  # fetches the keys
    arrived.clear()
    go_on.clear()
    token = env.emulator.issue("ada@acme.example", "acme").session_jwt
    request = asyncio.ensure_future(_bearer(env, token))
    await arrived.wait()
    await env.descope.revoke_user(ADA)
    go_on.set()
    await request

    assert (await _bearer(env, token)).status_code == 401


async def test_rv02_applications_of_a_revoked_user_are_refused(make_env: EnvFactory) -> None:
    """Their access tokens are of the user, too. Those that act for themselves are not concerned."""

    def routes(app: FastAPI) -> None:
        @app.get("/caller")
        async def caller(caller: CurrentCaller) -> str:
            return type(caller).__name__

    emulator = Emulator(signing_key=signing_key(), base_url=IDP)
    env = make_env(emulator=emulator, routes=routes, resource=_API)
    of_user = emulator.issue_delegate("ada@acme.example", "TPAclient", resources=(_API,))
    of_app = emulator.issue_delegate(None, "TPAclient", resources=(_API,))
    client = env.browser()
    assert (await client.get("/caller", authorization=f"Bearer {of_user}")).json() == "Delegate"

    await env.descope.revoke_user(ADA)

    assert (await client.get("/caller", authorization=f"Bearer {of_user}")).status_code == 401
    assert env.events[-1] == TokenRejected("revoked", "bearer")
    assert (await client.get("/caller", authorization=f"Bearer {of_app}")).json() == "Delegate"


def _socket_routes(app: FastAPI) -> None:
    add_routes(app)

    @app.websocket("/ws")
    async def ws(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect as left:
            app.state.left = left.code


async def _next(socket: WebSocketClient) -> Message:
    """Return the next message of the app, or raise ``TimeoutError``."""
    return await asyncio.wait_for(socket.next(), 60)


async def test_rv03_idle_websocket_of_a_revoked_user_is_closed_at_once(make_env: EnvFactory) -> None:
    """Neither side sends anything. The app sees a disconnect."""
    env = make_env(routes=_socket_routes)
    token = env.emulator.issue("ada@acme.example").session_jwt
    socket = WebSocketClient(env.app, [(b"authorization", f"Bearer {token}".encode())])
    await socket.open()
    socket.send_text("hello")
    assert (await _next(socket))["text"] == "hello"

    await env.descope.revoke_user(ADA)

    assert await _next(socket) == {"type": "websocket.close", "code": 4401, "reason": "session ended"}
    await socket.wait()
    assert env.app.state.left == 4401


async def test_rv03_websocket_of_the_session_of_a_logout_is_closed(make_env: EnvFactory) -> None:
    """That of another session of the user stays open."""
    env = make_env(routes=_socket_routes)
    browser = await env.signed_in_browser()
    env.emulator.clock.advance(1)  # otherwise both have the same session token
    other = await env.signed_in_browser()
    sockets = [
        WebSocketClient(
            env.app,
            [
                (b"cookie", f"DS={each.cookie('DS')}; DSR={each.cookie('DSR')}".encode()),
                (b"origin", APP.encode()),
            ],
        )
        for each in (browser, other)
    ]
    for socket in sockets:
        await socket.open()

    await browser.post("/logout")

    assert (await _next(sockets[0]))["type"] == "websocket.close"
    sockets[1].send_text("still here")
    assert (await _next(sockets[1]))["text"] == "still here"
    sockets[1].disconnect()
    await asyncio.gather(*(socket.wait() for socket in sockets))


async def test_rv03_websocket_that_is_revoked_during_its_handshake_is_closed(make_env: EnvFactory) -> None:
    """It was authenticated before, and accepted afterwards."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    def routes(app: FastAPI) -> None:
        @app.websocket("/ws")
        async def ws(socket: WebSocket, user: CurrentUser) -> None:
            arrived.set()
            await go_on.wait()
            await socket.accept()
            await socket.receive_text()

    env = make_env(routes=routes)
    token = env.emulator.issue("ada@acme.example").session_jwt
    socket = WebSocketClient(env.app, [(b"authorization", f"Bearer {token}".encode())])
    opening = asyncio.ensure_future(socket.open())
    await arrived.wait()
    await env.descope.revoke_user(ADA)
    go_on.set()

    await opening
    assert (await _next(socket))["type"] == "websocket.close"
    await socket.wait()


class _Feed:
    """An endless stream of events."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type
        self.go_on = asyncio.Event()
        self.error: BaseException | None = None

    def add(self, app: FastAPI) -> None:
        """Add its route."""

        @app.get("/feed")
        async def feed(user: CurrentUser) -> StreamingResponse:
            return StreamingResponse(self._events(), media_type=self._media_type)

    async def _events(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "data: news\n\n"
                await self.go_on.wait()
                self.go_on.clear()
        except BaseException as error:
            self.error = error
            raise


@pytest.mark.parametrize("is_expired", [False, True], ids=["known session", "after a refresh"])
async def test_rv03_idle_event_stream_of_a_revoked_user_ends_at_once(
    make_env: EnvFactory, *, is_expired: bool
) -> None:
    """The response is complete, and the app's generator is closed."""
    feed = _Feed("text/event-stream")
    env = make_env(routes=feed.add)
    pair = env.emulator.issue("ada@acme.example", session_seconds=-60 if is_expired else None)
    client = StreamClient(env, f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}")
    assert [(await client.part())["type"] for _ in range(2)] == ["http.response.start", "http.response.body"]

    await env.descope.revoke_user(ADA)

    assert await client.part() == {"type": "http.response.body", "body": b"", "more_body": False}
    await client.wait()
    assert isinstance(feed.error, asyncio.CancelledError)


async def test_event_stream_behind_function_middleware_ends_without_an_error(make_env: EnvFactory) -> None:
    """Such middleware ends the response once more, when it sees that the stream has ended."""
    feed, app = _Feed("text/event-stream"), FastAPI()

    @app.middleware("http")
    async def middleware(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    env = make_env(app=app, routes=feed.add)
    client = StreamClient(env, f"DS={env.emulator.issue('ada@acme.example').session_jwt}")
    assert [(await client.part())["type"] for _ in range(2)] == ["http.response.start", "http.response.body"]

    await env.descope.revoke_user(ADA)
    await client.wait()

    sent = [client.parts.get_nowait() for _ in range(client.parts.qsize())]
    assert sent == [{"type": "http.response.body", "body": b"", "more_body": False}]


async def test_rv03_event_stream_gets_an_error_if_its_server_reports_no_disconnect(
    make_env: EnvFactory,
) -> None:
    """With ASGI 2.4 a disconnect is an ``OSError`` of the next ``send``."""
    feed = _Feed("text/event-stream")
    env = make_env(routes=feed.add)
    pair = env.emulator.issue("ada@acme.example")
    client = StreamClient(env, f"DS={pair.session_jwt}", spec_version="2.4")
    await client.part()
    await client.part()

    await env.descope.revoke_user(ADA)
    feed.go_on.set()
    done, _ = await asyncio.wait([client.done], timeout=60)

    assert done == {client.done}
    assert [client.parts.get_nowait()["body"] for _ in range(client.parts.qsize())] == [b""]


class _GoneClient(StreamClient):
    """A client that disconnects before the end of the response."""

    @override
    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message["more_body"]:
            raise ConnectionResetError  # as servers do (ASGI 2.4)
        await super()._send(message)


async def test_revocation_of_an_event_stream_whose_client_has_disconnected_reports_no_error(
    make_env: EnvFactory,
) -> None:
    """The server has not told the app yet."""
    feed, failures = _Feed("text/event-stream"), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, failure: failures.append(failure))
    env = make_env(routes=feed.add)
    pair = env.emulator.issue("ada@acme.example")
    client = _GoneClient(env, f"DS={pair.session_jwt}", spec_version="2.4")
    await client.part()
    await client.part()

    await env.descope.revoke_user(ADA)
    await run_ready()
    feed.go_on.set()
    await asyncio.wait([client.done], timeout=60)

    assert isinstance(client.done.exception(), ClientDisconnect)
    del client
    gc.collect()  # asyncio reports an exception that was not retrieved when its task is freed
    assert failures == []


async def test_download_of_a_revoked_user_is_completed(make_env: EnvFactory) -> None:
    """To end it early would look like a complete file."""
    feed = _Feed("application/zip")
    env = make_env(routes=feed.add)
    pair = env.emulator.issue("ada@acme.example")
    client = StreamClient(env, f"DS={pair.session_jwt}")
    await client.part()
    await client.part()

    await env.descope.revoke_user(ADA)
    feed.go_on.set()

    assert (await client.part())["body"] == b"data: news\n\n"
    client.done.cancel()
    await asyncio.wait([client.done])


async def test_rv03_event_stream_of_another_session_of_the_user_continues(make_env: EnvFactory) -> None:
    """A logout ends one session."""
    feed = _Feed("text/event-stream")
    env = make_env(routes=feed.add)
    pair = env.emulator.issue("ada@acme.example")
    env.emulator.clock.advance(1)  # otherwise both have the same session token
    other = env.emulator.issue("ada@acme.example")
    client = StreamClient(env, f"DS={pair.session_jwt}")
    await client.part()
    await client.part()

    await env.browser(cookie=f"DS={other.session_jwt}; DSR={other.refresh_jwt}").post("/logout")
    feed.go_on.set()

    assert (await client.part())["body"] == b"data: news\n\n"
    client.done.cancel()
    await asyncio.wait([client.done])


async def test_finished_event_stream_is_left_alone(make_env: EnvFactory) -> None:
    """Its response is complete already."""

    def routes(app: FastAPI) -> None:
        @app.get("/feed")
        async def feed(user: CurrentUser) -> StreamingResponse:
            return StreamingResponse(iter(["data: one\n\n"]), media_type="text/event-stream")

    env = make_env(routes=routes)
    pair = env.emulator.issue("ada@acme.example")
    client = StreamClient(env, f"DS={pair.session_jwt}")
    await client.wait()

    await env.descope.revoke_user(ADA)

    assert client.parts.qsize() == 3


async def test_revocations_of_a_test_end_with_its_emulator() -> None:
    """``override_upstream`` begins without revocations, and the app's own come back afterwards."""
    env = build_app_harness()
    browser = await env.signed_in_browser()
    other = Emulator(signing_key=signing_key(), base_url=env.emulator.base_url)
    with env.descope.override_upstream(httpx.ASGITransport(other), clock=other.clock):
        await env.descope.revoke_user(ADA)
        assert (await browser.get("/me")).status_code == 401

    assert (await browser.get("/me")).status_code == 200
