"""Headers that any client can send: no access decision depends on them (requirements 2.11)."""

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from fastapi_descope import Descope, DescopeMiddleware, DescopeSettings
from tests.helpers.app_harness import APP

pytestmark = pytest.mark.anyio

_SPOOFED = {
    "X-Original-URL": "/health",
    "X-Rewrite-URL": "/health",
    "X-Forwarded-Uri": "/health",
    "X-Forwarded-Path": "/health",
    "X-Forwarded-Prefix": "/health",
    "X-Forwarded-Method": "OPTIONS",
    "X-HTTP-Method-Override": "OPTIONS",
    "X-Forwarded-Host": "localhost",
    "X-Forwarded-Proto": "https",
    "Forwarded": 'for=127.0.0.1;host="localhost";proto=https',
    "X-Forwarded-For": "127.0.0.1",
    "X-Real-IP": "127.0.0.1",
    "X-Forwarded-User": "ada@acme.example",
    "X_Forwarded_User": "ada@acme.example",
    "Remote-User": "ada@acme.example",
    "X-Descope-User": "U2ada",
    "X-Descope-Session": "1",
    "Host": "localhost",
}
_HOSTS = ["evil/x?", "a b", "", "localhost/health", "localhost:0", "[::1", "evil.example"]
_AGENTS = ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "oauth2-proxy", "", "curl/8"]
_METHODS = [
    "GET",
    "HEAD",
    "OPTIONS",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "PROPFIND",
    "options",
    "get",
    "X",
]


class _Protected:
    """An app behind the middleware with one public path; counts the requests that reach it."""

    def __init__(self) -> None:
        settings = DescopeSettings(project_id="P" + "a" * 27, public_url=APP)
        silent = httpx.MockTransport(lambda _: httpx.Response(500))
        descope = Descope(settings=settings, transport=silent)
        self._app = DescopeMiddleware(self._page, descope=descope, protect=True, public_paths=["/health"])
        self.reached = 0

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def status(self, path: str = "/admin", method: str = "GET", **headers: str) -> int:
        """Return the status of a request, sent without a server, which might reject it first."""
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        async def send(message: Message) -> None:
            sent.append(message)

        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope: Scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": raw,
        }
        await self._app(scope, receive, send)
        status: int = sent[0]["status"]
        return status


@pytest.mark.parametrize("name", _SPOOFED)
async def test_hp01_hp03_hp04_no_header_makes_a_path_public(name: str) -> None:
    """HP-01, HP-03, HP-04: headers that name another path, host, client or user do not count."""
    app = _Protected()

    assert await app.status(**{name: _SPOOFED[name]}) == 401
    assert app.reached == 0


@pytest.mark.parametrize("host", _HOSTS)
async def test_hp05_malformed_host_changes_nothing(host: str) -> None:
    """HP-05: protected paths stay protected, public ones public, and nothing raises."""
    app = _Protected()

    assert await app.status(Host=host) == 401
    assert await app.status("/health", Host=host) == 200
    assert app.reached == 1


@pytest.mark.parametrize("agent", _AGENTS)
async def test_hp06_no_user_agent_bypasses_protection(agent: str) -> None:
    """HP-06: a health check is a public path, not a name that any client can send."""
    app = _Protected()

    assert await app.status(**{"User-Agent": agent}) == 401
    assert app.reached == 0


@pytest.mark.parametrize("method", _METHODS)
async def test_hp06_no_method_bypasses_protection(method: str) -> None:
    """HP-06: every method requires a session, whatever its case."""
    app = _Protected()

    assert await app.status(method=method) == 401
    assert app.reached == 0
