"""Build the objects of the web layer: those that read requests, write responses and serve the routes."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter

from .._auth.core import Core
from ..events import EventBus
from ..settings import DescopeSettings
from .app_location import LOGIN, RouteFinder, entry_route
from .cookies import SessionCookies
from .credentials import CredentialsReader
from .csrf import CrossOriginProtection
from .error_responses import ErrorResponses
from .hooks import Hooks
from .known_sessions import KnownSessions
from .login_loops import LoginLoops
from .login_transactions import LoginTransactions
from .middleware import MiddlewareParts
from .own_logins import OwnLogins
from .page_responses import PageResponses
from .public_origin import PublicOrigin
from .qr_code import QrCodes
from .redirects import RedirectPolicy
from .request_auth import RequestAuthParts
from .routes.authorization import AuthorizationRedirect
from .routes.checks import RouteChecks
from .routes.completion import LoginCompletion
from .routes.handover import HandoverRoute
from .routes.login import LoginRoutes
from .routes.login_guard import LoginGuard
from .routes.login_page import LoginPageRoute
from .routes.login_steps import LoginSteps
from .routes.magic_link import MagicLinkRoutes
from .routes.notp import NotpRoutes
from .routes.openapi_document import OpenApiDocuments
from .routes.plugin_router import Lifespan
from .routes.resource import ProtectedResource
from .routes.return_targets import ReturnTargets
from .routes.router import Routes, build_router
from .routes.session import SessionRoutes
from .routes.social import SocialRoute
from .routes.webhook import WebhookRoute
from .scopes import Scope, ScopePolicy

__all__ = ["Web", "build_web"]


@dataclass(frozen=True, slots=True)
class Web:
    """The objects of the web layer that ``Descope`` installs into an app or calls itself.

    ``resource_router`` has the metadata of the resource, and no route without one.
    """

    middleware_parts: MiddlewareParts
    openapi_documents: OpenApiDocuments
    handover: HandoverRoute
    router: APIRouter
    resource_router: APIRouter


def build_web(
    core: Core,
    settings: DescopeSettings,
    events: EventBus,
    *,
    hooks: Hooks,
    pages: PageResponses,
    scopes: Mapping[str, Scope],
    lifespan: Lifespan,
) -> Web:
    """Build the web layer around the objects of ``core``."""
    steps = _login_steps(core, settings, events, hooks, pages)
    handover = HandoverRoute(steps)
    return Web(
        middleware_parts=MiddlewareParts(
            _request_auth(steps, scopes), _error_responses(steps), RouteChecks().raise_on_errors
        ),
        openapi_documents=OpenApiDocuments(settings, hooks.session, scopes),
        handover=handover,
        router=build_router(_routes(steps, handover), lifespan),
        resource_router=_resource_router(settings, scopes),
    )


def _login_steps(
    core: Core, settings: DescopeSettings, events: EventBus, hooks: Hooks, pages: PageResponses
) -> LoginSteps:
    cookies = SessionCookies(settings)
    return LoginSteps(
        core=core,
        settings=settings,
        guard=LoginGuard(core, settings, OwnLogins(cookies), events, pages),
        targets=ReturnTargets(RedirectPolicy(settings), events, settings.post_login_path),
        transactions=LoginTransactions(),
        loops=LoginLoops(cookies),
        cookies=cookies,
        public_origin=PublicOrigin(settings),
        events=events,
        hooks=hooks,
        pages=pages,
    )


def _request_auth(steps: LoginSteps, scopes: Mapping[str, Scope]) -> RequestAuthParts:
    settings = steps.settings
    return RequestAuthParts(
        core=steps.core,
        scopes=ScopePolicy(scopes),
        reader=CredentialsReader(settings),
        known_sessions=KnownSessions(steps.core, settings.token_cache_size),
        cookies=steps.cookies,
        csrf=CrossOriginProtection(settings),
        events=steps.events,
        leeway=settings.leeway,
        loops=steps.loops,
        close_code=settings.websocket_close_code,
        routes=RouteFinder(settings.login_methods, settings.login_path),
    )


def _error_responses(steps: LoginSteps) -> ErrorResponses:
    return ErrorResponses(
        steps.public_origin,
        steps.targets.redirects,
        steps.loops,
        steps.guard.own_logins,
        steps.pages,
        landing_path=steps.settings.post_login_path,
        resource_metadata=steps.settings.resource_metadata_url,
    )


def _routes(steps: LoginSteps, handover: HandoverRoute) -> Routes:
    settings, methods = steps.settings, steps.settings.login_methods
    authorization, completion = AuthorizationRedirect(steps), LoginCompletion(steps)
    return Routes(
        login=LoginRoutes(authorization, completion),
        has_sso="sso" in methods,
        page=None if entry_route(methods) is LOGIN else LoginPageRoute(authorization),
        social=[SocialRoute(authorization, provider) for provider in settings.social_providers],
        magic_link=MagicLinkRoutes(completion) if "magiclink" in methods else None,
        handover=handover if "flow" in methods else None,
        notp=NotpRoutes(steps, QrCodes()) if "notp" in methods else None,
        session=SessionRoutes(steps),
        webhook=_webhook(steps),
    )


def _webhook(steps: LoginSteps) -> WebhookRoute | None:
    secret = steps.settings.webhook_secret
    if secret is None:
        return None
    return WebhookRoute(
        steps.core,
        steps.events,
        secret=secret.get_secret_value(),
        project_id=steps.settings.project_id,
    )


def _resource_router(settings: DescopeSettings, scopes: Mapping[str, Scope]) -> APIRouter:
    if settings.resource is None:
        return APIRouter()
    return ProtectedResource(settings.resource, settings, scopes).router()
