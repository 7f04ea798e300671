"""Which pages of other origins can read the emulator's responses."""

from collections.abc import Callable, Coroutine

import httpx
import pytest

from fastapi_descope.emulator import Emulator

pytestmark = pytest.mark.anyio

Call = Callable[..., Coroutine[None, None, httpx.Response]]
Make = Callable[..., Emulator]

PAGE = "http://localhost:3000"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-descope-project-id",
}


def cors(response: httpx.Response) -> dict[str, str]:
    """Return the CORS headers of a response."""
    return {name: value for name, value in response.headers.items() if name.startswith("access-control")}


@pytest.mark.parametrize(
    "origin", [PAGE, "http://127.0.0.1:5173", "https://localhost", "http://[::1]:8080", "http://localhost:1"]
)
async def test_loopback_pages_read_the_api(call: Call, make: Make, origin: str) -> None:
    """A loopback page can read responses with cookies, including errors and ``Retry-After``."""
    emulator = make()
    emulator.faults.add("refresh", status=429, retry_after=7)

    for status in (429, 401):
        response = await call(emulator, "POST", "/v1/auth/refresh", headers={"origin": origin})
        assert response.status_code == status
        assert response.headers["vary"] == "Origin"
        assert cors(response) == {
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "Retry-After",
        }


@pytest.mark.parametrize(
    "path",
    [
        "/v1/auth/sso/authorize",
        "/v1/auth/me",
        "/v2/keys/P1",
        "/v1/keys/P1",
        "/P1/.well-known/jwks.json",
        "/P1/.well-known/openid-configuration",
        "/P1/app/.well-known/openid-configuration",
        "/oauth2/v1/token",
        "/oauth2/v1/userinfo",
        "/oauth2/v1/revoke",
        "/v1/apps/P1/.well-known/openid-configuration",
        "/v1/apps/agentic/P1/MS1/.well-known/oauth-authorization-server",
        "/oauth2/v1/apps/token",
        "/oauth2/v1/apps/P1/userinfo",
        "/oauth2/v1/apps/revoke",
        "/oauth2/v1/apps/agentic/P1/MS1/token",
        "/v1/mgmt/inboundapp/app/P1/register",
        "/v1/mgmt/mcp/client/P1/MS1/register",
    ],
)
async def test_preflight_of_a_loopback_page(call: Call, make: Make, path: str) -> None:
    """The preflight allows the methods of the API and any headers of the SDK."""
    response = await call(make(), "OPTIONS", path, headers={"origin": PAGE} | PREFLIGHT)

    assert response.status_code == 200
    assert cors(response) == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization,content-type,x-descope-project-id",
        "access-control-max-age": "600",
    }


async def test_preflight_does_not_consume_a_fault(call: Call, make: Make) -> None:
    """A pending fault waits for the call itself; the preflight is in the journal."""
    emulator = make()
    emulator.faults.add("refresh", status=500)

    await call(emulator, "OPTIONS", "/v1/auth/refresh", headers={"origin": PAGE} | PREFLIGHT)

    assert [(one.method, one.status) for one in emulator.requests] == [("OPTIONS", 200)]
    assert (await call(emulator, "POST", "/v1/auth/refresh", headers={"origin": PAGE})).status_code == 500


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost:3000.evil.example",
        "http://evil.example#localhost",
        "http://localhost@evil.example",
        "http://127.0.0.10:3000",
        "http://192.168.0.2:3000",
        "file://localhost",
        "http://localhost:123456",
        "http://localhost/",
        "null",
        "*",
        "",
    ],
)
async def test_other_pages_get_no_cors_header(call: Call, make: Make, origin: str) -> None:
    """No other origin can read a response or gets its preflight allowed (EM-03)."""
    emulator = make()

    read = await call(emulator, "GET", f"/v2/keys/{emulator.project_id}", headers={"origin": origin})
    asked = await call(emulator, "OPTIONS", "/v1/auth/refresh", headers={"origin": origin} | PREFLIGHT)

    assert (read.status_code, cors(read)) == (200, {})
    assert (asked.status_code, cors(asked)) == (405, {})


@pytest.mark.parametrize(
    "path",
    [
        "/signin/page",
        "/v1/mgmt/license",
        "/v1/mgmt/tests/generate/enchantedlink",
        "/console",
        "/console/api/state",
        "/oauth2/v1/authorize",
        "/oauth2/v1/logout",
        "/v1/authority",
        "/",
    ],
)
async def test_only_descopes_browser_api_is_shared(call: Call, path: str) -> None:
    """Sign-in pages, management and the console are never shared, even with loopback pages (EM-03)."""
    emulator = Emulator(console="faults")

    read = await call(emulator, "GET", path, headers={"origin": PAGE})
    asked = await call(emulator, "OPTIONS", path, headers={"origin": PAGE} | PREFLIGHT)

    assert cors(read) == cors(asked) == {}
    assert asked.status_code in {403, 404, 405}


async def test_cross_site_loopback_page_can_read_the_reason(call: Call, make: Make) -> None:
    """127.0.0.1 and localhost are different sites; the page can read the error that says so."""
    headers = {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "cross-site"}

    response = await call(make(), "POST", "/v1/auth/refresh", headers=headers)

    assert (response.status_code, response.json()["errorCode"]) == (403, "E011001")
    assert cors(response)["access-control-allow-origin"] == "http://127.0.0.1:3000"


async def test_requests_without_an_origin_get_no_cors_headers(call: Call, make: Make) -> None:
    """Servers send no ``Origin`` and get no CORS headers."""
    response = await call(make(), "POST", "/v1/auth/refresh")
    assert cors(response) == {}
    assert "vary" not in response.headers
