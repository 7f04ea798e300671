"""``InboundApp`` and ``McpServer``: valid values, and the errors of invalid ones."""

from typing import Any

import pytest

from fastapi_descope.emulator import InboundApp, McpServer, Project

MCP = "https://mcp.example.com/mcp"


def test_an_app_is_called_by_its_name_or_its_id() -> None:
    """The consent page always has something to show."""
    assert (InboundApp("TPA2a").name, InboundApp("TPA2a", "Reader").name) == ("TPA2a", "Reader")
    assert (McpServer("MS2a", MCP).name, McpServer("MS2a", MCP, "Reports").name) == ("MS2a", "Reports")


def test_an_app_without_a_secret_is_public() -> None:
    """A confidential app does not show its secret."""
    confidential = InboundApp("TPA2a", secret="opensesame")
    assert (InboundApp("TPA2a").is_public, confidential.is_public) == (True, False)
    assert "opensesame" not in repr(confidential)


def test_scopes_are_read_only() -> None:
    """The values of a project never change."""
    scopes = {"reports:read": "Read"}
    app, server = InboundApp("TPA2a", scopes=scopes), McpServer("MS2a", MCP, scopes=scopes)
    scopes["reports:write"] = "Write"
    assert dict(app.scopes) == dict(server.scopes) == {"reports:read": "Read"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"client_id": ""}, "client_id: expected visible ASCII"),
        ({"client_id": "a:b"}, "client_id: expected visible ASCII"),
        ({"client_id": "TPA2a", "secret": "with space"}, "secret: expected visible ASCII"),
        ({"client_id": "TPA2a", "scopes": {"with space": ""}}, "scopes: expected names"),
        ({"client_id": "TPA2a", "scopes": {"": ""}}, "scopes: expected names"),
        ({"client_id": "TPA2a", "redirect_uris": ("/callback",)}, "redirect_uris: expected absolute"),
        (
            {"client_id": "TPA2a", "redirect_uris": ("https://a.example/#x",)},
            "redirect_uris: expected absolute",
        ),
        ({"client_id": "TPA2a", "resources": ("api",)}, "resources: expected absolute"),
        ({"client_id": "TPA2a", "access_seconds": 0}, "access_seconds must be positive"),
        ({"client_id": "TPA2a", "refresh_seconds": 10**9}, "refresh_seconds must be at most"),
    ],
)
def test_an_invalid_app_is_an_error(fields: dict[str, Any], message: str) -> None:
    """It fails at start-up and not during a request."""
    with pytest.raises(ValueError, match=message):
        InboundApp(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "a/b", "url": MCP}, "id: expected letters"),
        ({"id": "MS2a", "url": "mcp"}, "url: expected absolute"),
        ({"id": "MS2a", "url": MCP, "scopes": {'"': ""}}, "scopes: expected names"),
    ],
)
def test_an_invalid_server_is_an_error(fields: dict[str, Any], message: str) -> None:
    """Its id is a segment of a path."""
    with pytest.raises(ValueError, match=message):
        McpServer(**fields)


@pytest.mark.parametrize(
    ("apps", "servers", "message"),
    [
        ((InboundApp("TPA2a"), InboundApp("TPA2a")), (), "every client id in a project must be unique"),
        ((), (McpServer("MS2a", MCP), McpServer("MS2a", MCP)), "every MCP server id"),
        ((InboundApp("TPA2a", mcp_server="MS2b"),), (McpServer("MS2a", MCP),), "an MCP server the project"),
    ],
)
def test_apps_and_servers_of_a_project_fit_together(
    apps: tuple[InboundApp, ...], servers: tuple[McpServer, ...], message: str
) -> None:
    """Ids are unique, and an app is at a server of the project."""
    with pytest.raises(ValueError, match=message):
        Project(inbound_apps=apps, mcp_servers=servers)
