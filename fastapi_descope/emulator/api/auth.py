"""Descope's authentication API: one method an endpoint, thin over the auth_server."""

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
    NO_IDP_DETAILS,
    history_json,
    jwt_response,
    logout_response,
    tenants_json,
    token_response,
    user_json,
)

__all__ = ["AuthApi", "SocialApi"]

_OTHER_NAMES = {"keys_v1": "keys", "exchange_query": "exchange"}


class AuthApi:
    """The endpoints of wire contract section 2 that need a project, its logins and its auth_server."""

    def __init__(self, auth_server: AuthServer, logins: LoginStore, clock: Callable[[], float]) -> None:
        self._auth_server = auth_server
        self._logins = logins
        self._clock = clock

    @property
    def routes(self) -> list[Route]:
        """The routes. A route's name is the endpoint's name for faults and the journal."""
        post, get, both = ["POST"], ["GET"], ["GET", "POST"]
        table = [
            *((f"/v1/auth/{way}/authorize", self.authorize, post) for way in ("sso", "saml")),
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
            Route(path, call, methods=methods, name=_OTHER_NAMES.get(call.__name__, call.__name__))
            for path, call, methods in table
        ]

    @property
    def _project(self) -> Project:
        return self._auth_server.project

    async def authorize(self, request: Request) -> Response:
        """Start SSO: the URL of the sign-in page (section 2.1)."""
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

    async def exchange(self, request: Request) -> Response:
        """A code for a session (section 2.3). The paths take each other's codes: our choice."""
        authenticate(request, self._project, key=self._project.auth_management_key)
        return self._exchange(string_field(await json_object(request), "code"))

    async def exchange_query(self, request: Request) -> Response:
        """The same for a code in the query."""
        authenticate(request, self._project, key=self._project.auth_management_key)
        return self._exchange(string_field(dict(request.query_params), "code"))

    async def access_key(self, request: Request) -> Response:
        """A session JWT for an access key, and nothing else (section 2.15)."""
        secret = parse_access_key(request, self._project)
        options = object_field(await json_object(request), "loginOptions")
        tenant = string_field(options, "selectedTenant") if options.get("selectedTenant") else None
        made = self._auth_server.exchange_access_key(secret, tenant, object_field(options, "customClaims"))
        return JSONResponse(
            {"keyId": made.key_id, "sessionJwt": made.session_jwt, "expiration": made.expires_at}
        )

    async def refresh(self, request: Request) -> Response:
        """A new session for a refresh JWT (section 2.5). ``user`` is null, as captured from Descope."""
        await json_object(request)
        issued = self._auth_server.refresh(require_refresh_token(request, self._project))
        return self._answer(jwt_response(issued, self._project, now=self._clock()))

    async def try_refresh(self, request: Request) -> Response:
        """As refresh, but an empty object where that would refuse the token (section 2.6)."""
        require_project(request, self._project)
        await json_object(request)
        try:
            issued = self._auth_server.refresh(require_refresh_token(request, self._project))
        except ApiError:
            return JSONResponse({})
        response = jwt_response(issued, self._project, now=self._clock())
        for name in ("user", "firstSeen", "idpResponse"):
            del response[name]
        return self._answer(response)

    async def select(self, request: Request) -> Response:
        """A new pair for another current tenant (section 2.7)."""
        token = require_refresh_token(request, self._project)
        issued = self._auth_server.select_tenant(token, string_field(await json_object(request), "tenant"))
        user = user_json(issued.user, self._project)
        return self._answer(jwt_response(issued, self._project, now=self._clock(), user=user))

    async def logout(self, request: Request) -> Response:
        """End the session of a refresh JWT (section 2.8)."""
        await json_object(request)
        self._auth_server.log_out(require_refresh_token(request, self._project))
        return logout_response(self._project)

    async def logout_all(self, request: Request) -> Response:
        """End every session of the user (section 2.8)."""
        await json_object(request)
        self._auth_server.log_out_all(require_refresh_token(request, self._project))
        return logout_response(self._project)

    async def me(self, request: Request) -> Response:
        """The user, flat (section 2.9)."""
        principal = self._auth_server.principal(require_refresh_token(request, self._project))
        return JSONResponse(user_json(principal.user, self._project))

    async def my_tenants(self, request: Request) -> Response:
        """The current tenant, or those asked for that the user is in (section 2.10)."""
        principal = self._auth_server.principal(require_refresh_token(request, self._project))
        wanted = _wanted_tenants(await json_object(request), principal.tenant)
        tenants = self._project.tenants_of(principal.user)
        return JSONResponse(tenants_json(tuple(one for one in tenants if one.id in wanted)))

    async def history(self, request: Request) -> Response:
        """The user's sign-ins, newest first (section 2.11)."""
        principal = self._auth_server.principal(require_refresh_token(request, self._project))
        return JSONResponse(history_json(self._auth_server.login_history(principal.user)))

    async def validate(self, request: Request) -> Response:
        """The claims of the session JWT in the bearer (section 2.12)."""
        sent = authenticate(request, self._project, key=self._project.auth_management_key)
        await json_object(request)
        claims = self._auth_server.validate_session(sent.token)
        return JSONResponse({"parsedJWT": claims} if self._project.assumptions.validate_wraps else claims)

    async def keys(self, request: Request) -> Response:
        """The public keys as a JWK set; no bearer needed (section 2.13)."""
        return JSONResponse({"keys": self._public_keys(request)})

    async def keys_v1(self, request: Request) -> Response:
        """The public keys as a bare array (section 2.13)."""
        return JSONResponse(self._public_keys(request))

    async def license(self, request: Request) -> Response:
        """The rate limit tier, for whoever holds the management key (section 1.6)."""
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
        signed_in = self._logins.redeem_code(code)
        if signed_in is None or signed_in.login.oidc_request is not None:
            raise ApiError.bad_code()
        issued = self._auth_server.sign_in(signed_in)
        user = user_json(issued.user, self._project)
        response = jwt_response(issued, self._project, now=self._clock(), user=user, idp=NO_IDP_DETAILS)
        return self._answer(response)

    def _answer(self, response: dict[str, object]) -> Response:
        return token_response(response, self._project, now=self._clock())


def _sso_id(sso_id: str, tenant: SeedTenant) -> str:
    if sso_id and sso_id not in tenant.sso_ids:
        raise ApiError.unacceptable("The tenant has no such SSO configuration")
    return sso_id


def _wanted_tenants(body: dict[str, object], current: str | None) -> set[str]:
    """Exactly one of ``dct: true`` and a list of ids; SDKs send the other one along, empty or false."""
    ids, current_only = string_list(body, "ids"), bool_field(body, "dct")
    if current_only == bool(ids):
        raise ApiError.invalid("Send either dct or ids")
    return set(ids) if ids else {current or ""}


class SocialApi:
    """``/v1/auth/oauth/authorize`` and its variants; the exchange is the one of SSO.

    ``/signup`` refuses, at the exchange, who has signed in before; ``/update`` needs a refresh JWT and
    asks its owner. The project's users are all known already, so ``/signin`` refuses nobody.
    """

    def __init__(self, auth_server: AuthServer, logins: LoginStore) -> None:
        self._auth_server = auth_server
        self._logins = logins

    @property
    def routes(self) -> list[Route]:
        """The routes, all under one endpoint name."""
        ways = ("", "/signup", "/signin", "/update")
        return [
            Route(f"/v1/auth/oauth/authorize{way}", self.start, methods=["POST"], name="oauth_authorize")
            for way in ways
        ]

    async def start(self, request: Request) -> Response:
        """The URL of the sign-in page."""
        project = self._auth_server.project
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


def _purpose(path: str) -> Literal["any", "signup", "signin", "update"]:
    last = path.rpartition("/")[2]
    return cast("Literal['signup', 'signin', 'update']", last) if last != "authorize" else "any"
