"""The app as a protected resource: its metadata, its audience and its challenges (CL-05, CL-07)."""

from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Security

from fastapi_descope import (
    Caller,
    ConfigurationError,
    CurrentUser,
    Descope,
    DescopeMiddleware,
    DescopeSettings,
    Scope,
    current_caller,
)
from fastapi_descope.emulator import Emulator
from tests.helpers.app_harness import APP, IDP
from tests.helpers.emulator import signing_key

pytestmark = pytest.mark.anyio

API = "https://api.example.com"
METADATA = "/.well-known/oauth-protected-resource"
SCOPES = {"reports:write": Scope("Write"), "reports:read": Scope("Read", permissions=("reports.read",))}


class Api:
    """An app that is a protected resource, and its emulator."""

    def __init__(self, argument: str | None = API, *, protect: bool = False, **settings: object) -> None:
        self.emulator = Emulator(signing_key=signing_key())
        self.app = FastAPI()
        values: dict[str, object] = {"project_id": self.emulator.project_id, "base_url": IDP, **settings}
        self.descope = Descope(
            self.app,
            settings=DescopeSettings(**values),  # type: ignore[arg-type] # any setting, by keyword
            scopes=SCOPES,
            resource=argument,
            protect=protect,
            clock=self.emulator.clock,
            transport=httpx.ASGITransport(self.emulator),
        )

        @self.app.get("/reports")
        async def reports(
            caller: Annotated[Caller, Security(current_caller, scopes=["reports:read"])],
        ) -> str:
            return type(caller).__name__

        @self.app.get("/me")
        async def me(user: CurrentUser) -> str:
            return user.id

    async def get(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        """Send a request with a bearer token, if there is one."""
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url=APP) as client:
            return await client.get(path, headers=headers)

    def token(self, *audiences: str, scope: str = "reports:read") -> str:
        """Return the access token of an application for these audiences."""
        claims = {"aud": list(audiences), "azp": "TPA2app", "scope": scope, "token_type": "access_token"}
        return self.emulator.issue("ada@acme.example", "acme", claims=claims).session_jwt


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        (API, METADATA),
        (f"{API}:8443", METADATA),
        (f"{API}/v1/reports", f"{METADATA}/v1/reports"),
        ("http://127.0.0.1:8000/mcp", f"{METADATA}/mcp"),
    ],
)
async def test_metadata_is_at_the_address_of_the_rfc(resource: str, path: str) -> None:
    """The path of the resource follows the well-known path (RFC 9728, section 3.1)."""
    api = Api(resource)

    response = await api.get(path)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.json() == {
        "resource": resource,
        "authorization_servers": [f"{IDP}/v1/apps/{api.emulator.project_id}"],
        "scopes_supported": ["reports:read", "reports:write"],
        "bearer_methods_supported": ["header"],
    }


async def test_mcp_server_of_the_project_is_the_authorization_server() -> None:
    """Descope gives each MCP server an issuer of its own (wire contract 11.2)."""
    api = Api(mcp_server="MS2server")

    servers = (await api.get(METADATA)).json()["authorization_servers"]

    assert servers == [f"{IDP}/v1/apps/agentic/{api.emulator.project_id}/MS2server"]


async def test_the_setting_is_enough() -> None:
    """The identifier often differs between deployments, and the argument replaces it."""
    assert (await Api(None, resource=API).get(METADATA)).json()["resource"] == API
    assert (await Api(API, resource="https://other.example.com").get(METADATA)).json()["resource"] == API


async def test_without_a_resource_there_is_no_metadata() -> None:
    """Nor a hint at it."""
    api = Api(None)

    assert (await api.get(METADATA)).status_code == 404
    assert (await api.get("/reports")).headers["www-authenticate"] == "Bearer"


async def test_cl07_metadata_is_public_in_a_protected_app() -> None:
    """Clients need it before they have a token."""
    api = Api(protect=True)

    assert (await api.get(METADATA)).status_code == 200
    assert (await api.get("/docs")).status_code == 401


async def test_cl07_router_takes_no_prefix() -> None:
    """With the parts installed one by one, the app includes it at its root."""
    descope = Descope(settings=DescopeSettings(project_id="P" + "a" * 27, resource=API))
    app = FastAPI()
    app.include_router(descope.router, prefix="/auth")
    app.include_router(descope.resource_router)
    app.add_middleware(DescopeMiddleware, descope=descope, protect=True)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=APP) as client:
        assert (await client.get(METADATA)).status_code == 200


async def test_cl07_challenges_lead_to_the_metadata() -> None:
    """RFC 9728, section 5.1: for a missing, an invalid and an insufficient token, and for a step-up."""
    api = Api(f"{API}/v1")
    parameter = f'resource_metadata="{API}{METADATA}/v1"'

    missing = await api.get("/reports")
    invalid = await api.get("/reports", "a.b.c")
    narrow = await api.get("/reports", api.token(f"{API}/v1", scope="openid"))

    assert missing.headers["www-authenticate"] == f"Bearer {parameter}"
    assert invalid.headers["www-authenticate"] == f'Bearer error="invalid_token", {parameter}'
    assert narrow.headers["www-authenticate"] == (
        f'Bearer error="insufficient_scope", scope="reports:read", {parameter}'
    )


async def test_cl05_only_tokens_for_the_resource_count() -> None:
    """The token of an application for another API of the project is refused; sessions are not affected."""
    api = Api()

    assert (await api.get("/reports", api.token(API))).json() == "Delegate"
    assert (await api.get("/reports", api.token(API, "https://other.example.com"))).status_code == 200
    assert (await api.get("/reports", api.token(api.emulator.project_id))).status_code == 401
    assert (await api.get("/reports", api.token(f"{API}/"))).status_code == 401
    session = api.emulator.issue("ada@acme.example", "acme").session_jwt
    assert (await api.get("/reports", session)).json() == "AuthSession"
    assert (await api.get("/me", session)).status_code == 200


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "api.example.com",
        "http://api.example.com",
        "ftp://api.example.com",
        f"{API}/",
        f"{API}/a/",
        f"{API}//a",
        f"{API}/../a",
        f"{API}/.",
        f"{API}/a?b",
        f"{API}#a",
        f"{API}/%2e",
        "https://user@api.example.com",
        f'{API}/"',
        f"{API}/a b",
    ],
)
def test_st05_identifier_that_has_two_readings_is_refused(resource: str) -> None:
    """It is compared with audiences as text, and is part of a header."""
    with pytest.raises(ConfigurationError, match="expected the https URL"):
        Descope(settings=DescopeSettings(project_id="P" + "a" * 27), resource=resource)


@pytest.mark.parametrize("host", ["HTTPS://API.example.com/V1", "https://api.example.com:443/V1"])
def test_origin_of_the_identifier_is_normalised(host: str) -> None:
    """Its path is not: paths differ by case."""
    assert DescopeSettings(project_id="P" + "a" * 27, resource=host).resource == f"{API}/V1"
