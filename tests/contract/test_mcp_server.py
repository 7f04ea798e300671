"""The MCP server of docs/how-to/mcp.md and the official MCP client, both unmodified, over real sockets."""

import re
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import httpx2
import pytest
from fastapi import FastAPI
from mcp import Client, MCPError
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

from fastapi_descope.emulator import Assumptions, Emulator, InboundApp, McpServer, Project
from fastapi_descope.emulator.server import running
from tests.helpers.callers import INBOUND_FORMS
from tests.helpers.emulator import signing_key
from tests.helpers.live_server import listening, serve_app

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "mcp.md"
CALLBACK = "http://127.0.0.1:9/callback"


def app_of_the_page() -> FastAPI:
    """Run ``main.py`` of the page, and return its app."""
    (source,) = re.findall(r"```python\n# main.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, "main.py", "exec"), names)  # noqa: S102 - the page's own code
    app = names["app"]
    assert isinstance(app, FastAPI)
    return app


@dataclass
class Server:
    """The running server of the page, and its emulator."""

    emulator: Emulator
    url: str


MCP_SERVER = "MS2reports"
SCOPES = {"reports:read": "Read your reports"}


@contextmanager
def serving(
    monkeypatch: pytest.MonkeyPatch, *, mcp_server: bool = True, **assumptions: Any
) -> Generator[Server]:
    """Serve the app of the page and an emulator, each on a socket of its own.

    Without ``mcp_server`` the URL of the server is an audience of an inbound app of the project.
    """
    emulator = Emulator(Project(assumptions=Assumptions(**assumptions)), signing_key=signing_key())
    with ExitStack() as stack:
        base_url = stack.enter_context(running(emulator))
        listener, origin = stack.enter_context(listening())
        url = f"{origin}/mcp"
        variables = {"PROJECT_ID": emulator.project_id, "BASE_URL": base_url, "RESOURCE": url}
        if mcp_server:
            variables["MCP_SERVER"] = MCP_SERVER
            servers = (McpServer(MCP_SERVER, url, "Reports", SCOPES),)
            emulator.project = replace(emulator.project, mcp_servers=servers)
        else:
            apps = (InboundApp("TPA2reports", scopes=SCOPES, resources=(url,)),)
            emulator.project = replace(emulator.project, inbound_apps=apps)
        for name, value in variables.items():
            monkeypatch.setenv(f"DESCOPE_{name}", value)
        stack.enter_context(serve_app(app_of_the_page(), listener))
        yield Server(emulator, url)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Generator[Server]:
    """Return the server of the page, which is an MCP server of the project."""
    with serving(monkeypatch) as server:
        yield server


@dataclass
class Storage:
    """What a client remembers between its runs."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Remember the tokens."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return the registration."""
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Remember the registration."""
        self.client = client_info


@dataclass
class User:
    """A person at a browser, who signs in and decides on the consent page."""

    decision: str = "allow"
    authorizations: list[Mapping[str, list[str]]] = field(default_factory=list[Mapping[str, list[str]]])
    _redirect: str = ""

    async def open(self, url: str) -> None:
        """Open the authorization URL, sign in as Ada, and decide."""
        self.authorizations.append(parse_qs(urlsplit(url).query))
        async with httpx.AsyncClient(trust_env=False) as browser:
            page = (await browser.get(url)).headers["location"]
            consent = await self._submit(browser, page, login_id="ada@acme.example")
            self._redirect = await self._submit(browser, consent, decision=self.decision)

    @staticmethod
    async def _submit(browser: httpx.AsyncClient, url: str, **fields: str) -> str:
        page = await browser.get(url)
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)
        assert token is not None, page.text
        headers = {"sec-fetch-site": "same-origin"}
        sent = await browser.post(url, data={"form_token": token[1], **fields}, headers=headers)
        return sent.headers["location"]

    async def come_back(self) -> AuthorizationCodeResult:
        """Return the parameters of the redirect to the client."""
        query = parse_qs(urlsplit(self._redirect).query)
        return AuthorizationCodeResult(code=query.get("code", [""])[0], state=query["state"][0])


@asynccontextmanager
async def connected(server: Server, user: User, storage: Storage) -> AsyncGenerator[Client]:
    """Connect the official client, which authorizes itself when it has to."""
    provider = OAuthClientProvider(
        server.url,
        OAuthClientMetadata(client_name="Agent", redirect_uris=[CALLBACK]),  # type: ignore[list-item] # parsed
        storage,
        redirect_handler=user.open,
        callback_handler=user.come_back,
    )
    async with (
        httpx2.AsyncClient(auth=provider, trust_env=False, follow_redirects=True) as http,
        Client(streamable_http_client(server.url, http_client=http)) as client,
    ):
        yield client


async def assert_works(server: Server) -> None:
    """Assert that a client that knows only the address of the server registers, signs in and calls a tool."""
    user, storage = User(), Storage()

    async with connected(server, user, storage) as client:
        result = await client.call_tool("whoami", {})

    assert storage.client is not None
    assert result.structured_content == {"result": f"{storage.client.client_id} for {ada(server)}"}
    (asked,) = user.authorizations
    assert asked["resource"] == [server.url]
    assert "reports:read" in asked["scope"][0].split()
    assert asked["code_challenge_method"] == ["S256"]


def ada(server: Server) -> str:
    """Return the user id of Ada."""
    user = server.emulator.project.find_user("ada@acme.example")
    assert user is not None
    return user.user_id


async def test_client_discovers_descope_registers_signs_in_and_calls_a_tool(server: Server) -> None:
    """By the discovery document of the MCP server."""
    await assert_works(server)


async def test_an_inbound_app_of_the_project_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the discovery document of the project."""
    with serving(monkeypatch, mcp_server=False) as server:
        await assert_works(server)


@pytest.mark.parametrize(
    "assumptions",
    [*INBOUND_FORMS, {"inbound_refresh_rotates": True}, {"client_registration": "secret"}],
    ids=str,
)
async def test_undocumented_behaviour_of_descope_makes_no_difference(
    monkeypatch: pytest.MonkeyPatch, assumptions: Mapping[str, Any]
) -> None:
    """Each switch of the emulator is what Descope may do."""
    with serving(monkeypatch, **assumptions) as server:
        await assert_works(server)


async def test_cl05_token_without_the_address_as_audience_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The specification requires it: the token may have been stolen by another server of the project."""
    with (
        serving(monkeypatch, inbound_audience="project") as server,
        pytest.raises(BaseExceptionGroup) as caught,
    ):
        await assert_works(server)

    assert caught.group_contains(MCPError)
    assert any("token_rejected reason=audience" in message for message in caplog.messages)


async def test_known_client_calls_a_tool_without_its_user(server: Server) -> None:
    """Its token is still valid."""
    user, storage = User(), Storage()
    async with connected(server, user, storage):
        pass

    async with connected(server, user, storage) as client:
        await client.call_tool("whoami", {})

    assert len(user.authorizations) == 1


async def test_token_with_too_few_scopes_makes_the_client_ask_for_the_missing_one(server: Server) -> None:
    """The challenge of the 403 names it."""
    user, storage = User(), Storage()
    async with connected(server, user, storage):
        pass
    remember(storage, server, scopes=("openid",))

    async with connected(server, user, storage) as client:
        await client.call_tool("whoami", {})

    assert "reports:read" in user.authorizations[1]["scope"][0].split()


async def test_expired_token_makes_the_client_authorize_again(server: Server) -> None:
    """The challenge of the 401 leads to the metadata."""
    user, storage = User(), Storage()
    async with connected(server, user, storage):
        pass
    remember(storage, server, scopes=("reports:read",), seconds=-60)

    async with connected(server, user, storage) as client:
        await client.call_tool("whoami", {})

    assert len(user.authorizations) == 2


def remember(storage: Storage, server: Server, *, scopes: tuple[str, ...], seconds: int = 600) -> None:
    """Replace the token that the client remembers."""
    assert storage.client is not None
    token = server.emulator.issue_delegate(
        "ada@acme.example", storage.client.client_id, scopes, resources=(server.url,), seconds=seconds
    )
    storage.tokens = OAuthToken(access_token=token, token_type="Bearer", scope=" ".join(scopes))


async def test_user_who_denies_the_consent_connects_no_client(server: Server) -> None:
    """The client gets an error and no token."""
    storage = Storage()

    with pytest.raises(BaseExceptionGroup) as caught:
        async with connected(server, User(decision="deny"), storage):
            pass

    assert caught.group_contains(OAuthFlowError)
    assert storage.tokens is None
