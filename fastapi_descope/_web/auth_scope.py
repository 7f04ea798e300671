"""The authentication of a request in its ASGI scope: from its start until after its response."""

from typing import cast

from starlette.middleware import Middleware
from starlette.types import Scope, Send

from ..errors import ConfigurationError
from ..session import tenant_id_var
from .app_location import AppLocation
from .request_auth import Finished, RequestAuth, RequestAuthParts

__all__ = ["attach", "detach", "request_auth"]

_KEY = "fastapi_descope"

_RESPONDED = object()
"""The value in the scope of a request that has left the middleware without reading the session."""


def attach(parts: RequestAuthParts, scope: Scope, send: Send, location: AppLocation) -> RequestAuth | None:
    """Put a new ``RequestAuth`` into the scope of a request to the app at ``location``.

    Returns:
        The new object, or None if there is one of the same ``Descope`` and app already.

    Raises:
        ConfigurationError: Another ``Descope`` object has put one there for the same app.
    """
    if _KEY in scope and isinstance(scope[_KEY], RequestAuth):
        return _attach_inner(scope[_KEY], parts, scope, send, location)
    auth = scope[_KEY] = RequestAuth(parts, scope, send, location)
    auth.tenant_token = tenant_id_var.set(None)
    return auth


def _attach_inner(
    outer: RequestAuth, parts: RequestAuthParts, scope: Scope, send: Send, location: AppLocation
) -> RequestAuth | None:
    is_same = outer.parts is parts
    if outer.location.app is location.app:
        if is_same:
            return None
        raise ConfigurationError(
            "Two Descope objects are installed on one app. Give each its own app, and mount one in the other."
        )
    inner = location.inside(outer.location) if is_same else location
    auth = scope[_KEY] = RequestAuth(parts, scope, send, inner)
    # With the same Descope, the outer app has the same session.
    auth.tenant_token = tenant_id_var.set(tenant_id_var.get() if is_same else None)
    return auth


def detach(auth: RequestAuth) -> None:
    """End a request: restore the tenant of the context (TN-13), and remove ``auth`` from its scope.

    The two form a reference cycle. The result stays if the response knew it: code that runs later cannot
    change what the response says to caches.
    """
    auth.scope[_KEY] = _RESPONDED if auth.result is None else auth.finished or _RESPONDED
    tenant_id_var.reset(auth.tenant_token)


def request_auth(scope: Scope) -> RequestAuth:
    """Return the ``RequestAuth`` that the middleware put into the scope.

    Raises:
        ConfigurationError: The middleware is not installed, or the request has left it already.
    """
    auth = scope.get(_KEY)
    if isinstance(auth, RequestAuth):
        return auth
    if isinstance(auth, tuple):
        return RequestAuth.after_response(scope, cast("Finished", auth))
    if auth is _RESPONDED:
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
