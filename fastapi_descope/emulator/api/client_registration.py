"""Dynamic registration of clients: metadata to an inbound app (RFC 7591)."""

import secrets

from ..api_errors import ApiError, OAuthError
from ..inbound_apps import InboundApp, McpServer
from ..project import Project
from ..urls import LOOPBACK_HOSTS, is_absolute_url, is_approved
from .request_parsing import string_list

__all__ = ["register_client"]

_MAX_NAME = 200


def register_client(
    metadata: dict[str, object], project: Project, server: McpServer | None, *, with_secret: bool
) -> InboundApp:
    """Return a new client. It may ask for those of its scopes that the server, or any app, may ask for.

    Args:
        metadata: The body of the request.
        project: The project.
        server: The MCP server at which the client registers, if any.
        with_secret: Create a confidential client.

    Raises:
        OAuthError: A redirect URI is missing or not approved (``invalid_redirect_uri``), or another field has
            the wrong type (``invalid_client_metadata``).
    """
    name, scope = (_text(metadata, key) for key in ("client_name", "scope"))
    allowed = _allowed_scopes(project, server)
    requested = set(scope.split()) or set(allowed)
    return InboundApp(
        f"TPA2{secrets.token_hex(13)}",
        name[:_MAX_NAME],
        secrets.token_urlsafe(32) if with_secret else "",
        _redirect_uris(metadata, project),
        {each: description for each, description in allowed.items() if each in requested},
        resources=() if server is not None else _allowed_resources(project),
        mcp_server=server.id if server is not None else "",
    )


def _text(metadata: dict[str, object], name: str) -> str:
    value = metadata.get(name, "")
    if not isinstance(value, str):
        raise OAuthError("invalid_client_metadata", f"{name} must be a string")
    return value


def _redirect_uris(metadata: dict[str, object], project: Project) -> tuple[str, ...]:
    """Return the redirect URIs: loopback ones, and those that the project approves."""
    try:
        uris = string_list(metadata, "redirect_uris")
    except ApiError as error:
        raise OAuthError("invalid_redirect_uri", error.message) from None
    approved = (*LOOPBACK_HOSTS, *project.approved_redirects) if project.approved_redirects else ()
    if not uris or not all(is_absolute_url(uri) and is_approved(uri, approved) for uri in uris):
        raise OAuthError(
            "invalid_redirect_uri", "Expected URLs on loopback or an approved host of the project"
        )
    return uris


def _allowed_scopes(project: Project, server: McpServer | None) -> dict[str, str]:
    owners = project.inbound_apps if server is None else (server,)
    return {scope: text for each in owners for scope, text in each.scopes.items()}


def _allowed_resources(project: Project) -> tuple[str, ...]:
    return tuple(dict.fromkeys(resource for app in project.inbound_apps for resource in app.resources))
