"""The router of the plugin: how its routes are found, and the routes that work without a session."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from ...errors import BadRequest, ConfigurationError, NotAuthenticated
from ..app_location import PluginRoute
from .checks import LOGIN_BEHIND_AUTH

__all__ = ["Lifespan", "PluginRouter"]

_MAX_QUERY_BYTES = 8_192

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]
"""A lifespan; FastAPI calls it with the app, which may be of any class."""


class PluginRouter(APIRouter):
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

    def add_public(self, route: PluginRoute, endpoint: Callable[..., object], **options: Any) -> None:
        """Add a route that must work without a session. ``options`` are those of ``add_api_route``."""
        self.add_api_route(
            route.path,
            endpoint,
            name=route.name,
            methods=[route.method],
            route_class_override=_PublicRoute,
            **options,
        )

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return the match of a request, of which only the end of the path is compared at first."""
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
