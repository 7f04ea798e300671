"""The discovery documents of inbound apps and of MCP servers (wire contract, section 11.2)."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..api_errors import ApiError
from ..auth_server import AuthServer
from ..inbound_apps import STANDARD_SCOPES, McpServer
from ..project import Project
from ..urls import absolute_url

__all__ = ["InboundDiscovery", "requested_server"]

_DOCUMENTS = ("openid-configuration", "oauth-authorization-server")


class InboundDiscovery:
    """One document for the inbound apps of the project, and one for each of its MCP servers.

    Each lists exactly what the emulator implements. Descope does not serve them at the path of RFC 8414.
    """

    def __init__(self, auth_server: AuthServer) -> None:
        self._auth_server = auth_server

    @property
    def routes(self) -> list[Route]:
        """The routes, under one endpoint name."""
        places = ("/v1/apps/{project_id}", "/v1/apps/agentic/{project_id}/{server_id}")
        return [
            Route(
                f"{place}/.well-known/{document}",
                self.inbound_discovery,
                methods=["GET"],
                name="inbound_discovery",
            )
            for place in places
            for document in _DOCUMENTS
        ]

    async def inbound_discovery(self, request: Request) -> Response:
        """Return the document; 404 for another project or an unknown MCP server."""
        project = self._auth_server.project
        server = requested_server(request, project)
        endpoints = _project_endpoints(project) if server is None else _server_endpoints(project, server)
        document = {name: absolute_url(request, path) for name, path in endpoints.items()}
        if project.assumptions.client_registration == "disabled":
            del document["registration_endpoint"]
        return JSONResponse(document | _capabilities(_scopes(project, server)))


def requested_server(request: Request, project: Project) -> McpServer | None:
    """Return the MCP server in the path of a request, or None if the path has none.

    Raises:
        ApiError: The path has another project, or an unknown MCP server (404).
    """
    path = request.path_params
    server = project.find_mcp_server(path.get("server_id", ""))
    if path.get("project_id", project.project_id) != project.project_id or (
        server is None and "server_id" in path
    ):
        raise ApiError.unacceptable("No such project or MCP server", 404)
    return server


def _project_endpoints(project: Project) -> dict[str, str]:
    project_id, apps = project.project_id, "/oauth2/v1/apps"
    return {
        "issuer": f"/v1/apps/{project_id}",
        "jwks_uri": f"/{project_id}/.well-known/jwks.json",
        "authorization_endpoint": f"{apps}/authorize",
        "token_endpoint": f"{apps}/token",
        "userinfo_endpoint": f"{apps}/userinfo",
        "revocation_endpoint": f"{apps}/revoke",
        "registration_endpoint": f"/v1/mgmt/inboundapp/app/{project_id}/register",
    }


def _server_endpoints(project: Project, server: McpServer) -> dict[str, str]:
    """Return the endpoints of a server. Userinfo and revocation are those of the project."""
    place, apps = f"{project.project_id}/{server.id}", f"/oauth2/v1/apps/{project.project_id}"
    return _project_endpoints(project) | {
        "issuer": f"/v1/apps/agentic/{place}",
        "authorization_endpoint": f"/oauth2/v1/apps/agentic/{place}/authorize",
        "token_endpoint": f"/oauth2/v1/apps/agentic/{place}/token",
        "userinfo_endpoint": f"{apps}/userinfo",
        "revocation_endpoint": f"{apps}/revoke",
        "registration_endpoint": f"/v1/mgmt/mcp/client/{place}/register",
    }


def _scopes(project: Project, server: McpServer | None) -> list[str]:
    owners = project.inbound_apps if server is None else (server,)
    return list(dict.fromkeys([*STANDARD_SCOPES, *(scope for each in owners for scope in each.scopes)]))


def _capabilities(scopes: Iterable[str]) -> dict[str, object]:
    return {
        "scopes_supported": list(scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_post", "client_secret_basic"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }
