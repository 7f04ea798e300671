"""Descope as the OAuth server of inbound apps (wire contract, section 11.1)."""

import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ..api_errors import ApiError, OAuthError
from ..auth_server import AuthServer
from ..inbound_apps import STANDARD_SCOPES, InboundApp
from ..inbound_server import InboundServer, InboundTokens, TokenRequest
from ..inbound_tokens import InboundGrant
from ..logins import InboundRequest, Login, LoginStore
from ..project import Project
from ..urls import absolute_url, add_query, is_registered_redirect
from .client_registration import register_client
from .inbound_discovery import requested_server
from .login_start import sign_in_page_url
from .oauth import (
    Parameters,
    challenge_matches,
    client_credentials,
    is_challenge,
    read_parameters,
)
from .request_parsing import json_object

__all__ = ["InboundAppsApi"]

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


class InboundAppsApi:
    """The endpoints of the discovery documents: code flow with consent, refresh, and client credentials.

    This is a subset of Descope's server: no device flow, no CIBA, no token exchange, no JWT bearer, no JAR.
    It binds tokens to the key that ``dpop_jkt`` announces, but checks no DPoP proof.
    """

    def __init__(
        self, auth_server: AuthServer, server: InboundServer, logins: LoginStore, clock: Callable[[], float]
    ) -> None:
        self._auth_server = auth_server
        self._server = server
        self._logins = logins
        self._clock = clock

    @property
    def routes(self) -> list[Route]:
        """The routes. The name of a route is the name of the endpoint for faults and the journal."""
        apps, both = "/oauth2/v1/apps", ["GET", "POST"]
        agentic = f"{apps}/agentic/{{project_id}}/{{server_id}}"
        table = [
            *((place, "authorize", self.inbound_authorize, both) for place in _places(apps, agentic)),
            *((place, "token", self.inbound_token, ["POST"]) for place in _places(apps, agentic)),
            *((place, "userinfo", self.inbound_userinfo, both) for place in _places(apps)),
            *((place, "revoke", self.inbound_revoke, ["POST"]) for place in _places(apps)),
            ("/v1/mgmt/inboundapp/app/{project_id}", "register", self.inbound_register, ["POST"]),
            ("/v1/mgmt/mcp/client/{project_id}/{server_id}", "register", self.inbound_register, ["POST"]),
        ]
        return [
            Route(f"{place}/{name}", call, methods=methods, name=call.__name__)
            for place, name, call, methods in table
        ]

    @property
    def _project(self) -> Project:
        return self._auth_server.project

    async def inbound_authorize(self, request: Request) -> Response:
        """Redirect to the sign-in page, which leads to the consent page.

        An unknown client or redirect URI gets an error without a redirect; every other mistake is reported to
        the app (RFC 6749, section 4.1.2.1).
        """
        server = requested_server(request, self._project)
        query = await read_parameters(request)
        app = self._project.find_inbound_app(query.get("client_id", ""))
        if app is None or (server is not None and app.mcp_server != server.id):
            raise ApiError.unacceptable("No such client")
        redirect_uri = query.get("redirect_uri", "")
        if not is_registered_redirect(redirect_uri, app.redirect_uris):
            raise ApiError.unacceptable("redirect_uri is not one of the client's")
        back = add_query(redirect_uri, {"state": query["state"]}) if "state" in query else redirect_uri
        error = self._authorization_error(app, query)
        if error:
            return RedirectResponse(add_query(back, {"error": error}), 303)
        login = Login(
            tenant=self._project.tenant_by_id(query.get("tenant")),
            redirect_url=back,
            login_hint=query.get("loginHint", query.get("login_hint", "")),
            inbound_request=_inbound_request(app, query),
        )
        return RedirectResponse(sign_in_page_url(request, self._logins.create_page(login)), 303)

    async def inbound_token(self, request: Request) -> Response:
        """Return tokens for a code, a refresh token, or the client itself. Errors have OAuth's format."""
        server = requested_server(request, self._project)
        form = await read_parameters(request)
        app = self._server.authenticate(*client_credentials(request, form))
        if server is not None and app.mcp_server != server.id:
            raise OAuthError("unauthorized_client", "The client is not registered at this MCP server")
        scopes, resource = tuple(form.get("scope", "").split()), form.get("resource", "")
        tokens = self._grant(TokenRequest(app, absolute_url(request, ""), scopes, resource), form)
        return JSONResponse(self._response(tokens), headers={"cache-control": "no-store"})

    async def inbound_userinfo(self, request: Request) -> Response:
        """Return the claims that the access token's scopes permit; 401 without a valid one (RFC 6750)."""
        requested_server(request, self._project)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        claims = self._server.userinfo(token) if scheme.lower() in {"bearer", "dpop"} else None
        if claims is None:
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
            return JSONResponse(ApiError.bad_token().body, 401, challenge)
        return JSONResponse(claims)

    async def inbound_revoke(self, request: Request) -> Response:
        """End the family of a refresh token. An access token stays valid, an invalid one is not an error."""
        requested_server(request, self._project)
        form = await read_parameters(request)
        app = self._server.authenticate(*client_credentials(request, form))
        self._server.revoke(form.get("token", ""), app)
        return JSONResponse({})

    async def inbound_register(self, request: Request) -> Response:
        """Register a client without authentication (RFC 7591); 403 if that is disabled."""
        server = requested_server(request, self._project)
        choice = self._project.assumptions.client_registration
        if choice == "disabled":
            raise ApiError.unacceptable("Dynamic client registration is disabled", 403)
        metadata = await json_object(request)
        app = register_client(metadata, self._project, server, with_secret=choice == "secret")
        self._server.register(app)
        confidential = {"client_secret": app.secret, "client_secret_expires_at": 0}
        body: dict[str, object] = {
            "client_id": app.client_id,
            "client_id_issued_at": int(self._clock()),
            "client_name": app.name,
            "redirect_uris": list(app.redirect_uris),
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none" if app.is_public else "client_secret_post",
            "scope": " ".join((*STANDARD_SCOPES, *app.scopes)),
        }
        return JSONResponse(
            body | ({} if app.is_public else confidential), 201, {"cache-control": "no-store"}
        )

    def _authorization_error(self, app: InboundApp, query: Parameters) -> str:
        """Return the error of an authorization request, or "".

        The emulator keeps no session of its own, so ``prompt=none`` always fails.
        """
        if query.get("response_type") != "code":
            return "unsupported_response_type"
        if not set(query.get("scope", "").split()) <= {*STANDARD_SCOPES, *app.scopes}:
            return "invalid_scope"
        if not set(query.getlist("resource")) <= set(self._server.allowed_resources(app)):
            return "invalid_target"
        if "tenant" in query and self._project.tenant_by_id(query["tenant"]) is None:
            return "invalid_request"
        if (app.is_public or "code_challenge" in query) and not is_challenge(query):
            return "invalid_request"
        if "dpop_jkt" in query and not _THUMBPRINT.fullmatch(query["dpop_jkt"]):
            return "invalid_request"
        return "login_required" if "none" in query.get("prompt", "").split() else ""

    def _grant(self, request: TokenRequest, form: Parameters) -> InboundTokens:
        match form.get("grant_type", ""):
            case "authorization_code":
                return self._redeem(request, form)
            case "refresh_token":
                return self._server.refresh(request, form.get("refresh_token", ""))
            case "client_credentials":
                return self._server.issue_for_app(request)
            case _:
                raise OAuthError(
                    "unsupported_grant_type",
                    "The grant type must be authorization_code, refresh_token or client_credentials",
                )

    def _redeem(self, request: TokenRequest, form: Parameters) -> InboundTokens:
        confirmed = self._logins.redeem_code(form.get("code", ""))
        client = confirmed.login.inbound_request if confirmed is not None else None
        if confirmed is None or client is None or not _matches(client, request.app, form):
            raise OAuthError("invalid_grant", "The code is invalid, or belongs to another request")
        return self._server.start(request, client.grant_to(confirmed.user), confirmed.user.user_id)

    def _response(self, tokens: InboundTokens) -> dict[str, object]:
        dpop = self._project.assumptions.dpop_token_type
        return {
            "access_token": tokens.access_token,
            "token_type": dpop if tokens.grant.jkt else "Bearer",
            "expires_in": tokens.seconds,
            "scope": tokens.grant.scope,
            **({"refresh_token": tokens.refresh_token} if tokens.refresh_token else {}),
            **({"id_token": tokens.id_token} if tokens.id_token else {}),
        }


def _places(apps: str, *more: str) -> tuple[str, ...]:
    """Return the paths of an endpoint: without the project, with it, and further ones."""
    return (apps, f"{apps}/{{project_id}}", *more)


def _inbound_request(app: InboundApp, query: Parameters) -> InboundRequest:
    """Return a valid request. Without ``scope`` an app asks for all of its own scopes."""
    grant = InboundGrant(
        app.client_id,
        None,
        tuple(dict.fromkeys(query.get("scope", "").split())) or tuple(app.scopes),
        tenant=query.get("tenant"),
        resources=tuple(query.getlist("resource")),
        mcp_server=app.mcp_server,
        jkt=query.get("dpop_jkt", ""),
        nonce=query.get("nonce", ""),
    )
    return InboundRequest(grant, query["redirect_uri"], query.get("code_challenge", ""))


def _matches(client: InboundRequest, app: InboundApp, form: Parameters) -> bool:
    """Return whether a code belongs to a client. Descope's token endpoint has no ``redirect_uri``."""
    has_redirect = form.get("redirect_uri", client.redirect_uri) == client.redirect_uri
    verifier = form.get("code_verifier", "")
    has_proof = challenge_matches(client.challenge, verifier) if client.challenge else not verifier
    return client.grant.client_id == app.client_id and has_redirect and has_proof
