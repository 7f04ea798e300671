"""Descope as an OpenID provider (wire contract, section 2.14): discovery and the code flow with PKCE."""

import contextlib
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ..api_errors import ApiError, OAuthError
from ..auth_server import AuthServer
from ..logins import ConfirmedLogin, Login, LoginStore, OidcRequest
from ..project import Project
from ..tokens import IssuedTokens
from ..urls import absolute_url, add_query, is_approved
from .login_start import sign_in_page_url
from .oauth import Parameters, challenge_matches, is_challenge, read_parameters

__all__ = ["OidcApi"]

_SCOPES = ("openid", "profile", "email")


class OidcApi:
    """The endpoints of the discovery document. Clients are public: the project and its federated apps.

    This is a subset of Descope's provider: the code flow with S256 only, a refresh token for every client,
    no client secrets, no consent. The access token is a session JWT with ``scope``, ``azp`` and ``aud``.
    """

    def __init__(self, auth_server: AuthServer, logins: LoginStore, clock: Callable[[], float]) -> None:
        self._auth_server = auth_server
        self._logins = logins
        self._clock = clock

    @property
    def routes(self) -> list[Route]:
        """The routes. The name of a route is the name of the endpoint for faults and the journal."""
        document = "/.well-known/openid-configuration"
        table = [
            ("/{project_id}" + document, self.discovery, ["GET"]),
            ("/{project_id}/{app_id}" + document, self.discovery, ["GET"]),
            ("/oauth2/v1/authorize", self.oidc_authorize, ["GET", "POST"]),
            ("/oauth2/v1/token", self.oidc_token, ["POST"]),
            ("/oauth2/v1/userinfo", self.oidc_userinfo, ["GET", "POST"]),
            ("/oauth2/v1/revoke", self.oidc_revoke, ["POST"]),
            ("/oauth2/v1/logout", self.oidc_logout, ["GET", "POST"]),
        ]
        return [Route(path, call, methods=methods, name=call.__name__) for path, call, methods in table]

    @property
    def _project(self) -> Project:
        return self._auth_server.project

    async def discovery(self, request: Request) -> Response:
        """Return the discovery document of the project or of one of its federated apps."""
        client = request.path_params.get("app_id", self._project.project_id)
        if request.path_params["project_id"] != self._project.project_id or not self._is_client(client):
            raise ApiError.unacceptable("No such project or app", 404)
        oauth = absolute_url(request, "/oauth2/v1")
        return JSONResponse(
            {
                "issuer": self._issuer(request, client),
                "jwks_uri": absolute_url(request, f"/{self._project.project_id}/.well-known/jwks.json"),
                "authorization_endpoint": f"{oauth}/authorize",
                "token_endpoint": f"{oauth}/token",
                "userinfo_endpoint": f"{oauth}/userinfo",
                "revocation_endpoint": f"{oauth}/revoke",
                "end_session_endpoint": f"{oauth}/logout",
                "scopes_supported": list(_SCOPES),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def oidc_authorize(self, request: Request) -> Response:
        """Redirect to the sign-in page. An unknown client or redirect URI gets an error without a redirect.

        A POST has the parameters in its form (OpenID Connect Core, section 3.1.2.1).
        """
        query = await read_parameters(request)
        client_id, redirect_uri = query.get("client_id", ""), query.get("redirect_uri", "")
        if not self._is_client(client_id):
            raise ApiError.unacceptable("No such client")
        if not is_approved(redirect_uri, self._project.approved_redirects):
            raise ApiError.unacceptable("redirect_uri is not in the approved domains of the project")
        back = add_query(redirect_uri, {"state": query["state"]} if "state" in query else {})
        error = _authorization_error(query)
        if error is not None:
            return RedirectResponse(add_query(back, {"error": error}), 303)
        client = OidcRequest(
            client_id,
            redirect_uri,
            scope=" ".join(scope for scope in query["scope"].split() if scope in _SCOPES),
            challenge=query["code_challenge"],
            nonce=query.get("nonce", ""),
        )
        hint = query.get("login_hint", "")
        login = Login(tenant=None, redirect_url=back, login_hint=hint, oidc_request=client)
        return RedirectResponse(sign_in_page_url(request, self._logins.create_page(login)), 303)

    async def oidc_token(self, request: Request) -> Response:
        """Return tokens for a code or a refresh token. Errors have OAuth's format."""
        form = await read_parameters(request)
        return JSONResponse(self._grant(request, form), headers={"cache-control": "no-store"})

    async def oidc_userinfo(self, request: Request) -> Response:
        """Return the claims that the access token's scope permits; 401 without a valid one (RFC 6750)."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            claims = self._auth_server.validate_session(token if scheme.lower() == "bearer" else "")
        except ApiError:
            claims = {}
        scope = str(claims.get("scope", "")).split()
        if "openid" not in scope:  # no token, or a session JWT of another kind of sign-in
            challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
            return JSONResponse(ApiError.bad_token().body, 401, challenge)
        subject = str(claims.get("dsub") or claims["sub"])
        user = self._project.find_user(subject)
        claims_out: dict[str, object] = {"sub": subject}
        if user is not None and "email" in scope:
            claims_out |= {"email": user.email, "email_verified": bool(user.email)}
        if user is not None and "profile" in scope:
            claims_out |= {"name": user.name}
        return JSONResponse(claims_out)

    async def oidc_revoke(self, request: Request) -> Response:
        """End the session of a refresh token. An invalid token is not an error (RFC 7009)."""
        token = (await read_parameters(request)).get("token", "")
        with contextlib.suppress(ApiError):
            self._auth_server.log_out(token)
        return JSONResponse({})

    async def oidc_logout(self, request: Request) -> Response:
        """End the session of an ID token, which may have expired, and redirect to the app."""
        query = await read_parameters(request)
        hint = self._auth_server.keys.verify(query.get("id_token_hint", ""))
        if hint is None:
            raise ApiError.bad_token("id_token_hint is missing or not a token of this project")
        self._auth_server.revoke_session(str(hint.get("sid", "")))
        back = query.get("post_logout_redirect_uri", "")
        if not back:
            return JSONResponse({})
        if not is_approved(back, self._project.approved_redirects):
            raise ApiError.unacceptable("post_logout_redirect_uri is not in the approved domains")
        state = {"state": query["state"]} if "state" in query else {}
        return RedirectResponse(add_query(back, state), 303)

    def _grant(self, request: Request, form: Parameters) -> dict[str, object]:
        match form.get("grant_type", ""):
            case "authorization_code":
                return self._redeem(request, form)
            case "refresh_token":
                return self._renew(form)
            case _:
                raise OAuthError(
                    "unsupported_grant_type", "The grant type must be authorization_code or refresh_token"
                )

    def _redeem(self, request: Request, form: Parameters) -> dict[str, object]:
        confirmed = self._logins.redeem_code(form.get("code", ""))
        client = confirmed.login.oidc_request if confirmed is not None else None
        if confirmed is None or client is None or not _matches(client, form):
            raise OAuthError("invalid_grant", "The code is invalid, or belongs to another request")
        issuer = self._issuer(request, client.client_id)
        extra = {"iss": issuer, "aud": [client.client_id], "azp": client.client_id, "scope": client.scope}
        issued = self._auth_server.sign_in(confirmed, extra)
        identity = self._identity(confirmed, client, issued) | {"iss": issuer}
        return self._tokens(issued, client.scope) | {"id_token": self._auth_server.keys.sign(identity)}

    def _renew(self, form: Parameters) -> dict[str, object]:
        token = form.get("refresh_token", "")
        try:
            extra = self._auth_server.extra_claims(token)
            if extra.get("azp", "") != form.get("client_id"):
                raise OAuthError("invalid_grant", "The refresh token belongs to another client")
            return self._tokens(self._auth_server.refresh(token), str(extra["scope"]))
        except ApiError as error:
            raise OAuthError("invalid_grant", error.message) from None

    def _tokens(self, issued: IssuedTokens, scope: str) -> dict[str, object]:
        response: dict[str, object] = {
            "access_token": issued.session_jwt,
            "token_type": "Bearer",
            "expires_in": issued.session_expires_at - int(self._clock()),
            "scope": scope,
        }
        return response | ({"refresh_token": issued.refresh_jwt} if issued.refresh_jwt else {})

    def _identity(
        self, confirmed: ConfirmedLogin, client: OidcRequest, issued: IssuedTokens
    ) -> dict[str, object]:
        """Return the claims of an ID token without its issuer. ``sid`` identifies the session at a logout."""
        user, now = confirmed.user, int(self._clock())
        claims: dict[str, object] = {
            "sub": user.user_id,
            "aud": client.client_id,
            "iat": now,
            "exp": issued.session_expires_at,
            "sid": issued.session_id,
            "email": user.email,
            "name": user.name,
        }
        return claims | ({"nonce": client.nonce} if client.nonce else {})

    def _is_client(self, client_id: str) -> bool:
        return client_id in {self._project.project_id, *self._project.federated_apps}

    def _issuer(self, request: Request, client_id: str) -> str:
        project_issuer = absolute_url(request, f"/{self._project.project_id}")
        return project_issuer if client_id == self._project.project_id else f"{project_issuer}/{client_id}"


def _authorization_error(query: Parameters) -> str | None:
    """Return the error of an authorization request, or None.

    See RFC 6749, section 4.1.2.1, and OpenID Connect Core, section 3.1.2.6.

    The emulator keeps no session of its own, so ``prompt=none`` always fails.
    """
    if query.get("response_type") != "code":
        return "unsupported_response_type"
    if "openid" not in query.get("scope", "").split():
        return "invalid_scope"
    if not is_challenge(query):
        return "invalid_request"
    return "login_required" if "none" in query.get("prompt", "").split() else None


def _matches(client: OidcRequest, form: Parameters) -> bool:
    same_client = (form.get("client_id"), form.get("redirect_uri")) == (client.client_id, client.redirect_uri)
    return same_client and challenge_matches(client.challenge, form.get("code_verifier", ""))
