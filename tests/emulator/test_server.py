"""The emulator on a socket (EM-02)."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pkgutil import resolve_name
from threading import Thread
from threading import enumerate as threads

import httpx
import pytest

from fastapi_descope.emulator import Emulator
from fastapi_descope.emulator.server import running, serve

Make = Callable[..., Emulator]


def test_idle_connections_are_closed_by_the_app_first() -> None:
    """A connection that the emulator closes at the moment of a call fails this call."""
    of_emulator = resolve_name("fastapi_descope.emulator.server:_KEEP_ALIVE_SECONDS")
    assert of_emulator > resolve_name("fastapi_descope._upstream.transport:_KEEPALIVE_SECONDS")


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "", "127.0.0.2", "example.org", "localhost.", "10.0.0.1"],  # noqa: S104 - refused
)
def test_em02_loopback_only(make: Make, host: str) -> None:
    """Any other address is rejected before a socket is opened, and the message says why (EM-02)."""
    with pytest.raises(ValueError, match=r"listens only on 127\.0\.0\.1, localhost, ::1,"):
        serve(make(), host=host, ready=pytest.fail)
    with pytest.raises(ValueError, match="without a password"), running(make(), host=host):
        pytest.fail("it runs")


@pytest.mark.parametrize(
    ("host", "prefix"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("localhost", "http://localhost:"),
        ("::1", "http://[::1]:"),
    ],
)
def test_running(make: Make, host: str, prefix: str) -> None:
    """The emulator responds at its URL at once; after the block the thread and the socket are gone."""
    emulator = make()
    with running(emulator, host=host) as base_url:
        assert base_url.startswith(prefix)
        assert emulator.base_url == base_url
        response = httpx.get(f"{base_url}/v2/keys/{emulator.project_id}")
        assert response.json() == {"keys": list(emulator.public_keys)}
        assert "server" not in response.headers
    with pytest.raises(httpx.ConnectError):
        httpx.get(base_url)
    assert "descope-emulator" not in {thread.name for thread in threads()}


def test_given_port(make: Make) -> None:
    """A given port is used; a port in use is an error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), running(make(), port=port):
            pytest.fail("it runs")
    with running(make(), port=port) as base_url:
        assert base_url == f"http://127.0.0.1:{port}"


def test_ends_when_the_block_fails(make: Make) -> None:
    """An exception in the block stops the server and is raised."""
    with pytest.raises(KeyError), running(make()):
        raise KeyError
    assert "descope-emulator" not in {thread.name for thread in threads()}


def test_shutdown_releases_held_calls(make: Make) -> None:
    """A call that is held at shutdown is released."""
    emulator = make()
    emulator.faults.add("keys", hold=True)
    statuses: list[int] = []
    with running(emulator) as base_url:
        url = f"{base_url}/v2/keys/{emulator.project_id}"
        caller = Thread(target=lambda: statuses.append(httpx.get(url).status_code))
        caller.start()
        asyncio.run(emulator.faults.wait_until_held())
    caller.join()
    assert statuses == [200]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Make SIGINT raise KeyboardInterrupt, also if the tests run in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_serve_until_interrupted(make: Make) -> None:
    """``serve`` reports its URL, serves, and ends on an interrupt."""
    emulator = make()
    statuses: list[int] = []

    def use(base_url: str) -> None:
        statuses.append(httpx.get(f"{base_url}/v2/keys/{emulator.project_id}").status_code)
        os.kill(os.getpid(), signal.SIGINT)

    def ready(base_url: str) -> None:
        Thread(target=use, args=(base_url,)).start()

    with pytest.raises(KeyboardInterrupt):
        serve(emulator, ready=ready)
    assert statuses == [200]
