"""``gunicorn --preload`` forks after the app was imported. The workers share nothing but the listener."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fastapi_descope.emulator import Emulator, JwtPair
from tests.helpers.ports import free_port

from .browser import Browser
from .matrix import SERVERS
from .processes import running_server

pytestmark = pytest.mark.redis

PRELOADED = "tests.deployment.preloaded_app:app"
[GUNICORN] = [server for server in SERVERS if "--preload" in server.arguments]


@pytest.fixture
def parent(
    emulator: Emulator, variables_for: Callable[[str], dict[str, str]], expired_pair: JwtPair, tmp_path: Path
) -> Iterator[tuple[int, str]]:
    """Run two workers whose parent has served requests; yield the process id of the parent and the URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with Browser(url, expired_pair) as browser:
        variables = {**variables_for(url), "MATRIX_COOKIES": browser.cookie_header}
    with running_server(GUNICORN.command(port, PRELOADED), port, variables, tmp_path / "log") as process:
        yield process.pid, url


def connections(process: int) -> set[str]:
    """Return the TCP connections of a process, by inode: sockets that are not listening."""
    rows = [line.split() for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]]
    listening = "0A"
    inodes = {f"socket:[{row[9]}]" for row in rows if row[3] != listening}
    links = {str(link.readlink()) for link in Path(f"/proc/{process}/fd").iterdir()}
    return inodes & links


def pid_of(url: str) -> int:
    """Return the id of the process that responds to a request over a new connection."""
    pid: int = httpx.get(f"{url}/pid", timeout=60).json()
    return pid


def test_workers_share_no_connection_with_their_parent_or_each_other(
    parent: tuple[int, str], emulator: Emulator
) -> None:
    """The parent has closed its connections. Each worker opens its own."""
    pid, url = parent
    workers: set[int] = set()
    while len(workers) < 2 or not all(map(connections, workers)):
        workers.add(pid_of(url))
        with Browser(url, emulator.issue("ada@acme.example", "acme", session_seconds=-60)) as browser:
            assert browser.get("/me").status_code == 200

    assert not connections(pid)
    first, second = map(connections, workers)
    assert not first & second


def test_workers_draw_different_random_values(parent: tuple[int, str]) -> None:
    """A generator that the parent had seeded would give both workers the same names of cookies."""
    _, url = parent
    names: list[str] = []
    for _ in range(20):
        with Browser(url) as browser:
            assert browser.navigate("/login/sso?tenant=acme").status_code == 303
            names += browser.cookies

    assert len(names) == 20
    assert len(set(names)) == len(names)
