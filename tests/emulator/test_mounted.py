"""An emulator that another app has mounted under a prefix."""

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
    """The one that is mounted."""
    return make(Project(issuer="url"))


@pytest.fixture
async def client(emulator: Emulator) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the app around it."""
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/descope", emulator)]))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=BEARER) as client:
        yield client


async def test_sign_in_page(client: httpx.AsyncClient, emulator: Emulator) -> None:
    """The page is where its URL says."""
    query = {"tenant": "acme", "redirectURL": BACK}
    url = (await client.post(AUTHORIZE, params=query)).json()["url"]
    assert url.startswith(f"{ORIGIN}/descope/signin/")
    assert (await client.get(url)).status_code == 200
    assert [(call.endpoint, call.path) for call in emulator.requests] == [
        ("authorize", "/v1/auth/sso/authorize"),
        ("signin", "/signin/…"),
    ]


async def test_discovery(client: httpx.AsyncClient) -> None:
    """Every URL of the document has the prefix, and what is there is found."""
    own = f"{ORIGIN}/descope/{DEFAULT_PROJECT_ID}"
    document = (await client.get(f"{own}/.well-known/openid-configuration")).json()
    urls = [url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert document["issuer"] == own
    assert [url for url in urls if not url.startswith(f"{ORIGIN}/descope/")] == []
    assert (await client.get(document["jwks_uri"])).json()["keys"]


async def test_slash_too_many(client: httpx.AsyncClient) -> None:
    """An SDK whose base URL ends in a slash is understood."""
    assert (await client.get(f"/descope//v2/keys/{DEFAULT_PROJECT_ID}")).status_code == 200


async def test_pages_may_call_it(client: httpx.AsyncClient) -> None:
    """What is shared with pages of this machine is shared behind a prefix, too."""
    response = await client.post(AUTHORIZE, headers={"origin": "http://localhost:5173"})
    assert response.headers["access-control-allow-origin"] == "http://localhost:5173"


async def test_console(make_console: Callable[..., Emulator]) -> None:
    """The console is closed to other pages under a prefix as well (EM-03)."""
    transport = httpx.ASGITransport(Starlette(routes=[Mount("/descope", make_console())]))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        state = "/descope/console/api/state"
        assert (await client.get(state)).status_code == 200
        assert (await client.get(state, headers={"sec-fetch-site": "same-site"})).status_code == 403
