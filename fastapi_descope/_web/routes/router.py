"""The router: paths, endpoints, and their OpenAPI descriptions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import HTMLResponse, RedirectResponse

from ..._upstream.login_options import LoginParams
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
    social_route,
)
from ..dependencies import current_session
from ..openapi import PROBLEM_MEDIA_TYPE, REFRESH, RefreshCookie
from .handover import HandoverRoute
from .login import LoginRoutes
from .login_page import LoginPageRoute
from .magic_link import MagicLinkRoutes
from .notp import NotpRoutes
from .plugin_router import Lifespan, PluginRouter
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

__all__ = ["Routes", "build_router"]

_SESSION = [Depends(current_session)]
_REFRESH_COOKIE = [Depends(RefreshCookie())]
_TENANT = "A tenant id, or a work e-mail whose domain belongs to a tenant."
_RETURN_TO = "The path at which the login ends; by default DESCOPE_POST_LOGIN_PATH."

_SEE_OTHER: Mapping[str, Any] = {
    "status_code": HTTPStatus.SEE_OTHER,
    "response_class": RedirectResponse,  # whose media type is none
    "response_description": "A redirect",
}
_FORM_REDIRECT: dict[int | str, dict[str, Any]] = {303: {"description": "A redirect, for a form"}}


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
    router = PluginRouter(lifespan)
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


def _add_page(router: PluginRouter, route: LoginPageRoute) -> None:
    router.add_public(
        LOGIN_PAGE,
        route.page,
        response_class=HTMLResponse,
        responses=_problems(400, 403),
        openapi_extra=_query(tenant=_TENANT, return_to=_RETURN_TO, **LoginParams.meanings()),
    )


def _add_social(router: PluginRouter, each: SocialRoute) -> None:
    route = social_route(each.provider)
    router.add_public(
        route,
        each.login,
        **_SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query(return_to=_RETURN_TO, **LoginParams.meanings(social=True)),
    )


def _add_sso(router: PluginRouter, routes: LoginRoutes) -> None:
    router.add_public(
        LOGIN,
        routes.login,
        **_SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query(tenant=_TENANT, return_to=_RETURN_TO, **LoginParams.meanings()),
    )


def _add_callback(router: PluginRouter, routes: LoginRoutes) -> None:
    router.add_public(
        CALLBACK,
        routes.callback,
        **_SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query(code="The one-time code of Descope.", state="The state of the login."),
    )


def _add_magic_link(router: PluginRouter, routes: MagicLinkRoutes) -> None:
    router.add_public(
        MAGIC_LINK,
        routes.send,
        status_code=HTTPStatus.ACCEPTED,
        response_model=LinkSentOut,
        responses=_problems(400, 403, 429, 502, 503),
        openapi_extra=_body("email", "return_to"),
    )
    link = _query(state="The state of the login.", return_to=_RETURN_TO, t="The token of the link.")
    router.add_public(
        MAGIC_LINK_PAGE,
        routes.page,
        response_class=HTMLResponse,
        responses=_problems(400, 403),
        openapi_extra=link,
    )
    router.add_public(
        MAGIC_LINK_VERIFY,
        routes.verify,
        **_SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_body("state", "token"),
    )


def _add_handover(router: PluginRouter, route: HandoverRoute) -> None:
    fields = ("sessionJwt", "refreshJwt", "return_to")
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in fields},
        "required": list(fields[:2]),
    }
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    router.add_public(
        HANDOVER,
        route.create,
        response_model=HandoverOut,
        responses=_problems(400, 403, 503),
        openapi_extra={"requestBody": body},
    )


def _add_notp(router: PluginRouter, routes: NotpRoutes) -> None:
    router.add_public(
        NOTP,
        routes.page,
        response_class=HTMLResponse,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query(return_to=_RETURN_TO),
    )
    router.add_public(
        NOTP_START,
        routes.start,
        response_model=NotpStartOut,
        responses=_problems(400, 403, 502, 503),
    )
    pending: dict[int | str, dict[str, Any]] = {
        202: {"description": "Not confirmed yet", "model": NotpPendingOut}
    }
    router.add_public(
        NOTP_SESSION,
        routes.session,
        response_model=SessionOut,
        responses=pending | _FORM_REDIRECT | _problems(400, 403, 502, 503),
        openapi_extra=_body("state"),
    )


def _add_sign_out(router: PluginRouter, routes: SessionRoutes) -> None:
    # POST only, like every route that changes a session (CS-08).
    for route, endpoint in ((LOGOUT, routes.logout), (LOGOUT_ALL, routes.logout_all)):
        router.add_public(
            route,
            endpoint,
            status_code=HTTPStatus.NO_CONTENT,
            responses=_FORM_REDIRECT | _problems(400, 403),
            openapi_extra={"security": [{REFRESH: []}, {}]},  # without a session, logout succeeds too
        )


def _add_webhook(router: PluginRouter, route: WebhookRoute) -> None:
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


def _add_session(router: PluginRouter, routes: SessionRoutes) -> None:
    router.add_api_route(
        "/tenant/select",
        routes.select_tenant,
        name="descope_select_tenant",
        methods=["POST"],
        response_model=SessionOut,
        dependencies=_REFRESH_COOKIE,
        responses=_FORM_REDIRECT | _problems(400, 401, 403, 502, 503),
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
