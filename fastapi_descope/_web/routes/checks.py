"""What an app's routes have wrong, as far as that can be seen before a request comes.

Each of these would go unnoticed, because it lets somebody in: nobody complains who is let in.
"""

from collections.abc import Iterator, Mapping, Sequence

from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from ...errors import ConfigurationError
from ..app_location import LOGIN, PUBLIC_ROUTES, PluginRoute, RouteFinder
from ..openapi import OptionalSessionScheme, SessionScheme
from ..parameter_guard import parameter_error
from .login import LoginRoutes
from .session import SessionRoutes

__all__ = ["check_routes", "dependants", "is_own", "raise_on_errors"]


def raise_on_errors(app: Starlette) -> None:
    """Raise ``ConfigurationError`` with the first of the ``mistakes``, if there is one."""
    for mistake in check_routes(app):
        raise ConfigurationError(mistake)


def check_routes(app: Starlette) -> Iterator[str]:
    """What is wrong with the routes of ``app`` and of the apps mounted in it, a sentence each."""
    apps = [app]
    for route in _all_routes(app.routes):
        mounted: object = getattr(route, "app", None)
        if isinstance(mounted, Starlette):
            apps.append(mounted)
        for each in dependants(getattr(route, "dependant", None)):
            yield from (f"{route.path}: {said}" for said in (_scopes(each), _parameter(each)) if said)
        if route.name == LOGIN.name and "{" in (route.path or ""):
            yield f"{route.path}: with a parameter before them the plugin's routes are not found"
    for each_app in apps:
        yield from _shadowed_routes(each_app)


def dependants(dependant: Dependant | None) -> Iterator[Dependant]:
    """Whatever a route depends on, directly or not, itself included."""
    if dependant is not None:
        yield dependant
        for each in dependant.dependencies:
            yield from dependants(each)


def is_own(endpoint: object) -> bool:
    """Whether an endpoint is one of the plugin's."""
    return isinstance(getattr(endpoint, "__self__", None), (LoginRoutes, SessionRoutes))


def _all_routes(routes: Sequence[BaseRoute]) -> Iterator[RouteContext]:
    for route in iter_route_contexts(routes):  # FastAPI keeps included routers as a tree
        yield route
        yield from _all_routes(getattr(route, "routes", None) or ())


def _scopes(dependant: Dependant) -> str | None:
    """OpenAPI would name scopes that nothing checks."""
    ours = isinstance(dependant.call, (SessionScheme, OptionalSessionScheme))
    if not (ours and dependant.own_oauth_scopes):
        return None
    names = ", ".join(map(repr, dependant.own_oauth_scopes))
    return f"the scopes of Security() are not looked at; use Depends(require_permissions({names}))"


def _parameter(dependant: Dependant) -> str | None:
    """No request fits such a parameter, and who wrote it meant something else."""
    read = (
        *dependant.body_params,
        *dependant.query_params,
        *dependant.header_params,
        *dependant.cookie_params,
    )
    return next(filter(None, (parameter_error(field.field_info.annotation) for field in read)), None)


def _shadowed_routes(app: Starlette) -> Iterator[str]:
    """What ``protect`` leaves open has to be ours, and whoever signs in has to arrive."""
    finder = RouteFinder()
    for route in PUBLIC_ROUTES:
        path = finder.path(route, app)
        if path is not None and not is_own(_first_to_answer(app.routes, _request(route, path))):
            yield (
                f"{route.method} {path} is answered by another route of the app, in place of the plugin's;"
                ' move that one, or put the plugin elsewhere: prefix="/auth"'
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


def _first_to_answer(routes: Sequence[BaseRoute], scope: Mapping[str, object]) -> object:
    """The endpoint that a request gets to; None if that cannot be told."""
    for route in iter_route_contexts(routes):
        match, found = route.matches(dict(scope))
        if match is Match.FULL:
            below: Sequence[BaseRoute] = getattr(route, "routes", None) or ()
            return _first_to_answer(below, {**scope, **found}) if below else route.endpoint
    return None
