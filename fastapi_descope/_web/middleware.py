"""The ASGI middleware: authentication, error responses and cookies of each request."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._telemetry.redaction import install as redact_logs
from .._telemetry.redaction import redact_span
from ..errors import ConfigurationError, DescopeError
from .app_location import SENSITIVE_PATHS, path_in_app
from .error_responses import ErrorResponses
from .request_auth import RequestAuth, RequestAuthFactory, request_auth
from .send_wrapper import SendWrapper
from .websocket import WebSocketSession

__all__ = ["DescopeMiddleware", "ErrorMiddleware", "MiddlewareParts"]


@dataclass(frozen=True, slots=True)
class MiddlewareParts:
    """The objects of one ``Descope`` that its middleware works with."""

    request_auth: RequestAuthFactory
    error_responses: ErrorResponses


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
        protect: Require a session for every path, except ``public_paths`` and the routes for login, callback
            and logout.
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
        # There is no middleware in between, whose handling of exceptions would matter.
        self._next = app.app if isinstance(app, ErrorMiddleware) else app
        self._request_auth = descope.middleware_parts.request_auth
        self._error_responses = descope.middleware_parts.error_responses
        self._protect = protect
        self._public = _PublicPaths(public_paths)
        redact_logs()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif (auth := self._request_auth.find(scope, self.app)) is not None:
            # This middleware is installed twice: the outer one does the rest.
            if self._protect:
                await self._require_session(auth, scope)
            await self.app(scope, receive, send)
        else:
            await self._handle(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        auth = self._request_auth.attach(scope, self.app)
        if scope["path"].endswith(SENSITIVE_PATHS):
            redact_span()
        response = SendWrapper(auth.start_response, scope, send)
        try:
            if self._protect:
                await self._require_session(auth, scope)
            if scope["type"] == "websocket":
                socket = WebSocketSession(auth)
                await socket.serve(self._next, scope, receive, response.send)
            else:
                await self._next(scope, receive, response.send)
            await response.flush()
        except DescopeError as error:
            await self._error_responses.send(error, auth, response, receive)
        except Exception:
            await response.flush()
            raise
        finally:
            self._request_auth.detach(scope)

    # No method and no User-Agent makes a path public (HP-06): a CORSMiddleware handles preflights earlier.
    async def _require_session(self, auth: RequestAuth, scope: Scope) -> None:
        """Raise ``NotAuthenticated`` without a session, unless the path is public."""
        if path_in_app(scope) not in self._public and not auth.location.is_public_route(auth.scope):
            await auth.require()


class ErrorMiddleware:
    """The innermost middleware of an app: sends the responses to our errors.

    So the app's own middleware sees responses and no exceptions. Otherwise middleware that handles every
    exception would turn each 401 into a 500. ``DescopeMiddleware`` skips it if there is no middleware in
    between.
    """

    def __init__(self, app: ASGIApp, *, error_responses: ErrorResponses) -> None:
        self.app = app
        self._error_responses = error_responses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        response = SendWrapper(_unchanged, scope, send)
        try:
            await self.app(scope, receive, response.send)
            await response.flush()
        except DescopeError as error:
            await self._error_responses.send(error, request_auth(scope), response, receive)
        except Exception:
            await response.flush()
            raise


async def _unchanged(message: Message) -> None:
    """Leave the start of a response as it is: ``DescopeMiddleware`` adds cookies and headers."""


class _PublicPaths:
    """The paths that need no session: exact paths, and all paths below some."""

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
