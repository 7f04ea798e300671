"""Dynamic client registration (RFC 7591) and the discovery documents that lead to it."""

from collections.abc import Callable

import httpx
import pytest

from fastapi_descope.emulator import DEFAULT_PROJECT_ID, Assumptions, Emulator, InboundApp, McpServer, Project
from tests.helpers.inbound_client import CALLBACK, ORIGIN, InboundClient

pytestmark = pytest.mark.anyio

Make = Callable[..., Emulator]
Read = Callable[[Emulator, str], dict[str, object]]

RESOURCE = "https://api.example.com"
SERVER = McpServer("MS2reports", "https://mcp.example.com/mcp", scopes={"reports:read": "Read your reports"})
OTHER = McpServer("MS2other", "https://other.example.com/mcp", "Other")
APP = InboundApp("TPA2app", scopes={"reports:write": "Change your reports"}, resources=(RESOURCE,))
PROJECT = Project(inbound_apps=(APP,), mcp_servers=(SERVER, OTHER))
REGISTER = f"/v1/mgmt/inboundapp/app/{DEFAULT_PROJECT_ID}/register"
REGISTER_AT_SERVER = f"/v1/mgmt/mcp/client/{DEFAULT_PROJECT_ID}/MS2reports/register"
STANDARD = "openid profile email offline_access"


async def _register(emulator: Emulator, path: str = REGISTER, **metadata: object) -> httpx.Response:
    body = {"redirect_uris": [CALLBACK], "client_name": "Agent"} | metadata
    return await InboundClient(emulator).send("POST", path, json=body)


async def test_a_client_registers_itself(make: Make) -> None:
    """The reply has everything that the client needs; the client is public."""
    response = await _register(make(PROJECT))
    body = response.json()
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    assert body.pop("client_id").startswith("TPA2")
    assert body == {
        "client_id_issued_at": 1_800_000_000,
        "client_name": "Agent",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": f"{STANDARD} reports:write",
    }


async def test_a_registered_client_completes_the_flow(make: Make, read: Read) -> None:
    """It may ask for the scopes and resources of the project's apps."""
    emulator = make(PROJECT)
    client = InboundClient(emulator, (await _register(emulator)).json()["client_id"])
    body = await client.tokens(scope="reports:write", resource=RESOURCE)
    claims = read(emulator, body["access_token"])
    assert (claims["azp"], claims["scope"]) == (client.client_id, "reports:write")
    assert claims["aud"] == [DEFAULT_PROJECT_ID, client.client_id, RESOURCE]


async def test_a_client_of_an_mcp_server_gets_its_scopes_and_its_url(make: Make, read: Read) -> None:
    """It may not ask for those of the project's other apps and servers."""
    emulator = make(PROJECT)
    registered = (await _register(emulator, REGISTER_AT_SERVER)).json()
    assert registered["scope"] == f"{STANDARD} reports:read"
    place = f"/oauth2/v1/apps/agentic/{DEFAULT_PROJECT_ID}/MS2reports"
    client = InboundClient(emulator, registered["client_id"], place=place)
    claims = read(emulator, (await client.tokens(resource=SERVER.url))["access_token"])
    assert claims["aud"] == [DEFAULT_PROJECT_ID, client.client_id, SERVER.url]
    for url in (RESOURCE, OTHER.url):
        started = await client.authorize(resource=url)
        assert started.headers["location"].endswith("error=invalid_target")
    elsewhere = InboundClient(emulator, registered["client_id"], place=place.replace("reports", "other"))
    assert (await elsewhere.authorize()).status_code == 400


@pytest.mark.parametrize(
    ("scope", "registered"),
    [("reports:write", "reports:write"), ("openid reports:delete", ""), ("reports:write x", "reports:write")],
)
async def test_a_client_registers_for_scopes_that_exist(make: Make, scope: str, registered: str) -> None:
    """Scopes that no app has are left out, and a client without a name is called by its id."""
    response = await _register(make(PROJECT), scope=scope, client_name="")
    body = response.json()
    assert body["scope"] == f"{STANDARD} {registered}".strip()
    assert body["client_name"] == body["client_id"]


async def test_a_registration_may_create_a_secret(make: Make) -> None:
    """The client is confidential then, and refused without its secret."""
    project = Project(assumptions=Assumptions(client_registration="secret"))
    emulator = make(project)
    body = (await _register(emulator)).json()
    assert (body["token_endpoint_auth_method"], body["client_secret_expires_at"]) == ("client_secret_post", 0)
    assert await InboundClient(emulator, body["client_id"], secret=body["client_secret"]).tokens()
    public = InboundClient(emulator, body["client_id"])
    assert (await public.redeem(await public.code())).status_code == 401


async def test_registration_may_be_disabled(make: Make) -> None:
    """It is a 403 then, and the discovery document has no endpoint for it."""
    emulator = make(Project(assumptions=Assumptions(client_registration="disabled")))
    assert (await _register(emulator)).status_code == 403
    path = f"/v1/apps/{DEFAULT_PROJECT_ID}/.well-known/openid-configuration"
    assert "registration_endpoint" not in (await InboundClient(emulator).send("GET", path)).json()


@pytest.mark.parametrize(
    "uris",
    [
        [],
        None,
        "http://127.0.0.1/callback",
        [1],
        ["https://attacker.example/callback"],
        ["http://127.0.0.1/callback", "https://attacker.example/callback"],
        ["cursor://callback"],
        ["http://127.0.0.1/callback#fragment"],
    ],
)
async def test_em06_a_client_registers_urls_on_loopback_only(make: Make, uris: object) -> None:
    """No other host is approved for a client that has registered itself."""
    response = await _register(make(PROJECT), redirect_uris=uris)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_redirect_uri")


@pytest.mark.parametrize(
    ("approved", "status"), [(("app.example.com",), 201), ((), 201), (("b.example",), 400)]
)
async def test_a_project_approves_hosts_of_registered_clients(
    make: Make, approved: tuple[str, ...], status: int
) -> None:
    """By the redirects of its sign-ins. Loopback is always approved: native apps need it."""
    emulator = make(Project(approved_redirects=approved))
    response = await _register(emulator, redirect_uris=["https://app.example.com/callback"])
    assert response.status_code == status
    assert (await _register(emulator)).status_code == 201


@pytest.mark.parametrize(("name", "scope"), [(1, "reports:read"), ("Agent", ["reports:read"])])
async def test_metadata_of_the_wrong_type_is_refused(make: Make, name: object, scope: object) -> None:
    """The error has OAuth's format."""
    response = await _register(make(), client_name=name, scope=scope)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_client_metadata")


async def test_a_registered_client_is_an_app_of_the_project(make: Make) -> None:
    """Tests find it there."""
    emulator = make(PROJECT)
    client_id = (await _register(emulator, REGISTER_AT_SERVER, client_name="A" * 300)).json()["client_id"]
    app = emulator.project.find_inbound_app(client_id)
    assert app is not None
    assert (app.mcp_server, len(app.name), app.is_public) == ("MS2reports", 200, True)


@pytest.mark.parametrize("name", ["openid-configuration", "oauth-authorization-server"])
async def test_discovery_of_the_project(make: Make, name: str) -> None:
    """The document lists exactly what is implemented."""
    path = f"/v1/apps/{DEFAULT_PROJECT_ID}/.well-known/{name}"
    assert (await InboundClient(make(PROJECT)).send("GET", path)).json() == {
        "issuer": f"{ORIGIN}/v1/apps/{DEFAULT_PROJECT_ID}",
        "jwks_uri": f"{ORIGIN}/{DEFAULT_PROJECT_ID}/.well-known/jwks.json",
        "authorization_endpoint": f"{ORIGIN}/oauth2/v1/apps/authorize",
        "token_endpoint": f"{ORIGIN}/oauth2/v1/apps/token",
        "userinfo_endpoint": f"{ORIGIN}/oauth2/v1/apps/userinfo",
        "revocation_endpoint": f"{ORIGIN}/oauth2/v1/apps/revoke",
        "registration_endpoint": f"{ORIGIN}{REGISTER}",
        "scopes_supported": ["openid", "profile", "email", "offline_access", "reports:write"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


async def test_discovery_of_an_mcp_server(make: Make) -> None:
    """Userinfo and revocation are those of the project, the rest is its own."""
    path = f"/v1/apps/agentic/{DEFAULT_PROJECT_ID}/MS2reports/.well-known/oauth-authorization-server"
    document = (await InboundClient(make(PROJECT)).send("GET", path)).json()
    agentic = f"{ORIGIN}/oauth2/v1/apps/agentic/{DEFAULT_PROJECT_ID}/MS2reports"
    expected = {
        "issuer": f"{ORIGIN}/v1/apps/agentic/{DEFAULT_PROJECT_ID}/MS2reports",
        "authorization_endpoint": f"{agentic}/authorize",
        "token_endpoint": f"{agentic}/token",
        "userinfo_endpoint": f"{ORIGIN}/oauth2/v1/apps/{DEFAULT_PROJECT_ID}/userinfo",
        "revocation_endpoint": f"{ORIGIN}/oauth2/v1/apps/{DEFAULT_PROJECT_ID}/revoke",
        "registration_endpoint": f"{ORIGIN}{REGISTER_AT_SERVER}",
        "scopes_supported": ["openid", "profile", "email", "offline_access", "reports:read"],
    }
    assert expected.items() <= document.items()


@pytest.mark.parametrize(
    "document",
    [
        f"/v1/apps/{DEFAULT_PROJECT_ID}/.well-known/openid-configuration",
        f"/v1/apps/agentic/{DEFAULT_PROJECT_ID}/MS2reports/.well-known/openid-configuration",
    ],
)
async def test_every_listed_endpoint_exists(make: Make, document: str) -> None:
    """Every URL in a document is served."""
    client = InboundClient(make(PROJECT))
    listed = (await client.send("GET", document)).json()
    urls = [url for name, url in listed.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(urls) == 6
    for url in urls:
        statuses = {(await client.send(method, url)).status_code for method in ("GET", "POST")}
        assert statuses - {404, 405}, url


@pytest.mark.parametrize(
    "path",
    [
        "/v1/apps/P2OTHERprojectThatIsNotThisOne/.well-known/openid-configuration",
        f"/v1/apps/agentic/{DEFAULT_PROJECT_ID}/MS2unknown/.well-known/openid-configuration",
        f"/.well-known/oauth-authorization-server/v1/apps/{DEFAULT_PROJECT_ID}",
        f"/.well-known/openid-configuration/v1/apps/{DEFAULT_PROJECT_ID}",
    ],
)
async def test_other_documents_are_not_found(make: Make, path: str) -> None:
    """Other projects and servers, and the paths of RFC 8414, which Descope does not list."""
    assert (await InboundClient(make(PROJECT)).send("GET", path)).status_code == 404


async def test_a_client_cannot_register_at_an_unknown_server(make: Make) -> None:
    """The server must be one of the project."""
    path = REGISTER_AT_SERVER.replace("reports", "unknown")
    assert (await _register(make(PROJECT), path)).status_code == 404
