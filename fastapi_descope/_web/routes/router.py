"""The router: paths, endpoints, and their OpenAPI descriptions."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse
from starlette.routing import Match
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ..._upstream.login_options import LoginParams
from ...errors import BadRequest, ConfigurationError, NotAuthenticated
from ..app_location import (
    CALLBACK,
    HANDOVER,
    LOGIN,
    LOGIN_PAGE,
    LOGOUT,
    LOGOUT_ALL,
    MAGIC_LINK,
    MAGIC_LINK_PAGE,
    MAGIC_LINK_VERIFY,
    NOTP,
    NOTP_SESSION,
    NOTP_START,
    PluginRoute,
    social_route,
)
from ..dependencies import current_session
from ..openapi import PROBLEM_MEDIA_TYPE, REFRESH, RefreshCookie
from .checks import LOGIN_BEHIND_AUTH
from .handover import HandoverRoute
from .login import LoginRoutes
from .login_page import LoginPageRoute
from .magic_link import MagicLinkRoutes
from .notp import NotpRoutes
from .schemas import (
    HandoverOut,
    LinkSentOut,
    NotpPendingOut,
    NotpStartOut,
    ProfileOut,
    SessionOut,
    TenantNamesOut,
)
from .session import SessionRoutes
from .social import SocialRoute
from .webhook import WebhookRoute

__all__ = ["Lifespan", "Routes", "build_router"]

_SESSION = [Depends(current_session)]
_REFRESH_COOKIE = [Depends(RefreshCookie())]
_MAX_QUERY_BYTES = 8_192
_TENANT = "A tenant id, or a work e-mail whose domain belongs to a tenant."
_RETURN_TO = "The path at which the login ends; by default DESCOPE_POST_LOGIN_PATH."

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]
"""A lifespan; FastAPI calls it with the app, which may be of any class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """The endpoints of the routes. Those of ways to sign in that the app does not offer are absent."""

    login: LoginRoutes
    has_sso: bool
    page: LoginPageRoute | None
    social: Sequence[SocialRoute]
    magic_link: MagicLinkRoutes | None
    handover: HandoverRoute | None
    notp: NotpRoutes | None
    session: SessionRoutes
    webhook: WebhookRoute | None = None


def build_router(routes: Routes, lifespan: Lifespan) -> APIRouter:
    """Return the router of the plugin. Any prefix, mount and root path may precede its paths.

    ``lifespan`` runs with the lifespan of the app that includes the router.
    """
    router = _SuffixRouter(lifespan)
    if routes.page is not None:
        _add_page(router, routes.page)
    if routes.has_sso:
        _add_sso(router, routes.login)
    for each in routes.social:
        _add_social(router, each)
    _add_callback(router, routes.login)
    if routes.magic_link is not None:
        _add_magic_link(router, routes.magic_link)
    if routes.handover is not None:
        _add_handover(router, routes.handover)
    if routes.notp is not None:
        _add_notp(router, routes.notp)
    _add_sign_out(router, routes.session)
    _add_session(router, routes.session)
    if routes.webhook is not None:
        _add_webhook(router, routes.webhook)
    router.freeze()
    return router


class _SuffixRouter(APIRouter):
    """A router that rejects other requests by the suffix of their path.

    ``Descope(app)`` comes before the routes of the app, so every request is matched against this router
    first. Trying eight patterns would cost a third of a plain route. A prefix, a mount and a root path change
    the start of a path and never its end.
    """

    def __init__(self, lifespan: Lifespan) -> None:
        super().__init__(lifespan=lifespan, tags=["Sign-in"])
        self._frozen_length: int | None = None
        self._suffixes: tuple[str, ...] = ()

    def freeze(self) -> None:
        """Start matching by suffix. A route that is added later switches it off again."""
        self._frozen_length = len(self.routes)
        self._suffixes = tuple({route.path for route in self.routes if isinstance(route, APIRoute)})

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if len(self.routes) == self._frozen_length and not scope["path"].endswith(self._suffixes):
            return Match.NONE, {}
        return super().matches(scope)


class _PublicRoute(APIRoute):
    """A route that must work without a session. It limits the length of its URL.

    A ``NotAuthenticated`` here can only come from a dependency that the app added to the router. It would
    redirect the browser to the login and loop, so it is reported as a configuration error.
    """

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(scope["query_string"]) > _MAX_QUERY_BYTES:  # before the query is parsed
            raise BadRequest("The URL is too long")
        try:
            await super().handle(scope, receive, send)
        except NotAuthenticated:
            raise ConfigurationError(LOGIN_BEHIND_AUTH) from None


def _add_public(
    router: APIRouter, route: PluginRoute, endpoint: Callable[..., object], **options: Any
) -> None:
    """Add a route that must work without a session. ``options`` are those of ``add_api_route``."""
    router.add_api_route(
        route.path,
        endpoint,
        name=route.name,
        methods=[route.method],
        route_class_override=_PublicRoute,
        **options,
    )


def _add_page(router: APIRouter, route: LoginPageRoute) -> None:
    _add_public(
        router,
        LOGIN_PAGE,
        route.page,
        response_class=HTMLResponse,
        responses=_problems(400, 403),
        openapi_extra=_query(tenant=_TENANT, return_to=_RETURN_TO, **LoginParams.meanings()),
    )


def _add_social(router: APIRouter, each: SocialRoute) -> None:
    route = social_route(each.provider)
    _add_public(
        router,
        route,
        each.login,
        status_code=HTTPStatus.SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query(return_to=_RETURN_TO, **LoginParams.meanings(social=True)),
    )


def _add_sso(router: APIRouter, routes: LoginRoutes) -> None:
    _add_public(
        router,
        LOGIN,
        routes.login,
        status_code=HTTPStatus.SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query(tenant=_TENANT, return_to=_RETURN_TO, **LoginParams.meanings()),
    )


def _add_callback(router: APIRouter, routes: LoginRoutes) -> None:
    _add_public(
        router,
        CALLBACK,
        routes.callback,
        status_code=HTTPStatus.SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query(code="The one-time code of Descope.", state="The state of the login."),
    )


def _add_magic_link(router: APIRouter, routes: MagicLinkRoutes) -> None:
    _add_public(
        router,
        MAGIC_LINK,
        routes.send,
        status_code=HTTPStatus.ACCEPTED,
        response_model=LinkSentOut,
        responses=_problems(400, 403, 429, 502, 503),
        openapi_extra=_body("email", "return_to"),
    )
    link = _query(state="The state of the login.", return_to=_RETURN_TO, t="The token of the link.")
    _add_public(
        router,
        MAGIC_LINK_PAGE,
        routes.page,
        response_class=HTMLResponse,
        responses=_problems(400, 403),
        openapi_extra=link,
    )
    _add_public(
        router,
        MAGIC_LINK_VERIFY,
        routes.verify,
        status_code=HTTPStatus.SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_body("state", "token"),
    )


def _add_handover(router: APIRouter, route: HandoverRoute) -> None:
    fields = ("sessionJwt", "refreshJwt", "return_to")
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in fields},
        "required": list(fields[:2]),
    }
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    _add_public(
        router,
        HANDOVER,
        route.create,
        response_model=HandoverOut,
        responses=_problems(400, 403, 503),
        openapi_extra={"requestBody": body},
    )


def _add_notp(router: APIRouter, routes: NotpRoutes) -> None:
    _add_public(
        router,
        NOTP,
        routes.page,
        response_class=HTMLResponse,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query(return_to=_RETURN_TO),
    )
    _add_public(
        router,
        NOTP_START,
        routes.start,
        response_model=NotpStartOut,
        responses=_problems(400, 403, 502, 503),
    )
    pending: dict[int | str, dict[str, Any]] = {
        202: {"description": "Not confirmed yet", "model": NotpPendingOut}
    }
    _add_public(
        router,
        NOTP_SESSION,
        routes.session,
        response_model=SessionOut,
        responses=pending | _problems(400, 403, 502, 503),
        openapi_extra=_body("state"),
    )


def _add_sign_out(router: APIRouter, routes: SessionRoutes) -> None:
    # POST only, like every route that changes a session (CS-08).
    for route, endpoint in ((LOGOUT, routes.logout), (LOGOUT_ALL, routes.logout_all)):
        _add_public(
            router,
            route,
            endpoint,
            status_code=HTTPStatus.NO_CONTENT,
            responses=_problems(400, 403),
            openapi_extra={"security": [{REFRESH: []}, {}]},  # without a session, logout succeeds too
        )


def _add_webhook(router: APIRouter, route: WebhookRoute) -> None:
    router.add_api_route(
        "/descope/events",
        route.receive,
        name="descope_events",
        methods=["POST"],
        status_code=HTTPStatus.NO_CONTENT,
        responses={
            status: {"description": HTTPStatus(status).phrase, "content": {}}
            for status in (400, 401, 413, 415, 503)
        },
        openapi_extra={
            "security": [],
            "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
        },
    )


def _add_session(router: APIRouter, routes: SessionRoutes) -> None:
    router.add_api_route(
        "/tenant/select",
        routes.select_tenant,
        name="descope_select_tenant",
        methods=["POST"],
        response_model=SessionOut,
        dependencies=_REFRESH_COOKIE,
        responses=_problems(400, 401, 403, 502, 503),
        openapi_extra=_body("tenant", "return_to"),
    )
    for path, endpoint, name, model, dependencies in (
        ("/session", routes.session, "descope_session", SessionOut, _SESSION),
        ("/session/profile", routes.profile, "descope_profile", ProfileOut, _REFRESH_COOKIE),
        ("/session/tenants", routes.tenant_names, "descope_tenants", TenantNamesOut, _REFRESH_COOKIE),
    ):
        router.add_api_route(
            path,
            endpoint,
            name=name,
            response_model=model,
            dependencies=dependencies,
            responses=_problems(400, 401, 403, 502, 503),
        )


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return error responses. ``OpenApiDocuments`` adds their schema."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM_MEDIA_TYPE: {}}}
        for status in statuses
    }


def _body(required: str, *optional: str) -> dict[str, Any]:
    """Return the description of a body that the endpoint parses itself, as JSON or URL-encoded."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in (required, *optional)},
        "required": [required],
    }
    media_types = ("application/json", "application/x-www-form-urlencoded")
    content = {media_type: {"schema": schema} for media_type in media_types}
    return {"requestBody": {"required": True, "content": content}}


def _query(**meanings: str) -> dict[str, Any]:
    """Return the description of parameters that the endpoint parses itself.

    FastAPI would take the last of two equal names (RT-14, CB-05).
    """
    parameters = [
        {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in meanings.items()
    ]
    return {"parameters": parameters}
