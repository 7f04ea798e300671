"""Descope's authentication API: one method per endpoint, a thin layer over ``AuthServer``."""

from collections.abc import Callable
from typing import Literal, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..api_errors import ApiError
from ..auth_server import AuthServer
from ..directory import SeedTenant
from ..logins import Login, LoginStore
from ..project import Project
from ..tokens import IssuedTokens
from .authentication import (
    authenticate,
    optional_refresh_token,
    parse_access_key,
    require_management_key,
    require_project,
    require_refresh_token,
)
from .login_start import login_for, parse_login_options, parse_redirect_url, sign_in_page_url
from .request_parsing import bool_field, json_object, object_field, string_field, string_list
from .responses import (
    history_json,
    jwt_response,
    logout_response,
    tenants_json,
    token_response,
    user_json,
)

__all__ = ["AuthApi"]

_SOCIAL_SIGN_INS = ("", "/signup", "/signin", "/update")
_ENDPOINT_NAMES = {"keys_v1": "keys", "exchange_query": "exchange"}


class AuthApi:
    """The endpoints of wire contract section 2, except OIDC and the sign-ins that the app polls for."""

    def __init__(self, auth_server: AuthServer, logins: LoginStore, clock: Callable[[], float]) -> None:
        self._auth_server = auth_server
        self._logins = logins
        self._clock = clock

    @property
    def routes(self) -> list[Route]:
        """The routes. The name of a route is the name of the endpoint for faults and the journal."""
        post, get, both = ["POST"], ["GET"], ["GET", "POST"]
        table = [
            *((f"/v1/auth/{way}/authorize", self.authorize, post) for way in ("sso", "saml")),
            *((f"/v1/auth/oauth/authorize{way}", self.oauth_authorize, post) for way in _SOCIAL_SIGN_INS),
            *((f"/v1/auth/{way}/exchange", self.exchange, post) for way in ("sso", "saml", "oauth")),
            ("/v1/auth/exchange", self.exchange_query, get),
            ("/v1/auth/accesskey/exchange", self.access_key, post),
            ("/v1/auth/refresh", self.refresh, both),
            ("/v1/auth/try-refresh", self.try_refresh, post),
            ("/v1/auth/tenant/select", self.select, post),
            ("/v1/auth/logout", self.logout, post),
            ("/v1/auth/logoutall", self.logout_all, post),
            ("/v1/auth/me", self.me, get),
            ("/v1/auth/me/tenants", self.my_tenants, post),
            ("/v1/auth/me/history", self.history, get),
            ("/v1/auth/validate", self.validate, post),
            ("/v2/keys/{project_id}", self.keys, get),
            ("/v1/keys/{project_id}", self.keys_v1, get),
            ("/{project_id}/.well-known/jwks.json", self.keys, get),
            ("/v1/mgmt/license", self.license, get),
        ]
        return [
            Route(path, call, methods=methods, name=_ENDPOINT_NAMES.get(call.__name__, call.__name__))
            for path, call, methods in table
        ]

    @property
    def _project(self) -> Project:
        return self._auth_server.project

    async def authorize(self, request: Request) -> Response:
        """Start an SSO sign-in and return the URL of its page (section 2.1)."""
        token = optional_refresh_token(request, self._project)
        query = request.query_params
        tenant = self._tenant(query.get("tenant", ""))
        login = Login(
            tenant=tenant,
            redirect_url=parse_redirect_url(request, self._project),
            options=parse_login_options(await json_object(request)),
            login_hint=query.get("loginHint", ""),
            initiated_email=query.get("initiatedEmail", ""),
            sso_id=_sso_id(query.get("ssoId", ""), tenant),
        )
        page = self._logins.create_page(login_for(login, token, self._auth_server))
        return JSONResponse({"url": sign_in_page_url(request, page)})

    async def oauth_authorize(self, request: Request) -> Response:
        """Start a social sign-in and return the URL of its page (section 2.4).

        ``/signup`` fails at the exchange if the user has signed in before. ``/update`` needs a refresh JWT,
        and only its user may confirm. ``/signin`` restricts nothing: all users of the project are known.
        """
        project = self._project
        token = optional_refresh_token(request, project)
        query = request.query_params
        provider = query.get("provider", "")
        if not provider:
            raise ApiError.missing("provider is missing")
        if provider not in project.social_providers:
            raise ApiError.unacceptable("The project has no such provider")
        login = Login(
            tenant=None,
            redirect_url=parse_redirect_url(request, project),
            options=parse_login_options(await json_object(request)),
            login_hint=query.get("loginHint", ""),
            initiated_email=query.get("initiatedEmail", ""),
            method="oauth",
            provider=provider,
            purpose=_purpose(request.url.path),
        )
        page = self._logins.create_page(login_for(login, token, self._auth_server))
        return JSONResponse({"url": sign_in_page_url(request, page)})

    async def exchange(self, request: Request) -> Response:
        """Exchange a code for a session (section 2.3). Every path accepts every code: our choice."""
        authenticate(request, self._project, key=self._project.auth_management_key)
        return self._exchange(string_field(await json_object(request), "code"))

    async def exchange_query(self, request: Request) -> Response:
        """Exchange a code in the query for a session (section 2.3)."""
        authenticate(request, self._project, key=self._project.auth_management_key)
        return self._exchange(string_field(dict(request.query_params), "code"))

    async def access_key(self, request: Request) -> Response:
        """Exchange an access key for a session JWT, without a refresh JWT (section 2.15)."""
        secret = parse_access_key(request, self._project)
        options = object_field(await json_object(request), "loginOptions")
        tenant = string_field(options, "selectedTenant") if options.get("selectedTenant") else None
        custom, address = object_field(options, "customClaims"), request.client.host if request.client else ""
        session = self._auth_server.exchange_access_key(secret, tenant, custom, address)
        return JSONResponse(
            {"keyId": session.key_id, "sessionJwt": session.session_jwt, "expiration": session.expires_at}
        )

    async def refresh(self, request: Request) -> Response:
        """Exchange a refresh JWT for a new session (section 2.5). ``user`` is null, as in captured ones."""
        await json_object(request)
        issued = self._auth_server.refresh(require_refresh_token(request, self._project))
        return self._token_response(issued, with_user=False)

    async def try_refresh(self, request: Request) -> Response:
        """Refresh, or return an empty object instead of an error for the token (section 2.6)."""
        require_project(request, self._project)
        await json_object(request)
        try:
            issued = self._auth_server.refresh(require_refresh_token(request, self._project))
        except ApiError:
            return JSONResponse({})
        body = jwt_response(issued, self._project, now=self._clock(), with_user=False)
        for name in ("user", "firstSeen", "idpResponse"):
            del body[name]
        return token_response(body, self._project, now=self._clock())

    async def select(self, request: Request) -> Response:
        """Return a new pair of tokens for another current tenant (section 2.7)."""
        token = require_refresh_token(request, self._project)
        issued = self._auth_server.select_tenant(token, string_field(await json_object(request), "tenant"))
        return self._token_response(issued, with_user=True)

    async def logout(self, request: Request) -> Response:
        """End the session of a refresh JWT (section 2.8)."""
        await json_object(request)
        self._auth_server.log_out(require_refresh_token(request, self._project))
        return logout_response(self._project)

    async def logout_all(self, request: Request) -> Response:
        """End all sessions of the user (section 2.8)."""
        await json_object(request)
        self._auth_server.log_out_all(require_refresh_token(request, self._project))
        return logout_response(self._project)

    async def me(self, request: Request) -> Response:
        """Return the user as a flat object (section 2.9)."""
        principal = self._auth_server.principal(require_refresh_token(request, self._project))
        return JSONResponse(user_json(principal.user, self._project))

    async def my_tenants(self, request: Request) -> Response:
        """Return the current tenant, or the requested tenants that the user is a member of (section 2.10)."""
        principal = self._auth_server.principal(require_refresh_token(request, self._project))
        requested = _requested_tenants(await json_object(request), principal.tenant)
        tenants = self._project.tenants_of(principal.user)
        return JSONResponse(tenants_json(tuple(tenant for tenant in tenants if tenant.id in requested)))

    async def history(self, request: Request) -> Response:
        """Return the user's sign-ins, newest first (section 2.11)."""
        principal = self._auth_server.principal(require_refresh_token(request, self._project))
        return JSONResponse(history_json(self._auth_server.login_history(principal.user)))

    async def validate(self, request: Request) -> Response:
        """Return the claims of the session JWT in the bearer (section 2.12)."""
        credentials = authenticate(request, self._project, key=self._project.auth_management_key)
        await json_object(request)
        claims = self._auth_server.validate_session(credentials.token)
        return JSONResponse({"parsedJWT": claims} if self._project.assumptions.validate_wraps else claims)

    async def keys(self, request: Request) -> Response:
        """Return the public keys as a JWK set, without authentication (section 2.13)."""
        return JSONResponse({"keys": self._public_keys(request)})

    async def keys_v1(self, request: Request) -> Response:
        """Return the public keys as a bare array (section 2.13)."""
        return JSONResponse(self._public_keys(request))

    async def license(self, request: Request) -> Response:
        """Return the rate limit tier. Needs the management key (section 1.6)."""
        require_management_key(request, self._project)
        return JSONResponse({"rateLimitTier": "tier1"})

    def _public_keys(self, request: Request) -> list[dict[str, str]]:
        if request.path_params["project_id"] != self._project.project_id:
            raise ApiError.unacceptable("No such project", 404)
        return list(self._auth_server.keys.public_keys)

    def _tenant(self, reference: str) -> SeedTenant:
        if not reference:
            raise ApiError.missing("tenant is missing")
        tenant = self._project.find_tenant(reference)
        if tenant is None:
            raise ApiError.unacceptable("No such tenant, or it has no SSO")
        return tenant

    def _exchange(self, code: str) -> Response:
        confirmed = self._logins.redeem_code(code)
        if confirmed is None or confirmed.login.is_oauth:
            raise ApiError.bad_code()
        return self._token_response(self._auth_server.sign_in(confirmed), with_user=True)

    def _token_response(self, issued: IssuedTokens, *, with_user: bool) -> Response:
        now = self._clock()
        body = jwt_response(issued, self._project, now=now, with_user=with_user)
        return token_response(body, self._project, now=now)


def _sso_id(sso_id: str, tenant: SeedTenant) -> str:
    if sso_id and sso_id not in {*tenant.sso_ids, tenant.default_sso_id}:
        raise ApiError.unacceptable("The tenant has no such SSO configuration")
    return sso_id


def _requested_tenants(body: dict[str, object], current: str | None) -> set[str]:
    """Return the requested tenant ids: the current one for ``dct: true``, else ``ids``.

    The request must have exactly one of them. SDKs send the other one too, empty or false.
    """
    ids, current_only = string_list(body, "ids"), bool_field(body, "dct")
    if current_only == bool(ids):
        raise ApiError.invalid("Send either dct or ids")
    return set(ids) if ids else {current or ""}


def _purpose(path: str) -> Literal["any", "signup", "signin", "update"]:
    last = path.rpartition("/")[2]
    return cast("Literal['signup', 'signin', 'update']", last) if last != "authorize" else "any"
