"""WebSockets: the same session, a check of Origin, and a close when the session ends.

Requirements WS-01, WS-02, WS-03, WS-04 and WS-05.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from fastapi_descope import CurrentUser, OptionalUser, get_auth_session
from tests.helpers.app_harness import APP, AppHarness, EnvFactory, no_routes
from tests.helpers.event_loop import in_virtual_time
from tests.helpers.websocket_client import Headers, WebSocketClient

pytestmark = pytest.mark.anyio


def _echo(app: FastAPI) -> None:
    @app.websocket("/ws")
    async def ws(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.send_text(user.id)
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect as left:
            app.state.left = left.code


def _open_to_all(app: FastAPI) -> None:
    @app.websocket("/ws")
    async def ws(socket: WebSocket, user: OptionalUser) -> None:
        await socket.accept()
        await socket.send_text(user.id if user else "nobody")
        await socket.receive_text()


def _unasked(app: FastAPI) -> None:
    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())


def _cookies(env: AppHarness, *, expired: bool = False, origin: str | None = APP) -> Headers:
    pair = env.emulator.issue("ada@acme.example", tenant="acme", session_seconds=-60 if expired else None)
    cookie = (b"cookie", f"DS={pair.session_jwt}; DSR={pair.refresh_jwt}".encode())
    return [cookie] + ([(b"origin", origin.encode())] if origin else [])


def last_minute(env: AppHarness) -> WebSocketClient:
    """Return a connection whose session ends within a minute."""
    pair = env.emulator.issue("ada@acme.example", session_seconds=60)
    return WebSocketClient(env.app, [(b"authorization", f"Bearer {pair.session_jwt}".encode())])


async def test_cookie_session_of_the_apps_own_page_is_accepted(make_env: EnvFactory) -> None:
    """The dependency is the same as for HTTP."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env))

    assert (await socket.open())["type"] == "websocket.accept"
    assert (await socket.next())["text"] == "U22a1322415fff1b1aceaebe7855"
    socket.send_text("hello")
    assert (await socket.next())["text"] == "hello"
    socket.disconnect()
    await socket.wait()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None, "http://127.0.0.1:8001"])
async def test_ws01_cookie_session_of_another_sites_page_is_rejected(
    make_env: EnvFactory, origin: str | None
) -> None:
    """Browsers send the cookies and do not prevent this; the handler does not run."""
    env = make_env(routes=_echo)

    response = await WebSocketClient(env.app, _cookies(env, origin=origin)).open()

    assert response == {"type": "websocket.close", "code": 1008, "reason": "cross_site_request"}


async def test_ws01_rejection_is_an_http_response_if_the_server_supports_it(make_env: EnvFactory) -> None:
    """403 with a problem document."""
    env = make_env(routes=_echo)

    response = await WebSocketClient(env.app, _cookies(env, origin=None), denial=True).open()

    assert response["type"] == "websocket.http.response.start"
    assert response["status"] == 403


async def test_ws02_bearer_needs_no_origin(make_env: EnvFactory) -> None:
    """A browser does not send it by itself, so no page can abuse it."""
    env = make_env(routes=_echo)
    token = env.emulator.issue("ada@acme.example").session_jwt
    socket = WebSocketClient(env.app, [(b"authorization", f"Bearer {token}".encode())])

    assert (await socket.open())["type"] == "websocket.accept"
    socket.disconnect()
    await socket.wait()


@pytest.mark.parametrize("name", ["token", "access_token", "DS", "authorization"])
async def test_ws02_token_in_the_query_does_not_count(make_env: EnvFactory, name: str) -> None:
    """Servers and proxies log URLs."""
    env = make_env(routes=_echo)
    token = env.emulator.issue("ada@acme.example").session_jwt

    response = await WebSocketClient(env.app, [], query=f"{name}={token}".encode()).open()

    assert response == {"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}


async def test_ws02_token_as_a_subprotocol_does_not_count(make_env: EnvFactory) -> None:
    """Servers echo subprotocols."""
    env = make_env(routes=_echo)
    token = env.emulator.issue("ada@acme.example").session_jwt

    response = await WebSocketClient(
        env.app, [(b"sec-websocket-protocol", f"bearer, {token}".encode())]
    ).open()

    assert response == {"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}


async def test_unauthenticated_websocket_is_closed_with_4401(make_env: EnvFactory) -> None:
    """The code is in the range of applications and means "sign in again"."""
    env = make_env(routes=_echo)

    response = await WebSocketClient(env.app, []).open()

    assert response == {"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}


async def test_outage_closes_with_try_again_later(make_env: EnvFactory) -> None:
    """The code is 1013, and it says nothing about the session."""
    env = make_env(routes=_echo)
    env.emulator.faults.add("refresh", status=500)

    response = await WebSocketClient(env.app, _cookies(env, expired=True)).open()

    assert response == {"type": "websocket.close", "code": 1013, "reason": "upstream_unavailable"}


async def test_ws03_accept_carries_the_cookies_of_a_refresh(
    make_env: EnvFactory,
) -> None:
    """The handshake's response is the only place for them."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env, expired=True))

    accepted = await socket.open()

    names = [value.partition(b"=")[0] for name, value in accepted["headers"] if name == b"set-cookie"]
    assert names == [b"DS", b"DSR"]
    assert {name for name, _ in accepted["headers"]} == {b"set-cookie"}
    socket.disconnect()
    await socket.wait()


async def test_ws03_after_accept_nothing_is_refreshed(make_env: EnvFactory) -> None:
    """The new tokens would be lost: no response could carry them."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        found = await get_auth_session(socket)
        await socket.send_text("somebody" if found else "nobody")

    socket = WebSocketClient(env.app, _cookies(env, expired=True))
    await socket.open()

    assert (await socket.next())["text"] == "nobody"
    assert env.calls("refresh") == 0
    await socket.wait()


async def test_ws04_frame_after_the_end_of_the_session_closes_the_websocket(make_env: EnvFactory) -> None:
    """The app gets a disconnect message, as if the client had closed."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    await socket.next()
    env.emulator.clock.advance(606)

    socket.send_text("too late")
    closed = await socket.next()
    await socket.wait()

    assert closed == {"type": "websocket.close", "code": 4401, "reason": "session ended"}
    assert env.app.state.left == 4401
    assert socket.sent[-1] == closed


async def test_ws04_frame_to_the_client_after_the_end_of_the_session_is_not_sent(
    make_env: EnvFactory,
) -> None:
    """An app that only sends is closed too, and once."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def feed(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.send_text("one")
        env.emulator.clock.advance(606)
        await socket.send_text("two")
        await socket.send_text("three")

    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    await socket.next()
    await socket.wait()

    assert [message["type"] for message in socket.sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]


@in_virtual_time
async def test_ws04_idle_websocket_is_closed_by_the_timer(make_env: EnvFactory) -> None:
    """No frame arrives; it is closed within a second after the end."""
    env = make_env(routes=_echo, leeway=0)
    socket = last_minute(env)
    await socket.open()
    await socket.next()

    async with asyncio.timeout(61):
        assert (await socket.next())["code"] == 4401
        await socket.wait()


@in_virtual_time
async def test_ws04_websocket_whose_app_never_receives_is_closed_by_the_timer(make_env: EnvFactory) -> None:
    """Its next send fails as after a disconnect of the client, which is no error of the app."""
    env = make_env(routes=no_routes, leeway=0)
    closed, failed = asyncio.Event(), asyncio.Event()

    @env.app.websocket("/ws")
    async def push(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await closed.wait()
        try:
            await socket.send_text("too late")
        except WebSocketDisconnect:
            failed.set()
            raise

    socket = last_minute(env)
    await socket.open()
    async with asyncio.timeout(61):
        assert (await socket.next())["code"] == 4401
    closed.set()
    await socket.wait()

    assert failed.is_set()
    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]


async def test_close_by_the_app_after_the_end_of_the_session_is_ignored(make_env: EnvFactory) -> None:
    """An app that cleans up after the disconnect does nothing wrong."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def tidy(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        env.emulator.clock.advance(606)
        with suppress(WebSocketDisconnect):
            await socket.receive_text()
        await socket.close()

    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    await socket.wait()

    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]
    assert socket.sent[-1]["code"] == 4401


async def test_exceptions_of_the_app_after_a_disconnect_are_raised(make_env: EnvFactory) -> None:
    """They have other reasons than the end of the session."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def unprepared(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.receive_text()

    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    socket.disconnect()

    with pytest.raises(WebSocketDisconnect):
        await socket.wait()


@in_virtual_time
async def test_ws04_timer_starts_when_the_app_asks_for_the_session_after_accept(
    make_env: EnvFactory,
) -> None:
    """The end of the session is known from then on."""
    env = make_env(routes=no_routes, leeway=0)

    @env.app.websocket("/ws")
    async def late(socket: WebSocket) -> None:
        await socket.accept()
        await get_auth_session(socket)
        await socket.send_text("hello")
        await asyncio.Event().wait()

    socket = last_minute(env)
    await socket.open()
    await socket.next()
    async with asyncio.timeout(61):
        assert (await socket.next())["code"] == 4401
    await socket.cancel()


async def test_ws05_error_after_the_close_sends_nothing(make_env: EnvFactory) -> None:
    """Either the app closed, or we did; a second close would be a server error."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def late(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(4000)
        await _pending(socket)

    socket = WebSocketClient(env.app, [])
    await socket.open()
    await socket.next()
    await socket.wait()

    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]


@pytest.mark.parametrize("denial", [False, True])
async def test_ws05_rejection_is_the_only_message(make_env: EnvFactory, *, denial: bool) -> None:
    """One close, or one HTTP response if the server supports it, and never an accept too."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, [], denial=denial)

    await socket.open()
    await socket.wait()

    kinds = [message["type"] for message in socket.sent]
    refusal = ["websocket.http.response.start", "websocket.http.response.body"]
    assert kinds == (refusal if denial else ["websocket.close"])


async def test_ws05_only_the_app_accepts(make_env: EnvFactory) -> None:
    """There is one accept, also if it carries cookies."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env, expired=True))
    await socket.open()
    await socket.next()
    socket.disconnect()
    await socket.wait()

    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.send"]


async def test_websocket_that_the_client_closed_is_not_closed_again(make_env: EnvFactory) -> None:
    """The app gets the client's own code, and nothing is sent."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    await socket.next()
    env.emulator.clock.advance(606)

    socket.disconnect()
    await socket.wait()

    assert env.app.state.left == 1001


@pytest.mark.parametrize(("routes", "first"), [(_open_to_all, "nobody"), (_unasked, "hello")])
async def test_websocket_without_a_session_is_not_closed(
    make_env: EnvFactory, routes: Callable[[FastAPI], None], first: str
) -> None:
    """There is no session that could end."""
    env = make_env(routes=routes)
    socket = WebSocketClient(env.app, [])
    await socket.open()
    env.emulator.clock.advance(10_000)

    socket.send_text("hello")

    assert (await socket.next())["text"] == first
    socket.disconnect()
    await socket.wait()


async def test_cancelled_receive_loses_no_frame(make_env: EnvFactory) -> None:
    """An app that receives with a timeout and then again gets the frame that arrived in between."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def ws(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        waiting = asyncio.ensure_future(socket.receive_text())
        await asyncio.sleep(0)
        waiting.cancel()
        await socket.send_text("still here")
        await socket.send_text(await socket.receive_text())

    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    await socket.next()

    socket.send_text("hello")

    assert (await socket.next())["text"] == "hello"
    socket.disconnect()
    await socket.wait()


async def test_our_error_after_accept_closes_the_websocket(make_env: EnvFactory) -> None:
    """An HTTP response is no longer possible."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        await _pending(socket)

    socket = WebSocketClient(env.app, [], denial=True)
    await socket.open()

    assert (await socket.next())["code"] == 4401
    await socket.wait()


async def _pending(socket: WebSocket) -> object:
    from fastapi_descope._web.auth_scope import request_auth  # noqa: PLC0415 - one use

    return await request_auth(socket.scope).require()


async def test_ws04_close_code_is_configurable(make_env: EnvFactory) -> None:
    """Some client libraries never connect again after 4401. A new connection refreshes the session."""
    env = make_env(routes=_echo, websocket_close_code=3000)
    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    await socket.next()
    env.emulator.clock.advance(606)
    socket.send_text("too late")

    closed = await socket.next()
    await socket.wait()
    again = await WebSocketClient(env.app, socket.headers).open()
    refused = await WebSocketClient(env.app, []).open()

    assert closed == {"type": "websocket.close", "code": 3000, "reason": "session ended"}
    assert env.app.state.left == 3000
    assert again["type"] == "websocket.accept"
    assert refused == {"type": "websocket.close", "code": 3000, "reason": "not_authenticated"}
