"""An emulator that is mounted in another app under a prefix."""

from collections.abc import AsyncGenerator, Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Emulator, Project
from tests.emulator.conftest import BACK

pytestmark = pytest.mark.anyio

ORIGIN = "http://127.0.0.1:4000"
BEARER = {"authorization": f"Bearer {DEFAULT_PROJECT_ID}"}
AUTHORIZE = "/descope/v1/auth/sso/authorize"


@pytest.fixture
def emulator(make: Callable[..., Emulator]) -> Emulator:
    """The mounted emulator."""
    return make(Project(issuer="url"))


@pytest.fixture
async def client(emulator: Emulator) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the outer app."""
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/descope", emulator)]))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=BEARER) as client:
        yield client


async def test_sign_in_page(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """The URL of the page has the prefix."""
    query = {"tenant": "acme", "redirectURL": BACK}
    url = (await client.post(AUTHORIZE, params=query)).json()["url"]
    assert url.startswith(f"{ORIGIN}/descope/signin/")
    assert (await client.get(url)).status_code == 200
    assert [(call.endpoint, call.path) for call in emulator.requests] == [
        ("authorize", "/v1/auth/sso/authorize"),
        ("signin", "/signin/…"),
    ]


async def test_discovery(client: httpx.AsyncClient) -> None:
    """Every URL of the document has the prefix and works."""
    own = f"{ORIGIN}/descope/{DEFAULT_PROJECT_ID}"
    document = (await client.get(f"{own}/.well-known/openid-configuration")).json()
    urls = [url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert document["issuer"] == own
    assert [url for url in urls if not url.startswith(f"{ORIGIN}/descope/")] == []
    assert (await client.get(document["jwks_uri"])).json()["keys"]


async def test_double_slash_after_the_prefix(client: httpx.AsyncClient) -> None:
    """The requests of an SDK whose base URL ends in a slash are routed."""
    assert (await client.get(f"/descope//v2/keys/{DEFAULT_PROJECT_ID}")).status_code == 200


async def test_cors_under_a_prefix(client: httpx.AsyncClient) -> None:
    """Loopback pages can call the API under a prefix too."""
    response = await client.post(AUTHORIZE, headers={"origin": "http://localhost:5173"})
    assert response.headers["access-control-allow-origin"] == "http://localhost:5173"


async def test_console(make_console: Callable[..., Emulator]) -> None:
    """The console rejects other pages under a prefix too (EM-03)."""
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/descope", make_console())]))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        state = "/descope/console/api/state"
        assert (await client.get(state)).status_code == 200
        assert (await client.get(state, headers={"sec-fetch-site": "same-site"})).status_code == 403
