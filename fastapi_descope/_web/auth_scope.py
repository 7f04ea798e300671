"""The authentication of a request in its ASGI scope: from its start until after its response."""

from typing import cast

from starlette.middleware import Middleware
from starlette.types import Scope

from ..errors import ConfigurationError
from ..session import tenant_id_var
from .app_location import AppLocation
from .request_auth import Finished, RequestAuth, RequestAuthParts

__all__ = ["KEY", "RESPONDED", "enclosed", "request_auth"]

KEY = "fastapi_descope"

RESPONDED = object()
"""The value in the scope of a request that has left the middleware without reading the session."""


def enclosed(
    location: AppLocation, outer: object, parts: RequestAuthParts
) -> tuple[AppLocation, str | None] | None:
    """Return the location of an app whose requests come through another middleware of ours.

    Args:
        location: The location of the app by itself.
        outer: What the other middleware has put into the scope.
        parts: The objects of the ``Descope`` of the app.

    Returns:
        The location, and the id of the tenant that the context has already, which apps with the same
        ``Descope`` share; or None if the other middleware is that of the same app.

    Raises:
        ConfigurationError: The other middleware serves the same app with another ``Descope`` object.
    """
    if not isinstance(outer, RequestAuth):  # a copy of the scope of a request that has its response
        return location, None
    is_same = outer.parts is parts
    if outer.location.app is not location.app:
        return (location.inside(outer.location), tenant_id_var.get()) if is_same else (location, None)
    if is_same:
        return None
    raise ConfigurationError(
        "Two Descope objects are installed on one app. Give each its own app, and mount one in the other."
    )


def request_auth(scope: Scope) -> RequestAuth:
    """Return the ``RequestAuth`` that the middleware put into the scope.

    Raises:
        ConfigurationError: The middleware is not installed, or the request has left it already.
    """
    auth = scope.get(KEY)
    if isinstance(auth, RequestAuth):
        return auth
    if isinstance(auth, tuple):
        return RequestAuth.after_response(scope, cast("Finished", auth))
    if auth is RESPONDED:
        raise ConfigurationError(
            "The response was already sent: a handler for 500 runs outside DescopeMiddleware, and the connect"
            " handler of python-socketio in a later request. For a 500, read the session in the route, and"
            " keep it in request.state. For python-socketio, mount DescopeMiddleware(socketio.ASGIApp(sio),"
            " descope=descope, protect=True), which reads it during the handshake."
        )
    if _has_middleware(scope.get("app")):
        raise ConfigurationError(
            "This code runs in middleware outside DescopeMiddleware, which has not seen the request yet: of"
            " two middlewares, the one that was added later runs first. Add this one before Descope(app) or"
            " DescopeMiddleware."
        )
    raise ConfigurationError(
        "DescopeMiddleware has not seen this request. Write Descope(app), or"
        " app.add_middleware(DescopeMiddleware, descope=descope), on the app that has the route. An ASGI app"
        " that wraps this one, such as socketio.ASGIApp(sio, app), gets requests first: mount it instead."
    )


def _has_middleware(app: object) -> bool:
    """Return whether an app has our middleware, whose class is in a higher layer."""
    layers: list[Middleware] = getattr(app, "user_middleware", [])
    return any(getattr(layer.cls, "__name__", "") == "DescopeMiddleware" for layer in layers)
