"""WebSockets: the same session, the Origin checked, and an end when the session ends.

Requirements WS-01, WS-02, WS-03, WS-04 and WS-05.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from fastapi_descope import CurrentUser, OptionalUser, get_auth_session
from tests.helpers.app_harness import APP, AppHarness, EnvFactory, no_routes
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


def last_second(env: AppHarness) -> WebSocketClient:
    """A connection whose session ends in a second: a whole one, though tokens know of no parts of it."""
    env.emulator.clock.advance(-(env.emulator.clock() % 1))
    pair = env.emulator.issue("ada@acme.example", session_seconds=1)
    return WebSocketClient(env.app, [(b"authorization", f"Bearer {pair.session_jwt}".encode())])


async def test_a_cookie_session_of_our_own_page_is_let_in(make_env: EnvFactory) -> None:
    """The same dependency as over HTTP."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env))

    assert (await socket.open())["type"] == "websocket.accept"
    assert (await socket.next())["text"] == "U22a1322415fff1b1aceaebe7855"
    socket.say("hello")
    assert (await socket.next())["text"] == "hello"
    socket.hang_up()
    await socket.done()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None, "http://127.0.0.1:8001"])
async def test_ws01_a_cookie_session_of_a_foreign_page_is_refused(
    make_env: EnvFactory, origin: str | None
) -> None:
    """Browsers send cookies along and do not stop this themselves; the handler does not run."""
    env = make_env(routes=_echo)

    response = await WebSocketClient(env.app, _cookies(env, origin=origin)).open()

    assert response == {"type": "websocket.close", "code": 1008, "reason": "cross_site_request"}


async def test_ws01_where_the_server_can_the_refusal_is_an_http_answer(make_env: EnvFactory) -> None:
    """403 with the problem document."""
    env = make_env(routes=_echo)

    response = await WebSocketClient(env.app, _cookies(env, origin=None), denial=True).open()

    assert response["type"] == "websocket.http.response.start"
    assert response["status"] == 403


async def test_ws02_a_bearer_needs_no_origin(make_env: EnvFactory) -> None:
    """It is not sent by itself, so no page can abuse it."""
    env = make_env(routes=_echo)
    token = env.emulator.issue("ada@acme.example").session_jwt
    socket = WebSocketClient(env.app, [(b"authorization", f"Bearer {token}".encode())])

    assert (await socket.open())["type"] == "websocket.accept"
    socket.hang_up()
    await socket.done()


@pytest.mark.parametrize("name", ["token", "access_token", "DS", "authorization"])
async def test_ws02_a_token_in_the_address_is_nobodys(make_env: EnvFactory, name: str) -> None:
    """Addresses are logged by everybody on the way."""
    env = make_env(routes=_echo)
    token = env.emulator.issue("ada@acme.example").session_jwt

    response = await WebSocketClient(env.app, [], query=f"{name}={token}".encode()).open()

    assert response == {"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}


async def test_ws02_a_token_as_a_subprotocol_is_nobodys(make_env: EnvFactory) -> None:
    """It is no place for secrets either: servers echo it."""
    env = make_env(routes=_echo)
    token = env.emulator.issue("ada@acme.example").session_jwt

    response = await WebSocketClient(
        env.app, [(b"sec-websocket-protocol", f"bearer, {token}".encode())]
    ).open()

    assert response == {"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}


async def test_nobody_is_closed_with_4401(make_env: EnvFactory) -> None:
    """It means "sign in again", in a code of the application's range."""
    env = make_env(routes=_echo)

    response = await WebSocketClient(env.app, []).open()

    assert response == {"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}


async def test_an_outage_is_try_again_later(make_env: EnvFactory) -> None:
    """1013, and no word about the session."""
    env = make_env(routes=_echo)
    env.emulator.faults.add("refresh", status=500)

    response = await WebSocketClient(env.app, _cookies(env, expired=True)).open()

    assert response == {"type": "websocket.close", "code": 1013, "reason": "upstream_unavailable"}


async def test_ws03_an_expired_session_is_refreshed_and_the_cookies_go_with_accept(
    make_env: EnvFactory,
) -> None:
    """The handshake's answer is the only place for them."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env, expired=True))

    accepted = await socket.open()

    names = [value.partition(b"=")[0] for name, value in accepted["headers"] if name == b"set-cookie"]
    assert names == [b"DS", b"DSR"]
    assert {name for name, _ in accepted["headers"]} == {b"set-cookie"}
    socket.hang_up()
    await socket.done()


async def test_ws03_after_accept_nothing_is_refreshed(make_env: EnvFactory) -> None:
    """The pair would be lost: there is no way to hand it over any more."""
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
    await socket.done()


async def test_ws04_a_frame_after_the_sessions_end_closes_the_socket(make_env: EnvFactory) -> None:
    """4401 instead of the frame; the app sees a disconnect, as if the client had gone."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    await socket.next()
    env.emulator.clock.advance(606)

    socket.say("too late")
    closed = await socket.next()
    await socket.done()

    assert closed == {"type": "websocket.close", "code": 4401, "reason": "session ended"}
    assert env.app.state.left == 4401
    assert socket.sent[-1] == closed


async def test_ws04_a_frame_to_the_client_after_the_sessions_end_is_not_sent(
    make_env: EnvFactory,
) -> None:
    """A feed that only sends is closed just as well, and once."""
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
    await socket.done()

    assert [message["type"] for message in socket.sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]


async def test_ws04_a_silent_socket_is_closed_by_the_timer(make_env: EnvFactory) -> None:
    """Nobody says anything; a second after the end it is closed all the same."""
    env = make_env(routes=_echo, leeway=0)
    socket = last_second(env)
    await socket.open()
    await socket.next()

    async with asyncio.timeout(3):
        assert (await socket.next())["code"] == 4401
        await socket.done()


async def test_ws04_a_socket_whose_app_never_listens_is_closed_by_the_timer(make_env: EnvFactory) -> None:
    """It only pushes, and not just now. Its next frame fails as after a client that left: no error."""
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

    socket = last_second(env)
    await socket.open()
    async with asyncio.timeout(3):
        assert (await socket.next())["code"] == 4401
    closed.set()
    await socket.done()

    assert failed.is_set()
    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]


async def test_what_an_app_closes_after_the_sessions_end_is_closed_already(make_env: EnvFactory) -> None:
    """An app that tidies up after the disconnect does nothing wrong, and nothing twice."""
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
    await socket.done()

    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]
    assert socket.sent[-1]["code"] == 4401


async def test_a_client_that_leaves_an_app_unprepared_is_the_servers_affair(make_env: EnvFactory) -> None:
    """What the app raises for its own reasons goes on."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def unprepared(socket: WebSocket, user: CurrentUser) -> None:
        await socket.accept()
        await socket.receive_text()

    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    socket.hang_up()

    with pytest.raises(WebSocketDisconnect):
        await socket.done()


async def test_ws04_an_app_that_asks_after_accept_is_closed_by_the_timer_too(
    make_env: EnvFactory,
) -> None:
    """The end is known from then on."""
    env = make_env(routes=no_routes, leeway=0)

    @env.app.websocket("/ws")
    async def late(socket: WebSocket) -> None:
        await socket.accept()
        await get_auth_session(socket)
        await socket.send_text("hello")
        await asyncio.Event().wait()

    socket = last_second(env)
    await socket.open()
    await socket.next()
    async with asyncio.timeout(3):
        assert (await socket.next())["code"] == 4401
    await socket.abandon()


async def test_ws05_an_error_after_the_close_says_nothing_more(make_env: EnvFactory) -> None:
    """The app closed, or we did; a second close would be an error of the server."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def late(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close(4000)
        await _pending(socket)

    socket = WebSocketClient(env.app, [])
    await socket.open()
    await socket.next()
    await socket.done()

    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.close"]


@pytest.mark.parametrize("denial", [False, True])
async def test_ws05_a_refusal_is_the_only_word(make_env: EnvFactory, *, denial: bool) -> None:
    """One close, or one HTTP answer where the server has those; never an accept beside it."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, [], denial=denial)

    await socket.open()
    await socket.done()

    kinds = [message["type"] for message in socket.sent]
    refusal = ["websocket.http.response.start", "websocket.http.response.body"]
    assert kinds == (refusal if denial else ["websocket.close"])


async def test_ws05_the_app_accepts_and_nobody_else(make_env: EnvFactory) -> None:
    """One accept, the app's own, also where cookies went out with it."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env, expired=True))
    await socket.open()
    await socket.next()
    socket.hang_up()
    await socket.done()

    assert [message["type"] for message in socket.sent] == ["websocket.accept", "websocket.send"]


async def test_a_client_that_left_before_the_end_is_not_closed_again(make_env: EnvFactory) -> None:
    """The app gets the client's own code, and nothing is sent to a dead socket."""
    env = make_env(routes=_echo)
    socket = WebSocketClient(env.app, _cookies(env))
    await socket.open()
    await socket.next()
    env.emulator.clock.advance(606)

    socket.hang_up()
    await socket.done()

    assert env.app.state.left == 1001


@pytest.mark.parametrize(("routes", "first"), [(_open_to_all, "nobody"), (_unasked, "hello")])
async def test_a_socket_without_a_session_lives_on(
    make_env: EnvFactory, routes: Callable[[FastAPI], None], first: str
) -> None:
    """Where nobody is signed in there is nothing to end."""
    env = make_env(routes=routes)
    socket = WebSocketClient(env.app, [])
    await socket.open()
    env.emulator.clock.advance(10_000)

    socket.say("hello")

    assert (await socket.next())["text"] == first
    socket.hang_up()
    await socket.done()


async def test_a_receive_that_was_given_up_loses_no_frame(make_env: EnvFactory) -> None:
    """An app that waits for a frame with a timeout, and later again, gets the frame that came meanwhile."""
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

    socket.say("hello")

    assert (await socket.next())["text"] == "hello"
    socket.hang_up()
    await socket.done()


async def test_an_error_of_ours_after_accept_closes_the_socket(make_env: EnvFactory) -> None:
    """No HTTP answer is possible any more."""
    env = make_env(routes=no_routes)

    @env.app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        await _pending(socket)

    socket = WebSocketClient(env.app, [], denial=True)
    await socket.open()

    assert (await socket.next())["code"] == 4401
    await socket.done()


async def _pending(socket: WebSocket) -> object:
    from fastapi_descope._web.request_auth import request_auth  # noqa: PLC0415 - one use

    return await request_auth(socket.scope).require()
