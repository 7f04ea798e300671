"""The ASGI middleware: authentication, error responses and cookies of each request."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Protocol, cast

from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Host, Mount, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from .._concurrency import Pacer
from .._telemetry.redaction import install as redact_logs
from .._telemetry.redaction import redact_span
from ..errors import ConfigurationError, DescopeError
from ..session import tenant_id_var
from .app_location import AppLocation, path_in_app
from .auth_scope import KEY, RESPONDED, enclosed, request_auth
from .error_responses import NO_STORE, ErrorResponses
from .public_endpoints import PublicEndpoints, innermost
from .request_auth import RequestAuth, RequestAuthParts
from .send_wrapper import SendWrapper
from .websocket import WebSocketSession

__all__ = ["DescopeMiddleware", "ErrorMiddleware", "MiddlewareParts"]

_ARRIVALS_PER_ITERATION = 32
"""While unknown tokens wait to be verified. FastAPI takes a tenth of a millisecond to reach a dependency."""

# Starlette would redirect to the URL of the Host header, with the code in the query (CB-17).
_NOT_FOUND = Response(status_code=HTTPStatus.NOT_FOUND, headers=NO_STORE)


@dataclass(frozen=True, slots=True)
class MiddlewareParts:
    """The objects of one ``Descope`` that its middleware works with."""

    request_auth: RequestAuthParts
    error_responses: ErrorResponses
    check_routes: Callable[[Starlette], None]


class _Descope(Protocol):
    """The part of ``Descope`` that the middleware uses; the class itself is in a higher layer."""

    @property
    def middleware_parts(self) -> MiddlewareParts: ...


class DescopeMiddleware:
    """Makes the session of each request available, sends error responses, and sets cookies.

    Pure ASGI: bodies are never buffered, and background tasks are not affected. Nothing is read, and Descope
    is not called, unless the app asks for the session: by ``CurrentUser`` or ``get_auth_session(request)``.

    Middleware that the app added before this one is wrapped by it. Our errors pass through that middleware as
    exceptions, so middleware that handles every exception has to be added later. With ``Descope(app)`` the
    order does not matter. A ``CORSMiddleware`` has to be added later too: preflight requests have no session.

    From its construction on, codes, states and tokens are redacted in uvicorn's log lines.

    Args:
        app: The app to wrap.
        descope: The ``Descope`` object of the app.
        protect: Require a session for every request, except for ``public_paths``, endpoints marked with
            ``@public``, and the routes for login, callback and logout.
        public_paths: Exact paths, or with ``/*`` at the end all paths below. Case matters. A path with dot
            segments or doubled slashes is below no other path.

    Raises:
        ConfigurationError: A public path does not start with a slash.
    """

    # WS-06, WS-07: lifespan and unknown scopes pass through unchanged. CS-10, HP-02, LG-01.

    def __init__(
        self,
        app: ASGIApp,
        *,
        descope: _Descope,
        protect: bool = False,
        public_paths: Iterable[str] = (),
    ) -> None:
        self.app = app
        # Skip ErrorMiddleware if no other middleware is in between.
        self._next = app.app if isinstance(app, ErrorMiddleware) else app
        self._parts = descope.middleware_parts.request_auth
        self._error_responses = descope.middleware_parts.error_responses
        self._protect = protect
        self._public_paths = _PublicPaths(public_paths)
        self._inner = innermost(app)
        self._location: AppLocation | None = None
        self._public_endpoints = PublicEndpoints(self._inner)
        self._check_routes = descope.middleware_parts.check_routes
        self._are_routes_checked = False
        self._has_checks = True
        # RF-10: the verifier spreads its work, and FastAPI needs as much time to route as many requests.
        self._core = self._parts.core
        self._arrivals = Pacer(_ARRIVALS_PER_ITERATION)
        redact_logs()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        location = self._find_location(scope)
        tenant_id: str | None = None
        if KEY in scope:
            inner = enclosed(location, scope[KEY], self._parts)
            if inner is None:
                await self._handle_again(scope, receive, send)
                return
            location, tenant_id = inner
        auth = scope[KEY] = RequestAuth(self._parts, scope, send, location)
        token = tenant_id_var.set(tenant_id)  # TN-13
        try:
            app, waiting = self._next, self._core.verifier.pacer.waiting
            if self._has_checks or waiting or scope["type"] != "http" or scope["query_string"]:
                app = await self._select_app(scope, auth)
            await app(scope, receive, auth.send)
            if auth.held is not None:
                await auth.flush()
        except DescopeError as error:
            await _send_error(self._error_responses, error, auth, auth, receive)
        except Exception:
            await auth.flush()
            raise
        finally:
            tenant_id_var.reset(token)
            scope[KEY] = RESPONDED if auth.result is None else auth.finished or RESPONDED

    async def _handle_again(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection if this middleware is installed twice: the outer one does the rest."""
        if self._protect:
            await self._require_session(request_auth(scope), scope)
        await self.app(scope, receive, send)

    async def _select_app(self, scope: Scope, auth: RequestAuth) -> ASGIApp:
        """Return the app that handles a connection, after all checks of it.

        Most requests do not get here: they have no query, no check is left, and no unknown token waits.

        Raises:
            ConfigurationError: The routes of the app are wrong.
            DescopeError: What ``RequestAuth.require`` raises, with ``protect`` only.
        """
        if not self._are_routes_checked:
            self._check_app(scope.get("app"))
        path = scope["path"].rstrip("/")
        if scope.get("query_string") and path.endswith(self._parts.routes.suffixes):
            redact_span()
            if path != scope["path"] and auth.location.is_public_route({**scope, "path": path}):
                return _NOT_FOUND
        if self._protect:
            await self._require_session(auth, scope)
        if self._core.verifier.pacer.waiting:
            await self._arrivals.turn()
        return self._next if scope["type"] == "http" else partial(WebSocketSession(auth).serve, self._next)

    def _find_location(self, scope: Scope) -> AppLocation:
        """Return the app whose routes are behind this middleware, and its root path."""
        # Nearly all apps have one.
        known, app, root_path = self._location, scope.get("app"), scope.get("root_path", "")
        if known is not None and known.app is app and known.root_path == root_path:
            return known
        app, root_path = self._app_and_root_path(scope)
        location = AppLocation(app, root_path, self._parts.routes)
        if self._inner in (app, getattr(app, "router", None)):
            self._location = location
        return location

    # HP-08: otherwise a route of the mounted app would be public at the path of the outer app's callback.
    def _app_and_root_path(self, scope: Scope) -> tuple[object, str]:
        """Return the app whose routes are behind this middleware, and its root path.

        Around a mounted app, the scope names the outer app.
        """
        app, root_path, inner = scope.get("app", self.app), scope.get("root_path", ""), self._inner
        own = getattr(app, "router", None)
        if inner is app or inner is own:
            return app, root_path
        if isinstance(inner, Starlette):
            return inner, root_path
        # A mounted router, or what opaque middleware hides: then the router has selected more than the app.
        is_mounted = innermost(scope.get("endpoint", app)) is not app if inner is None else own is not None
        return app, scope.get("app_root_path", "") if is_mounted else root_path

    # Not every server runs the lifespan, and no server that of a mounted app (TN-14).
    def _check_app(self, app: object) -> None:
        """Check the routes before the first request. Every request fails until they are correct."""
        if isinstance(app, Starlette):
            self._check_routes(app)
        self._are_routes_checked = True
        self._has_checks = self._protect

    # No method and no User-Agent makes a path public (HP-06): a CORSMiddleware handles preflights earlier.
    async def _require_session(self, auth: RequestAuth, scope: Scope) -> None:
        """Raise ``NotAuthenticated`` without a session, unless the request is public."""
        if path_in_app(scope) in self._public_paths or auth.location.is_public_route(auth.scope):
            return
        if not self._public_endpoints.handle(scope):
            await auth.require()


class ErrorMiddleware:
    """The innermost middleware of an app: sends the responses to our errors.

    So the app's own middleware sees responses and no exceptions. Otherwise middleware that handles every
    exception would turn each 401 into a 500. ``DescopeMiddleware`` skips it if there is no middleware in
    between.

    A mounted app has middleware and exception handlers of its own, so it gets an ``ErrorMiddleware`` too,
    when the outer app builds its middleware: before the first request. An app that has served requests
    already stays as it is.
    """

    def __init__(self, app: ASGIApp, *, parts: MiddlewareParts) -> None:
        self.app = app
        self._parts = parts
        for mounted in _mounted_apps(innermost(app)):
            classes = [cast("object", layer.cls) for layer in mounted.user_middleware]
            if mounted.middleware_stack is None and ErrorMiddleware not in classes:
                mounted.user_middleware.append(Middleware(ErrorMiddleware, parts=parts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        response = SendWrapper(scope, send)  # DescopeMiddleware adds cookies and headers
        try:
            await self.app(scope, receive, response.send)
            await response.flush()
        except DescopeError as error:
            auth: object = scope.get(KEY)
            if not isinstance(auth, RequestAuth) or auth.parts is not self._parts.request_auth:
                await response.flush()
                raise  # the request has come through another app, in which this one is mounted too
            await _send_error(self._parts.error_responses, error, auth, response, receive)
        except Exception:
            await response.flush()
            raise


def _mounted_apps(app: Starlette | Router | None) -> Iterator[Starlette]:
    """Yield the apps that are mounted in an app or in its routers, without those that are mounted in them."""
    for route in iter_route_contexts([] if app is None else app.routes):  # FastAPI keeps a tree of routers
        is_mount = isinstance(route.original_route, (Host, Mount))
        inner = innermost(getattr(route, "app", None)) if is_mount else None
        if isinstance(inner, Starlette):
            yield inner
        else:
            yield from _mounted_apps(inner)


async def _send_error(
    error_responses: ErrorResponses,
    error: DescopeError,
    auth: RequestAuth,
    response: SendWrapper,
    receive: Receive,
) -> None:
    """Send the response for ``error`` instead of the held one.

    If an HTTP response has started, ``error`` is raised again, so that the server aborts it.
    """
    response.discard()
    if response.started and auth.scope["type"] == "http":
        raise error
    if not response.closed:
        error_response = error_responses.response_for(error, auth, started=response.started)
        await error_response(auth.scope, receive, response.send)


class _PublicPaths:
    """The paths that need no session: exact paths and subtrees."""

    def __init__(self, paths: Iterable[str]) -> None:
        listed = tuple(paths)
        if wrong := [path for path in listed if not path.startswith("/")]:
            raise ConfigurationError(f"A public path starts with a slash; this one does not: {wrong[0]}")
        self._exact = frozenset(path for path in listed if not path.endswith("/*"))
        self._subtrees = tuple(path[:-1] for path in listed if path.endswith("/*"))

    def __contains__(self, path: str) -> bool:
        if path in self._exact:
            return True
        return path.startswith(self._subtrees) and _is_unambiguous(path)


def _is_unambiguous(path: str) -> bool:
    """Return whether all servers and file systems read the path alike: no dot segment, no doubled slash."""
    segments = path.split("/")[1:-1]
    return (
        not {"", ".", ".."}.intersection(segments) and not path.endswith(("/.", "/..")) and "\\" not in path
    )
