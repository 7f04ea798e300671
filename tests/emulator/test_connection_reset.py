"""Faults of the connection itself, seen from a raw socket and in-process."""

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
    """An emulator that takes no time over delays, and has a refresh token to rotate."""
    return make(Project(rotate_refresh=True))


@pytest.fixture
def port(emulator: Emulator) -> Iterator[int]:
    """Where that emulator listens."""
    with running(emulator) as base_url:
        yield httpx.URL(base_url).port or 0


def connect(port: int) -> socket.socket:
    """A connection of one's own."""
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def ask(line: socket.socket, path: str, *headers: str, body: bytes = b"") -> None:
    """Send a request: GET, or POST with a body."""
    method = "POST" if body else "GET"
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers]
    line.sendall("\r\n".join([*head, "", ""]).encode() + body)


def everything(line: socket.socket) -> bytes:
    """All bytes up to the regular end of the connection. Raises ConnectionResetError for the other one."""
    received = b""
    while chunk := line.recv(4096):
        received += chunk
    return received


def test_reset(emulator: Emulator, port: int, capfd: pytest.CaptureFixture[str]) -> None:
    """The caller gets a TCP reset and not a byte, and nothing is printed."""
    emulator.faults.add("keys", cut="reset")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert [one.status for one in emulator.requests] == [None]
    assert capfd.readouterr() == ("", "")


def test_reset_with_a_body_on_its_way(
    emulator: Emulator, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """What the caller sent is read or not; the reset comes all the same, and quietly."""
    emulator.faults.add("refresh", cut="reset")
    with connect(port) as line:
        ask(line, REFRESH, body=b"{}")
        with pytest.raises(ConnectionResetError):
            line.recv(1)
    assert capfd.readouterr() == ("", "")


def test_close(emulator: Emulator, port: int, capfd: pytest.CaptureFixture[str]) -> None:
    """The caller gets the headers, half of the bytes that they promise, and the end."""
    emulator.faults.add("keys", cut="close", status=200, body=b"0123456789")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}")
        head, _, body = everything(line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 10" in head
    assert body == b"01234"
    assert capfd.readouterr() == ("", "")


def test_close_of_the_real_answer(emulator: Emulator, port: int) -> None:
    """Without an answer of its own the fault cuts the endpoint's."""
    emulator.faults.add("keys", cut="close")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}")
        head, _, body = everything(line).partition(b"\r\n\r\n")
    promised = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(body) == promised // 2 > 0


def test_only_the_one_that_it_happens_to(emulator: Emulator, port: int) -> None:
    """Of several calls at once, on connections of their own, each gets what happens to it."""
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


def test_the_next_request_of_a_connection(emulator: Emulator, port: int) -> None:
    """A kept connection works until the call that the fault happens to, and others after it."""
    path = f"/v2/keys/{emulator.project_id}"
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert client.get(path).status_code == 200
        emulator.faults.add("keys", cut="reset")
        with pytest.raises(httpx.ReadError):
            client.get(path)
        assert client.get(path).status_code == 200


def test_caller_who_left_before_the_cut(
    emulator: Emulator, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """There is nothing left to cut then, and it is no trouble to anybody else."""
    emulator.faults.add("keys", hold=True, cut="reset")
    line = connect(port)
    ask(line, f"/v2/keys/{emulator.project_id}")
    asyncio.run(emulator.faults.wait_until_held())
    line.close()
    emulator.faults.release()
    assert httpx.get(f"http://127.0.0.1:{port}/v2/keys/{emulator.project_id}").status_code == 200
    assert capfd.readouterr() == ("", "")


def test_not_led_astray_by_headers(emulator: Emulator, port: int) -> None:
    """Whose connection it is comes from the connection, not from what a caller says of itself."""
    emulator.faults.add("keys", cut="reset")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}", "X-Forwarded-For: 10.0.0.1")
        with pytest.raises(ConnectionResetError):
            line.recv(1)


def test_drip(emulator: Emulator, port: int) -> None:
    """The body comes byte by byte, each in a piece of its own, and is whole in the end."""
    emulator.faults.add("keys", drip=0.001, status=200, body=b"drip")
    with connect(port) as line:
        ask(line, f"/v2/keys/{emulator.project_id}", "Connection: close")
        assert everything(line).endswith(b"\r\n\r\ndrip")


def test_end_while_calls_wait(capfd: pytest.CaptureFixture[str]) -> None:
    """An emulator that ends keeps nobody waiting: what is left of the answers comes at once, quietly."""
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
            assert waiting.acquire(timeout=10)
    for line, body in zip(lines, (b"drip", b"late"), strict=True):
        assert everything(line).endswith(b"\r\n\r\n" + body)
        line.close()
    assert capfd.readouterr() == ("", "")


async def test_reset_in_process(call: Call, make: Make) -> None:
    """Without a connection the caller gets the exception that a lost one is."""
    emulator = make()
    emulator.faults.add("keys", cut="reset")
    with pytest.raises(ConnectionResetError):
        await call(emulator, "GET", f"/v2/keys/{emulator.project_id}")
    assert [one.status for one in emulator.requests] == [None]


async def test_close_in_process(make: Make) -> None:
    """Half of the body is sent, as one that goes on, and then comes the exception."""
    sent: list[Message] = []
    emulator = make()
    emulator.faults.add("keys", cut="close", body=b"0123456789")
    with pytest.raises(ConnectionResetError):
        await emulator(_keys(emulator), _receive, _into(sent))
    assert [message.get("status") or message["body"] for message in sent] == [200, b"01234"]
    assert sent[-1]["more_body"] is True


@pytest.mark.parametrize("cut", ["reset", "close"])
async def test_cut_after_the_work(call: Call, make: Make, cut: Literal["reset", "close"]) -> None:
    """With ``when="after"`` the refresh token is used up, and nobody has the next one."""
    emulator = make(Project(rotate_refresh=True))
    token = emulator.issue("ada@acme.example").refresh_jwt
    emulator.faults.add("refresh", cut=cut, when="after")
    with pytest.raises(ConnectionResetError):
        await call(emulator, "POST", REFRESH, token=token)
    assert (await call(emulator, "POST", REFRESH, token=token)).json()["errorCode"] == "E064006"


async def test_reset_before_the_work(call: Call, make: Make) -> None:
    """By default the endpoint does not get to work: the refresh token is as good as before."""
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
async def test_pauses_of_a_drip(
    body: bytes, cut: Literal["close"] | None, pauses: int, pieces: list[bytes]
) -> None:
    """The seconds pass between the bytes, neither before the first nor after the last."""
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


async def test_wait_that_is_called_off(call: Call, make: Make) -> None:
    """To clear the faults is to wait no longer: a delayed call is answered at once."""
    emulator = make()
    emulator.faults.add("me", delay=3600)
    emulator.faults.add("me", hold=True)
    async with asyncio.TaskGroup() as group:
        delayed = group.create_task(call(emulator, "GET", "/v1/auth/me"))
        held = group.create_task(call(emulator, "GET", "/v1/auth/me"))
        await emulator.faults.wait_until_held()
        emulator.faults.clear()
    assert [delayed.result().status_code, held.result().status_code] == [401, 401]


async def test_pause_that_fails(call: Call) -> None:
    """A ``pause`` that raises is not taken for one that passed."""

    async def pause(_: float) -> None:
        await asyncio.sleep(0)
        raise TimeoutError

    emulator = Emulator(pause=pause)
    emulator.faults.add("me", delay=1)
    with pytest.raises(TimeoutError):
        await call(emulator, "GET", "/v1/auth/me")


def test_a_reset_has_no_answer(make: Make) -> None:
    """What would never be seen is a mistake."""
    faults, message = make().faults, "a reset replaces the response"
    with pytest.raises(ValueError, match=message):
        faults.add("keys", cut="reset", status=500)
    with pytest.raises(ValueError, match=message):
        faults.add("keys", cut="reset", body=b"")
    with pytest.raises(ValueError, match=message):
        faults.add("keys", cut="reset", drip=1)


def test_no_negative_figures(make: Make) -> None:
    """Nothing can wait for less than no time, or happen less than once."""
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
