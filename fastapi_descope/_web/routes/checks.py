"""Checks of an app's routes at start-up.

Most of these mistakes leave a route open, so no user would report them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast
from weakref import WeakSet

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.params import Depends
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import Scope

from ...errors import ConfigurationError
from ..app_location import CALLBACK, FIXED_ROUTES, SOCIAL_NAME, PluginRoute, RouteFinder, social_route
from ..openapi import OptionalSessionScheme, SessionScheme
from ..parameter_guard import parameter_error
from ..public_endpoints import custom_matchers, is_public, matched_endpoint
from .discarded_dependencies import discarded_dependency, is_dependency
from .handover import HandoverRoute
from .login import LoginRoutes
from .login_page import LoginPageRoute
from .magic_link import MagicLinkRoutes
from .notp import NotpRoutes
from .resource import ProtectedResource
from .session import SessionRoutes
from .social import SocialRoute
from .webhook import WebhookRoute

__all__ = [
    "LOGIN_BEHIND_AUTH",
    "RouteChecks",
    "check_routes",
    "dependants",
    "front_ends",
    "is_own",
    "reject_guarded_login",
]

LOGIN_BEHIND_AUTH = (
    "A dependency of the app requires a session for the login route too, so that no user can sign in. Protect"
    " the app with Descope(app, protect=True) instead, which leaves the login open"
)

_OWN = (
    HandoverRoute,
    LoginPageRoute,
    LoginRoutes,
    MagicLinkRoutes,
    NotpRoutes,
    ProtectedResource,
    SessionRoutes,
    SocialRoute,
    WebhookRoute,
)

_CUSTOM_MATCHER = (
    "The class {} chooses routes itself, so it is unknown which requests an endpoint with @public handles:"
    " list its path in public_paths instead"
)


class RouteChecks:
    """Checks the routes of each app once."""

    def __init__(self) -> None:
        self._correct: WeakSet[Starlette] = WeakSet()

    def raise_on_errors(self, app: Starlette) -> None:
        """Check the routes of ``app``, unless they were found to be correct before.

        Raises:
            ConfigurationError: ``check_routes`` finds a mistake. The message is the first one.
        """
        if app in self._correct:
            return
        for mistake in check_routes(app):
            raise ConfigurationError(mistake)
        self._correct.add(app)


def reject_guarded_login(app: FastAPI) -> None:
    """Check that the dependencies of the app itself leave the login open.

    Raises:
        ConfigurationError: One of them requires a session.
    """
    if any(isinstance(each.dependency, SessionScheme) for each in app.router.dependencies):
        raise ConfigurationError(LOGIN_BEHIND_AUTH)


def check_routes(app: Starlette) -> Iterator[str]:
    """Yield one sentence per mistake in the routes of ``app`` and of the apps mounted in it."""
    apps, has_public = [app], False
    for route in _all_routes(app.routes):
        mounted: object = getattr(route, "app", None)
        if isinstance(mounted, Starlette):
            apps.append(mounted)
        marked = is_public(route.endpoint)
        has_public = has_public or marked
        found = [error for each in _dependants(route) for error in _errors(each, is_public=marked)]
        yield from (f"{route.path}: {error}" for error in found)
        if route.name == CALLBACK.name and "{" in (route.path or ""):
            yield f"{route.path}: the plugin's routes are not found under a prefix with a parameter"
    for each_app in apps:
        for path, group in front_ends(each_app.router):
            found = [error for each in _group_dependants(group) for error in _errors(each, is_public=False)]
            yield from (f"{path}: {error}" for error in found)
        yield from _shadowed_routes(each_app)
        yield from _unreachable_routes(each_app)
    if has_public:
        yield from (_CUSTOM_MATCHER.format(name) for name in sorted(set(custom_matchers(app))))


def dependants(dependant: Dependant | None) -> Iterator[Dependant]:
    """Yield a dependant and all its dependencies, direct and indirect."""
    if dependant is not None:
        yield dependant
        for each in dependant.dependencies:
            yield from dependants(each)


def front_ends(router: object) -> Iterator[tuple[str, object]]:
    """Yield each path of ``app.frontend``, and the group of paths that has its dependencies.

    FastAPI keeps them apart, after all other routes.
    """
    groups: Callable[[], Iterable[object]] = getattr(router, "_iter_low_priority_routes", tuple)
    for group in groups():
        prefix: str = getattr(group, "frontend_prefix", "")
        folders: Iterable[BaseRoute] = getattr(getattr(group, "original_route", group), "routes", ())
        for folder in folders:
            path: str = prefix + getattr(folder, "path", "")
            yield path.rstrip("/") or "/", group


def _group_dependants(group: object) -> Iterator[Dependant]:
    found: Dependant | None = getattr(group, "dependant", None)
    yield from dependants(found)


def _dependants(route: RouteContext) -> Iterator[Dependant]:
    """Yield the dependants of a route; one with the endpoint alone for a route of Starlette."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    yield from dependants(dependant or Dependant(call=cast("Callable[..., object] | None", route.endpoint)))


def _errors(dependant: Dependant, *, is_public: bool) -> Iterator[str]:
    errors = (
        _scopes(dependant),
        _parameter(dependant),
        _annotation(dependant.call),
        _contradiction(dependant) if is_public else None,
        _discarded(dependant.call),
    )
    yield from filter(None, errors)


def _discarded(call: object) -> str | None:
    return None if call is None or is_dependency(call) or is_own(call) else discarded_dependency(call)


def is_own(endpoint: object) -> bool:
    """Return whether an endpoint belongs to the plugin."""
    return isinstance(getattr(endpoint, "__self__", None), _OWN)


def _all_routes(routes: Sequence[BaseRoute]) -> Iterator[RouteContext]:
    for route in iter_route_contexts(routes):  # FastAPI keeps included routers as a tree
        yield route
        yield from _all_routes(getattr(route, "routes", None) or ())


# CL-03
def _scopes(dependant: Dependant) -> str | None:
    """Return an error for scopes that no dependency reads: OpenAPI would list them, and every user passes."""
    if not dependant.own_oauth_scopes:
        return None
    below = [*dependants(dependant)]
    uses_session = any(isinstance(each.call, (SessionScheme, OptionalSessionScheme)) for each in below)
    if not uses_session or any(each.security_scopes_param_name is not None for each in below):
        return None
    names = ", ".join(map(repr, dependant.own_oauth_scopes))
    return (
        f"the scopes of Security() are not checked: use Depends(require_permissions({names})), or"
        f" Security(current_caller, scopes=[{names}]) for applications too"
    )


def _parameter(dependant: Dependant) -> str | None:
    """Return an error for a parameter such as ``user: User``, or with a dependency that is not called."""
    params = (
        *dependant.body_params,
        *dependant.query_params,
        *dependant.header_params,
        *dependant.cookie_params,
    )
    for param in params:
        info = param.field_info
        # Before 0.158, FastAPI keeps what it does not know in the annotation.
        given = (info.default, *info.metadata, *_annotated(info.annotation))
        if any(map(is_dependency, given)):
            return f"the parameter {param.name} has a dependency without Depends(), which checks nothing"
        if any(map(is_dependency, _annotated(info.default))):
            return (
                f"the parameter {param.name} has an annotation as its default, which checks nothing: write it"
                " after a colon, as in `user: CurrentUser`"
            )
    return next(filter(None, (parameter_error(param.field_info.annotation) for param in params)), None)


def _annotated(value: object) -> Iterator[object]:
    """Yield what ``Annotated`` adds to a type, such as the dependency of ``CurrentUser``."""
    for each in getattr(value, "__metadata__", ()):
        yield each.dependency if isinstance(each, Depends) else each


def _annotation(call: object) -> str | None:
    """Return an error for ``Depends(CurrentUser)``: FastAPI would call the class ``User``."""
    if not any(map(is_dependency, _annotated(call))):
        return None
    return (
        "Depends() has an annotation, which is no dependency: write the parameter as `user: CurrentUser`, or"
        " Depends(current_user)"
    )


def _contradiction(dependant: Dependant) -> str | None:
    """Return an error for a required session of an endpoint that is marked as public."""
    call: object = dependant.call
    if not isinstance(call, SessionScheme):
        return None
    return "@public endpoints need no session, but a dependency of the route, router or app requires one"


def _shadowed_routes(app: Starlette) -> Iterator[str]:
    """Yield an error for each public route of the plugin that another route of the app shadows.

    ``protect`` leaves these paths open, and logins depend on them.
    """
    finder = RouteFinder()
    names = (route.name or "" for route in _all_routes(app.routes) if is_own(route.endpoint))
    providers = (name.removeprefix(SOCIAL_NAME) for name in names if name.startswith(SOCIAL_NAME))
    for route in (*FIXED_ROUTES, *map(social_route, providers)):
        path = finder.path(route, app)
        if path is not None and not is_own(matched_endpoint(app, _request(route, path))):
            yield (
                f"{route.method} {path} is handled by another route of the app instead of the plugin's:"
                ' move that route, or give the plugin a prefix such as prefix="/auth"'
            )


def _unreachable_routes(app: Starlette) -> Iterator[str]:
    """Yield an error for each route of the app that has the path and method of a plugin route before it."""
    handled: set[str] = set()
    for route in iter_route_contexts(app.routes):
        requests = {f"{method} {route.path}" for method in route.methods or ()}
        if is_own(route.endpoint):
            handled |= requests
            continue
        for request in sorted(handled & requests):
            yield (
                f"{request} is handled by the plugin, so that the route of the app which follows is never"
                ' reached: move that route, or give the plugin a prefix such as prefix="/auth"'
            )


def _request(route: PluginRoute, path: str) -> Scope:
    return {
        "type": "http",
        "method": route.method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }
