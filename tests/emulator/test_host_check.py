"""Which requests the console accepts: its own pages and local tools, but no other pages (EM-03)."""

from collections.abc import Callable, Coroutine

import httpx
import pytest
from starlette.types import Message

from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
MakeConsole = Callable[..., Emulator]

CLOSED = "The console rejects requests from other pages: open it from the address bar"
ORDER = {"endpoint": "*", "status": 500}

requests_to_it = pytest.mark.parametrize(
    ("method", "path", "done"),
    [
        ("GET", "/console", 200),
        ("GET", "/console/api/state", 200),
        ("GET", "/console/api/sessions", 200),
        ("POST", "/console/api/faults", 201),
        ("DELETE", "/console/api/faults", 200),
    ],
)


@requests_to_it
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:4000"},
        {"host": "localhost:5000", "origin": "http://localhost:5000"},
    ],
)
async def test_own_requests_are_accepted(
    call: Call, make_console: MakeConsole, method: str, path: str, done: int, headers: dict[str, str]
) -> None:
    """Tools, the address bar and the console itself are accepted."""
    emulator = make_console()
    response = await call(emulator, method, path, json=ORDER, headers=headers)
    assert response.status_code == done
    assert not [name for name in response.headers if name.startswith("access-control")]


@requests_to_it
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
        {"sec-fetch-site": ""},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://localhost:4000"},
        {"origin": "https://127.0.0.1:4000"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    ],
)
async def test_em03_requests_of_other_pages_are_rejected(
    call: Call, make_console: MakeConsole, method: str, path: str, done: int, headers: dict[str, str]
) -> None:
    """Other sites and other ports can neither read nor write, and get no CORS headers."""
    emulator = make_console()
    emulator.faults.add("me", status=502)
    response = await call(emulator, method, path, json=ORDER, headers=headers)
    assert (response.status_code, response.json()["message"]) == (403, CLOSED), done
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert [endpoint for endpoint, _, _ in emulator.faults.pending()] == ["me"]


@requests_to_it
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", ""])  # noqa: S104 - refused
async def test_dns_rebinding_is_rejected(
    call: Call, make_console: MakeConsole, method: str, path: str, done: int, host: str
) -> None:
    """A name that resolves to a loopback address is rejected by its ``Host``, whatever other headers say."""
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    response = await call(make_console(), method, path, json=ORDER, headers=headers)
    assert response.status_code == 403, done
    assert response.json()["message"] == "The emulator accepts only loopback hosts"


@pytest.mark.parametrize("path", ["//console", "///console/api/state"])
async def test_extra_slashes_do_not_bypass_the_check(make_console: MakeConsole, path: str) -> None:
    """Other spellings of a path are checked too."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    headers = [(b"host", b"localhost"), (b"sec-fetch-site", b"cross-site")]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    await make_console()(scope, receive, send)
    assert sent[0]["status"] == 403


@pytest.mark.parametrize("path", ["/", "/console/"])
async def test_root_redirects_to_the_console(call: Call, make_console: MakeConsole, path: str) -> None:
    """``GET /`` redirects to the console; other methods are not allowed."""
    emulator = make_console()
    response = await call(emulator, "GET", path)
    assert (response.status_code, response.headers["location"]) == (303, "/console")
    assert (await call(emulator, "POST", path)).status_code in (404, 405)
    assert len(emulator.requests) == 0
    assert (await call(Emulator(), "GET", path)).status_code == 404


@pytest.mark.parametrize("path", ["/consoles", "/console/api/secrets", "/Console"])
async def test_similar_paths_do_not_exist(call: Call, make_console: MakeConsole, path: str) -> None:
    """Paths that resemble the console's are 404."""
    assert (await call(make_console(), "GET", path)).status_code == 404


async def test_preflight_is_rejected(call: Call, make_console: MakeConsole) -> None:
    """A preflight of another origin is rejected."""
    headers = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    response = await call(make_console(), "OPTIONS", "/console/api/faults", headers=headers)
    assert response.status_code == 403
    assert not [name for name in response.headers if name.startswith("access-control")]
