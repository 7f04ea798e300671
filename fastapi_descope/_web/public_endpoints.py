"""Endpoints that need no session in a protected app: the decorator ``public``, and the requests they handle.

The middleware decides before the router does. So it finds the route that the router will select: a marker
opens the requests that its endpoint handles, and no other request with a similar path or another method.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Router
from starlette.types import Scope

from .app_location import path_in_app

__all__ = [
    "PublicEndpoints",
    "custom_matchers",
    "has_own_dispatch",
    "innermost",
    "is_public",
    "matched_endpoint",
    "public",
]

E = TypeVar("E", bound=Callable[..., object])

_MARK = "__descope_public__"
_FRAMEWORKS = frozenset({"fastapi", "starlette", __name__.partition(".")[0]})


def public(endpoint: E) -> E:
    """Mark an endpoint as public: with ``protect=True`` its requests need no session.

    A decorator for functions and classes, HTTP and WebSockets, above or below the decorator of the route. It
    has no effect without ``protect=True``. Only the methods of the endpoint's own routes are public. If the
    route or its router requires a session too, the app does not start.

    A decorator between this one and the route must use ``functools.wraps``. Otherwise the endpoint stays
    protected. The marker of a class does not apply to its subclasses.

    Args:
        endpoint: The endpoint.

    Returns:
        The same endpoint.
    """
    setattr(endpoint, _MARK, True)
    return endpoint


def is_public(endpoint: object) -> bool:
    """Return whether an endpoint is marked as public."""
    return _MARK in getattr(endpoint, "__dict__", ())  # not an attribute: a subclass would inherit it


def matched_endpoint(app: Starlette | Router, scope: Mapping[str, object]) -> object:
    """Return the endpoint that ``app`` selects for a request, or None if there is none or it is unknown.

    Args:
        app: The app or router.
        scope: The scope of the request as it arrives there.
    """
    return _matched_endpoint(app.routes, _scope_of(app, scope))


def _matched_endpoint(routes: Sequence[BaseRoute], scope: Scope) -> object:
    selected = next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)
    if selected is None:
        return None
    for route in iter_route_contexts([selected]):  # several, if it is an included router
        match, child_scope = route.matches(scope)
        if match is Match.FULL:
            nested: Sequence[BaseRoute] = getattr(route, "routes", None) or ()
            inner_scope = _scope_of(getattr(route, "app", None), {**scope, **child_scope})
            return _matched_endpoint(nested, inner_scope) if nested else route.endpoint
    return None


def _scope_of(app: object, scope: Mapping[str, object]) -> Scope:
    """Return a copy of the scope as ``app`` changes it: FastAPI sets its own root path, if it has one."""
    root_path = _root_path(app)
    return {**scope, "root_path": root_path} if root_path else dict(scope)


def _root_path(app: object) -> str | None:
    return getattr(app, "root_path", None) or None


def custom_matchers(app: Starlette | Router) -> Iterator[str]:
    """Yield the names of the classes of an app that choose routes by code of their own.

    These are routes and routers that override ``matches``, which FastAPI does not call where it lists routes,
    and routers that ``has_own_dispatch`` finds. The selected route would be unknown.
    """
    routers: list[object] = [getattr(app, "router", app)]
    for routes in _route_lists(app.routes):
        for route in routes:
            routers.append(getattr(getattr(route, "app", None), "router", None))
            matcher: BaseRoute = getattr(route, "original_router", route)
            for cls in (type(route), type(matcher)):
                if _is_foreign(cls.matches):
                    yield cls.__name__
    yield from (type(router).__name__ for router in routers if has_own_dispatch(router))


def has_own_dispatch(router: object) -> bool:
    """Return whether a router calls routes itself, so that it may have some that are not listed."""
    return isinstance(router, Router) and any(map(_is_foreign, (type(router).__call__, type(router).app)))


def _is_foreign(method: Callable[..., object]) -> bool:
    return method.__module__.partition(".")[0] not in _FRAMEWORKS


def _route_lists(routes: Sequence[BaseRoute]) -> Iterator[Sequence[BaseRoute]]:
    """Yield the list of routes of an app, and those of its routers and mounted apps."""
    yield routes
    for route in routes:
        nested: Sequence[BaseRoute] | None
        nested = getattr(getattr(route, "original_router", route), "routes", None)
        if nested is not None:
            yield from _route_lists(nested)


# HP-07
class PublicEndpoints:
    """The public endpoints behind a middleware.

    Args:
        app: The app or router that the middleware wraps, or None if it is unknown.
    """

    def __init__(self, app: Starlette | Router | None) -> None:
        self._app = app
        self._locations: _Locations | None = None

    def handle(self, scope: Scope) -> bool:
        """Return whether a public endpoint handles the request.

        Costs a look-up, unless the path begins like that of a public endpoint. Then it costs what routing the
        request costs.
        """
        app = self._app
        if app is None and "router" not in scope:  # no router has run yet, so this is the app around us
            app = scope.get("app")
        if not isinstance(app, (Starlette, Router)):
            return False
        locations = self._locations
        if locations is None or locations.app is not app or locations.are_outdated():
            locations = self._locations = _Locations(app)
        return locations.may_include(scope) and is_public(matched_endpoint(app, scope))


def innermost(app: object) -> Starlette | Router | None:
    """Return the app or router that the middleware ``app`` wraps, or None if a middleware hides it."""
    while app is not None and not isinstance(app, (Starlette, Router)):
        app = getattr(app, "app", None)
    return app


class _Locations:
    """The paths of the public endpoints of an app, to preselect requests."""

    def __init__(self, app: Starlette | Router) -> None:
        self.app = app
        self._route_lists = tuple(_route_lists(app.routes))
        self._route_count = sum(map(len, self._route_lists))
        paths = [] if any(custom_matchers(app)) else list(_public_paths(app.routes, ""))
        self._exact = frozenset(path for path in paths if "{" not in path)
        self._prefixes = tuple(path.partition("{")[0] for path in paths if "{" in path)

    def are_outdated(self) -> bool:
        """Return whether routes were added or removed since."""
        return sum(map(len, self._route_lists)) != self._route_count

    def may_include(self, scope: Scope) -> bool:
        """Return whether the path of a request can be that of a public endpoint."""
        if not (self._exact or self._prefixes):
            return False
        path = path_in_app(scope, _root_path(self.app))
        # The patterns of routes end in $, which also matches before a line break.
        return path.removesuffix("\n") in self._exact or path.startswith(self._prefixes)


def _public_paths(routes: Sequence[BaseRoute], prefix: str) -> Iterator[str]:
    for route in iter_route_contexts(routes):
        path = prefix + (getattr(route, "path", None) or "")
        if is_public(route.endpoint):
            yield path
        yield from _public_paths(getattr(route, "routes", None) or (), path)
