"""The router: which path leads to which endpoint, and what OpenAPI says of it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ..._upstream.login_options import LoginParams
from ...errors import BadRequest, ConfigurationError, NotAuthenticated
from ..app_location import CALLBACK, LOGIN, LOGOUT, LOGOUT_ALL
from ..dependencies import current_session
from ..openapi import REFRESH, RefreshCookie
from .login import LoginRoutes
from .schemas import ProfileOut, SessionOut, TenantNamesOut
from .session import SessionRoutes

__all__ = ["LOGIN_BEHIND_AUTH", "Lifespan", "build_router"]

LOGIN_BEHIND_AUTH = (
    "A dependency that demands a session stands before the sign-in itself, so that nobody can sign in;"
    " use the explicit form and its DescopeMiddleware(protect=True), which knows the plugin's own routes"
)

_SESSION = [Depends(current_session)]
_REFRESH_COOKIE = [Depends(RefreshCookie())]
_MAX_QUERY_BYTES = 8_192

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]
"""A lifespan of an app; FastAPI hands it the app, whichever kind that is."""


def build_router(login: LoginRoutes, session: SessionRoutes, lifespan: Lifespan) -> APIRouter:
    """A router with every route; paths are relative, so any prefix, mount and root path will do.

    ``lifespan`` runs with that of the app which includes the router.
    """
    router = _SuffixRouter(lifespan)
    _add_login(router, login)
    _add_sign_out(router, session)
    _add_session(router, session)
    router.freeze()
    return router


class _SuffixRouter(APIRouter):
    """A router that sees at a glance whether a request is none of its own.

    ``Descope(app)`` stands before the app's routes, so every page of the app passes here first, and trying
    eight patterns costs a third of a plain route. A prefix, a mount and a root path change how a path
    begins, never how it ends.
    """

    def __init__(self, lifespan: Lifespan) -> None:
        super().__init__(lifespan=lifespan, tags=["Sign-in"])
        self._sealed_at: int | None = None
        self._ends: tuple[str, ...] = ()

    def freeze(self) -> None:
        """All routes are here; one that an app adds afterwards breaks the seal."""
        self._sealed_at = len(self.routes)
        self._ends = tuple({route.path for route in self.routes if isinstance(route, APIRoute)})

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if len(self.routes) == self._sealed_at and not scope["path"].endswith(self._ends):
            return Match.NONE, {}
        return super().matches(scope)


class _PublicRoute(APIRoute):
    """A route that has to work without a session, whatever stands before it; its address has a bound.

    Nothing of ours raises ``NotAuthenticated`` here, nor does a hook, so it comes from a dependency that the
    app put before the router. Answered as elsewhere it would send the browser to the login, where it is.
    """

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(scope["query_string"]) > _MAX_QUERY_BYTES:  # before anybody parses it
            raise BadRequest("The address is too long")
        try:
            await super().handle(scope, receive, send)
        except NotAuthenticated:
            raise ConfigurationError(LOGIN_BEHIND_AUTH) from None


def _add_login(router: APIRouter, routes: LoginRoutes) -> None:
    router.add_api_route(
        LOGIN.path,
        routes.login,
        name=LOGIN.name,
        route_class_override=_PublicRoute,
        status_code=HTTPStatus.SEE_OTHER,
        responses=_problems(400, 403, 502, 503),
        openapi_extra=_query("tenant", "return_to", *LoginParams.names()),
    )
    router.add_api_route(
        CALLBACK.path,
        routes.callback,
        name=CALLBACK.name,
        route_class_override=_PublicRoute,
        status_code=HTTPStatus.SEE_OTHER,
        responses=_problems(400, 502, 503),
        openapi_extra=_query("code", "state"),
    )


def _add_sign_out(router: APIRouter, routes: SessionRoutes) -> None:
    # POST alone, as everything that changes a session (CS-08).
    for route, endpoint in ((LOGOUT, routes.logout), (LOGOUT_ALL, routes.logout_all)):
        router.add_api_route(
            route.path,
            endpoint,
            name=route.name,
            methods=[route.method],
            route_class_override=_PublicRoute,
            status_code=HTTPStatus.NO_CONTENT,
            responses=_problems(400, 403),
            openapi_extra={"security": [{REFRESH: []}, {}]},  # who is not signed in is signed out already
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
    for path, endpoint, name, view, wants in (
        ("/session", routes.session, "descope_session", SessionOut, _SESSION),
        ("/session/profile", routes.profile, "descope_profile", ProfileOut, _REFRESH_COOKIE),
        ("/session/tenants", routes.tenant_names, "descope_tenants", TenantNamesOut, _REFRESH_COOKIE),
    ):
        router.add_api_route(
            path,
            endpoint,
            name=name,
            response_model=view,
            dependencies=wants,
            responses=_problems(400, 401, 502, 503),
        )


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": {}}}
        for status in statuses
    }


def _body(required: str, *optional: str) -> dict[str, Any]:
    """A small form that the endpoint reads itself, as JSON or URL-encoded."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in (required, *optional)},
        "required": [required],
    }
    media_types = ("application/json", "application/x-www-form-urlencoded")
    content = {media_type: {"schema": schema} for media_type in media_types}
    return {"requestBody": {"required": True, "content": content}}


def _query(*names: str) -> dict[str, Any]:
    """Parameters that the endpoint reads itself: FastAPI would take the last of two (RT-14, CB-05)."""
    return {"parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]}
