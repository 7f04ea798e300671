"""Faults of the connection itself, on a raw socket and in-process."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from threading import Semaphore
from typing import Literal

import httpx
import pytest
from starlette.types import Message, Scope, Send

from fastapi_descope.emulator import Emulator, Project
from fastapi_descope.emulator.server import running

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]

REFRESH = "/v1/auth/refresh"


@pytest.fixture
def emulator(make: Make) -> Emulator:
    """An emulator that does not wait for delays, with a refresh token to rotate."""
    return make(Project(rotate_refresh=True))


@pytest.fixture
def port(emulator: Emulator) -> Iterator[int]:
    """The port on which the emulator listens."""
    with running(emulator) as base_url:
        yield httpx.URL(base_url).port or 0


def connect(port: int) -> socket.socket:
    """Return a function that opens a connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def ask(line: socket.socket, path: str, *headers: str, body: bytes = b"") -> None:
    """Send a request: GET, or POST with a body."""
    method = "POST" if body else "GET"
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers]
    line.sendall("\r\n".join([*head, "", ""]).encode() + body)


def everything(line: socket.socket) -> bytes:
    """Return all bytes up to the regular end of the connection.

    Raises:
        ConnectionResetError: The connection was reset.
    """
    received = b""
    while chunk := line.recv(4096):
        received += chunk
    return received


def test_reset_sends_a_tcp_reset_and_no_bytes(
    emulator: Emulator, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client gets a TCP reset without a byte, and nothing is printed."""
    emulator.faults.add("keys", cut="reset")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert [one.status for one in emulator.requests] == [None]
    assert capfd.readouterr() == ("", "")


def test_reset_while_the_client_is_sending(
    emulator: Emulator, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client gets the reset whether or not its body was read, and nothing is printed."""
    emulator.faults.add("refresh", cut="reset")
    with connect(port) as line:
        ask(line, REFRESH, body=b"{}")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert capfd.readouterr() == ("", "")


def test_close_sends_half_of_the_body(
    emulator: Emulator, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client gets the headers, half of the announced bytes, and the end of the connection."""
    emulator.faults.add("keys", cut="close", status=200, body=b"0123456789")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}")
        head, _, body = everything(line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 10" in head
    assert body == b"01234"
    assert capfd.readouterr() == ("", "")


def test_close_cuts_the_real_response(emulator: Emulator, port: int) -> None:
    """A fault without a response of its own cuts the endpoint's."""
    emulator.faults.add("keys", cut="close")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}")
        head, _, body = everything(line).partition(b"\r\n\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(body) == promised // 2 > 0


def test_concurrent_calls_get_their_own_faults(emulator: Emulator, port: int) -> None:
    """Of several concurrent calls on different connections, each gets its own fault."""
    lines = [connect(port) for _ in range(6)]
    path = f"/v2/keys/{emulator.project_id}"
    emulator.faults.add("keys", times=3, hold=True, cut="reset")
    for line in lines[::2]:
        ask(line, path)
    asyncio.run(emulator.faults.wait_until_held(3))
    emulator.faults.add("keys", times=3, hold=True)
    for line in lines[1::2]:
        ask(line, path)
    asyncio.run(emulator.faults.wait_until_held(6))
    emulator.faults.release()
    for line in lines[::2]:
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    for line in lines[1::2]:
        assert line.recv(12) == b"HTTP/1.1 200"
    for line in lines:
        line.close()


def test_connection_works_until_the_faulty_call(emulator: Emulator, port: int) -> None:
    """A kept-alive connection works until the faulty call, and other connections work after it."""
    path = f"/v2/keys/{emulator.project_id}"
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.get(path).status_code == 200
        emulator.faults.add("keys", cut="reset")
        with pytest.raises(httpx.ReadError):
            client.get(path)
        assert client.get(path).status_code == 200


def test_client_that_disconnects_before_the_cut(
    emulator: Emulator, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """There is no connection to cut then, and other clients are unaffected."""
    emulator.faults.add("keys", hold=True, cut="reset")
    line = connect(port)
    ask(line, f"/v2/keys/{emulator.project_id}")
    asyncio.run(emulator.faults.wait_until_held())
    line.close()
    emulator.faults.release()
    assert httpx.get(f"http://127.0.0.1:{port}/v2/keys/{emulator.project_id}").status_code == 200
    assert capfd.readouterr() == ("", "")


def test_forwarding_headers_do_not_select_the_connection(emulator: Emulator, port: int) -> None:
    """The connection to close is determined by the socket, not by headers of the client."""
    emulator.faults.add("keys", cut="reset")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}", "X-Forwarded-For: 10.0.0.1")
        with pytest.raises(ConnectionResetError):
            line.recv(1)


def test_drip_sends_the_body_byte_by_byte(emulator: Emulator, port: int) -> None:
    """The body comes one byte at a time, and is complete in the end."""
    emulator.faults.add("keys", drip=0.001, status=200, body=b"drip")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}", "Connection: close")
        assert everything(line).endswith(b"\r\n\r\ndrip")


def test_shutdown_releases_waiting_calls(capfd: pytest.CaptureFixture[str]) -> None:
    """At shutdown the rest of all responses is sent at once, and nothing is printed."""
    waiting = Semaphore(0)

    async def pause(seconds: float) -> None:
        waiting.release()
        await asyncio.sleep(seconds)

    emulator = Emulator(pause=pause)
    emulator.faults.add("keys", drip=3600, status=200, body=b"drip")
    emulator.faults.add("keys", delay=3600, status=200, body=b"late")
    with running(emulator) as base_url:
        lines = [connect(httpx.URL(base_url).port or 0) for _ in range(2)]
        for line in lines:
            ask(line, f"/v2/keys/{emulator.project_id}", "Connection: close")
            assert waiting.acquire(timeout=60)
    for line, body in zip(lines, (b"drip", b"late"), strict=True):
        assert everything(line).endswith(b"\r\n\r\n" + body)
        line.close()
    assert capfd.readouterr() == ("", "")


async def test_in_process_reset_raises(call: Call, make: Make) -> None:
    """Without a connection the client gets ConnectionResetError."""
    emulator = make()
    emulator.faults.add("keys", cut="reset")
    with pytest.raises(ConnectionResetError):
        await call(emulator, "GET", f"/v2/keys/{emulator.project_id}")
    assert [one.status for one in emulator.requests] == [None]


async def test_in_process_close_raises_after_half_of_the_body(make: Make) -> None:
    """Half of the body is sent as an unfinished one, followed by the exception."""
    sent: list[Message] = []
    emulator = make()
    emulator.faults.add("keys", cut="close", body=b"0123456789")
    with pytest.raises(ConnectionResetError):
        await emulator(_keys(emulator), _receive, _into(sent))
    assert [message.get("status") or message["body"] for message in sent] == [200, b"01234"]
    assert sent[-1]["more_body"] is True


@pytest.mark.parametrize("cut", ["reset", "close"])
async def test_cut_after_the_work_uses_up_the_refresh_token(
    call: Call, make: Make, cut: Literal["reset", "close"]
) -> None:
    """With ``when="after"`` the refresh token is used up, and no client has the next one."""
    emulator = make(Project(rotate_refresh=True))
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.faults.add("refresh", cut=cut, when="after")
    with pytest.raises(ConnectionResetError):
        await call(emulator, "POST", REFRESH, token=token)
    assert (await call(emulator, "POST", REFRESH, token=token)).json()["errorCode"] == "E064006"


async def test_cut_before_the_work_keeps_the_refresh_token(call: Call, make: Make) -> None:
    """By default the endpoint does no work, so the refresh token stays valid."""
    emulator = make(Project(rotate_refresh=True))
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.faults.add("refresh", cut="reset")
    with pytest.raises(ConnectionResetError):
        await call(emulator, "POST", REFRESH, token=token)
    assert (await call(emulator, "POST", REFRESH, token=token)).status_code == 200


@pytest.mark.parametrize(
    ("body", "cut", "pauses", "pieces"),
    [
        (b"drip", None, 3, [b"d", b"r", b"i", b"p", b""]),
        (b"drip", "close", 1, [b"d", b"r"]),
        (b"d", None, 0, [b"d", b""]),
        (b"", None, 0, [b"", b""]),
    ],
)
async def test_drip_pauses_between_bytes_only(
    body: bytes, cut: Literal["close"] | None, pauses: int, pieces: list[bytes]
) -> None:
    """There is no pause before the first byte or after the last."""
    waited: list[float] = []
    sent: list[Message] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    emulator = Emulator(pause=pause)
    emulator.faults.add("keys", drip=0.5, body=body, cut=cut)
    with suppress(ConnectionResetError):
        await emulator(_keys(emulator), _receive, _into(sent))
    assert waited == [0.5] * pauses
    assert [message["body"] for message in sent[1:]] == pieces


async def test_clear_ends_a_delay_at_once(call: Call, make: Make) -> None:
    """Clearing the faults completes a delayed call at once."""
    emulator = make()
    emulator.faults.add("me", delay=3600)
    emulator.faults.add("me", hold=True)
    async with asyncio.TaskGroup() as group:
        delayed = group.create_task(call(emulator, "GET", "/v1/auth/me"))
        call_task = group.create_task(call(emulator, "GET", "/v1/auth/me"))
        await emulator.faults.wait_until_held()
        emulator.faults.clear()
    assert [delayed.result().status_code, call_task.result().status_code] == [401, 401]


async def test_exception_of_pause_is_raised(call: Call) -> None:
    """An exception of ``pause`` does not count as time that has passed."""

    async def pause(_: float) -> None:
        await asyncio.sleep(0)
        raise TimeoutError

    emulator = Emulator(pause=pause)
    emulator.faults.add("me", delay=1)
    with pytest.raises(TimeoutError):
        await call(emulator, "GET", "/v1/auth/me")


def test_reset_with_a_response_is_rejected(make: Make) -> None:
    """A response that the client would never receive is an error."""
    faults, message = make().faults, "a reset replaces the response"
    with pytest.raises(ValueError, match=message):
        faults.add("keys", cut="reset", status=500)
    with pytest.raises(ValueError, match=message):
        faults.add("keys", cut="reset", body=b"")
    with pytest.raises(ValueError, match=message):
        faults.add("keys", cut="reset", drip=1)


def test_negative_numbers_are_rejected(make: Make) -> None:
    """Negative waits, and fewer than one call, are errors."""
    faults, message = make().faults, "delay and drip must be 0 or more seconds"
    with pytest.raises(ValueError, match=message):
        faults.add("keys", delay=-1)
    with pytest.raises(ValueError, match=message):
        faults.add("keys", drip=-0.1)
    with pytest.raises(ValueError, match="times must be positive"):
        faults.add("keys", status=500, times=0)


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def _into(sent: list[Message]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send


def _keys(emulator: Emulator) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": f"/v2/keys/{emulator.project_id}",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
    }
